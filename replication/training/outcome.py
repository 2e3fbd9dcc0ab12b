"""What a finished training leaves: weights, the curve, and the record of how they came about."""

from pathlib import Path
from typing import Any

import torch

from replication.atomic import atomic_path, write_json
from replication.data.canonical import DataSet
from replication.models.checkpoint import own_palette, write_checkpoint
from replication.models.deeplab import DeepLab, InitialWeights
from replication.models.heads import field_of_view
from replication.plan import Plan
from replication.provenance import environment, peak_memory_mib, sha256_file
from replication.training.callbacks import Checkpoints, Curves


def make_record(
    *,
    plan: Plan,
    dataset: DataSet,
    weights: InitialWeights,
    seed: int,
    model: DeepLab,
    saver: Checkpoints,
    device: str,
    precision: str,
) -> dict[str, Any]:
    """Say what was trained, from what, on what, and what it cost: the content of train.json."""
    recipe, head = plan.recipe, plan.head
    seconds = saver.seconds
    memory = peak_memory_mib()
    if device == "cuda":
        memory = torch.cuda.max_memory_allocated() / 2**20
    return {
        "run": plan.run,
        "profile": plan.profile_name,
        "seed": seed,
        "configuration": plan.configuration(),
        "data": {
            "name": dataset.name,
            "split": plan.train_split,
            "images": len(dataset.ids(plan.train_split)),
            "meta_sha256": sha256_file(dataset.root / "meta.json"),
        },
        "backbone": weights.record(),
        "parameters": model.num_parameters(),
        "field_of_view": max(field_of_view(head.kernel, rate) for rate in head.rates),
        "updates": recipe.iterations,
        "seconds": round(seconds, 3),
        "images_per_second": round(recipe.iterations * recipe.batch_size / seconds, 3),
        "peak_memory_mib": round(memory, 1),
        "device": torch.cuda.get_device_name() if device == "cuda" else device,
        "threads": torch.get_num_threads(),
        "precision": precision,
        "environment": environment(),
    }


def write_run(
    out: Path,
    *,
    plan: Plan,
    dataset: DataSet,
    model: DeepLab,
    curves: Curves,
    record: dict[str, Any],
) -> None:
    """Write weights first and the record last: a record means that the run is whole."""
    (out / "train.json").unlink(missing_ok=True)
    write_checkpoint(
        out / "weights.safetensors",
        model.state_dict(),
        run=plan.run,
        profile=plan.profile_name,
        seed=record["seed"],
        data=dataset.name,
        classes=list(dataset.classes),
        palette=own_palette(dataset.palette),
        test_size=plan.profile.test_size,
        configuration=plan.configuration(),
        hashes={
            "data": record["data"]["meta_sha256"],
            "initial_weights": record["backbone"]["sha256"],
            "fingerprint": record["fingerprint"],
        },
    )
    with atomic_path(out / "curve.tsv") as part:
        curves.write(part)
    record["weights_sha256"] = sha256_file(out / "weights.safetensors")
    write_json(out / "train.json", record)
