"""Train one run for one seed: from canonical data and initial weights to trained weights."""

import json
import logging
import shutil
import warnings
from pathlib import Path
from typing import Any

import lightning as L
import torch
from rich.console import Console
from safetensors.torch import save_file
from torch.utils.data import DataLoader

from replication.atomic import atomic_path, write_json
from replication.data.canonical import DataSet
from replication.data.guard import refuse_overlap
from replication.errors import ReplicationError
from replication.models.deeplab import DeepLab, build
from replication.models.heads import field_of_view
from replication.models.weights import BackboneWeights
from replication.plan import Plan
from replication.provenance import environment, peak_memory_mib, sha256_file, sha256_folder
from replication.training.callbacks import Checkpoints, Curves, Progress
from replication.training.crops import Crops, From
from replication.training.device import ACCELERATORS, choose_device, choose_precision
from replication.training.module import Segmentation

_console = Console(stderr=True)
_PACKAGE = Path(__file__).parents[1]


def code_hash() -> str:
    """Hash the source of what decides the weights: runs of other code are trained again."""
    rooms = [sha256_folder(_PACKAGE / room, "*.py") for room in ("models", "training")]
    return " ".join(rooms)


def train(
    plan: Plan,
    dataset: DataSet,
    weights: BackboneWeights,
    seed: int,
    *,
    out: Path,
    checkpoints: Path,
    device: str = "auto",
    precision: str = "auto",
) -> dict[str, Any]:
    """Train ``plan`` with ``seed``; write weights, curve and record into ``out``.

    Returns the record. A finished run of the same settings, data, initial weights and code is left
    as it is. A run that was killed goes on from its last checkpoint in ``checkpoints`` and, on a
    CPU, ends with the same weights as an undisturbed one.

    Raises:
        ReplicationError: the evaluation split holds a training image; the loss is not finite.
    """
    refuse_overlap(
        dataset.ids(plan.profile.train_split),
        dataset.ids("val"),
        train_name=plan.profile.train_split,
        eval_name="val",
    )
    device = choose_device(device)
    precision = choose_precision(precision, device)
    fingerprint = plan.fingerprint(
        seed=seed,
        precision=precision,
        data=sha256_file(dataset.root / "meta.json"),
        backbone=weights.sha256,
        code=code_hash(),
    )
    finished = _finished(out, fingerprint)
    if finished is not None:
        _console.print(f"{plan.run}, seed {seed}: already trained with these settings, kept")
        return finished
    last = checkpoints / "last.ckpt"
    resume = _usable(last, fingerprint)
    if resume is None:
        shutil.rmtree(checkpoints, ignore_errors=True)
    else:
        _console.print(f"{plan.run}, seed {seed}: goes on from update {resume}")
    checkpoints.mkdir(parents=True, exist_ok=True)

    model = build(plan, dataset.num_classes, weights, seed).to(memory_format=torch.channels_last)
    module = Segmentation(model, plan.recipe, plan.micro_batch, seed)
    curves = Curves(checkpoints / "live")
    saver = Checkpoints(last, plan.profile.checkpoint_every, fingerprint)
    updates = plan.recipe.iterations
    progress = Progress(f"train {plan.run} seed {seed}", updates)
    _quiet()
    trainer = L.Trainer(
        accelerator=ACCELERATORS[device],
        devices=1,
        precision=precision,  # type: ignore[arg-type]
        max_steps=updates,
        max_epochs=1,
        deterministic=True if device == "cpu" else "warn",
        benchmark=False,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[progress, curves, saver],
        default_root_dir=checkpoints,
    )
    start = resume or 0
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    crops = Crops(dataset, plan.profile.train_split, plan.profile.crop, seed)
    batch = plan.recipe.batch_size
    loader = DataLoader(
        crops,
        batch_size=batch,
        sampler=From(start * batch, updates * batch),
        num_workers=_workers(device),
        pin_memory=device == "cuda",
        persistent_workers=False,
    )
    trainer.fit(module, loader, ckpt_path=last if resume else None, weights_only=False)
    if trainer.global_step < updates:  # Ctrl-C: Lightning stops quietly
        raise ReplicationError(
            f"{plan.run}, seed {seed}: stopped at update {trainer.global_step} of {updates}; run "
            "the same command again to go on from the last checkpoint"
        )
    record = _record(plan, dataset, weights, seed, model, saver, device, precision)
    record["fingerprint"] = fingerprint
    _write(out, plan, dataset, model, curves, record)
    shutil.rmtree(checkpoints, ignore_errors=True)
    return record


def _finished(out: Path, fingerprint: str) -> dict[str, Any] | None:
    """Return the record of a finished run with this fingerprint whose weights are intact."""
    try:
        record: dict[str, Any] = json.loads((out / "train.json").read_text(encoding="utf-8"))
        intact = record["weights_sha256"] == sha256_file(out / "weights.safetensors")
        return record if intact and record["fingerprint"] == fingerprint else None
    except (OSError, ValueError, KeyError):
        return None


def _usable(last: Path, fingerprint: str) -> int | None:
    """Return the update that a checkpoint of the same run stands at, or None if it can't serve."""
    if not last.is_file():
        return None
    try:
        state = torch.load(last, map_location="cpu", weights_only=True)
        if state["callbacks"]["Checkpoints"]["fingerprint"] != fingerprint:
            _console.print(f"{last} is of other settings, data or code: training starts anew")
            return None
        return int(state["global_step"])
    except Exception as error:  # a damaged pickle or zip raises almost anything
        _console.print(f"{last} can't be read ({type(error).__name__}): training starts anew")
        return None


def _workers(device: str) -> int:
    """Use loader processes where the processor waits for a device; on a CPU they take its cores."""
    import os

    return 0 if device == "cpu" else min(8, os.cpu_count() or 1)


def _quiet() -> None:
    """Silence what a user can't act on: Lightning's advertisements and advice on workers."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    for text in (".*does not have many workers.*", ".*Consider setting `persistent_workers.*"):
        warnings.filterwarnings("ignore", text)


def _record(
    plan: Plan,
    dataset: DataSet,
    weights: BackboneWeights,
    seed: int,
    model: DeepLab,
    saver: Checkpoints,
    device: str,
    precision: str,
) -> dict[str, Any]:
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
            "split": plan.profile.train_split,
            "images": len(dataset.ids(plan.profile.train_split)),
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


def _write(
    out: Path,
    plan: Plan,
    dataset: DataSet,
    model: DeepLab,
    curves: Curves,
    record: dict[str, Any],
) -> None:
    """Write weights first and the record last: a record means that the run is whole."""
    (out / "train.json").unlink(missing_ok=True)
    state = {name: value.contiguous() for name, value in model.state_dict().items()}
    notes = {
        "run": plan.run,
        "profile": plan.profile_name,
        "classes": json.dumps(dataset.classes),
        "configuration": json.dumps(plan.configuration()),
    }
    with atomic_path(out / "weights.safetensors") as part:
        save_file(state, part, metadata=notes)
    with atomic_path(out / "curve.tsv") as part:
        curves.table().to_csv(part, sep="\t", index=False)
    record["weights_sha256"] = sha256_file(out / "weights.safetensors")
    write_json(out / "train.json", record)
