"""One real-size update of every network: does it fit, and how long does it take?

    python benchmarks/one_update.py [RUN ...] [--profile paper]

Each network runs in a process of its own, with random crops and random initial weights, the run's
own batch at the profile's crop, through the code that trains. One row a network, in
benchmarks/results/one_update_<profile>_<machine>.csv: seconds of the update, memory at its peak
(resident on a CPU, allocated on a GPU), seconds a crop. A second update is timed where the first,
which also sets up, took less than a minute. Rows of networks that are not named stay.
"""

import argparse
import csv
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def measure(run: str, profile_name: str) -> dict[str, Any]:
    """Make one update of ``run`` (two if quick) in this process; return a row."""
    import time

    import lightning as L
    import torch
    from torch.utils.data import DataLoader, Dataset

    from replication.models.deeplab import DeepLab
    from replication.models.heads import initialise
    from replication.plan import scale
    from replication.provenance import peak_memory_mib
    from replication.settings import Experiments, Profile, parse
    from replication.training.device import (
        ACCELERATORS,
        choose_device,
        choose_layout,
        choose_precision,
    )
    from replication.training.module import Segmentation

    profile = parse(Profile, ROOT / "profiles" / f"{profile_name}.yaml")
    experiments = parse(Experiments, ROOT / "experiments.yaml")
    plan = scale(run, experiments.runs[run], profile_name, profile)
    device = choose_device("auto")
    precision = choose_precision("auto", device)

    class RandomCrops(Dataset[tuple[torch.Tensor, torch.Tensor]]):
        def __len__(self) -> int:
            return 2 * plan.recipe.batch_size

        def __getitem__(self, number: int) -> tuple[torch.Tensor, torch.Tensor]:
            draw = torch.Generator().manual_seed(number)
            size = (profile.crop, profile.crop)
            image = torch.randn((3, *size), generator=draw) * 60
            return image, torch.randint(21, size, generator=draw, dtype=torch.uint8)

    seconds: list[float] = []

    class Clock(L.Callback):
        def on_train_batch_start(self, trainer: L.Trainer, *_: Any) -> None:
            self.start = time.perf_counter()

        def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
            if device == "cuda":
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - self.start)
            trainer.should_stop = seconds[0] > 60

    model = DeepLab(plan, 21)
    initialise(model.classifier, 0.005, torch.Generator().manual_seed(0))
    layout = choose_layout(device, precision)
    model = model.to(memory_format=layout)
    trainer = L.Trainer(
        accelerator=ACCELERATORS[device],
        devices=1,
        precision=precision,  # type: ignore[arg-type]
        max_steps=2,
        min_epochs=0,  # else Lightning would finish the epoch of two
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[Clock()],
    )
    trainer.fit(
        Segmentation(
            model, plan.recipe, plan.micro_batch, 0, multi_scale=plan.multi_scale, layout=layout
        ),
        DataLoader(RandomCrops(), batch_size=plan.recipe.batch_size),
    )
    memory = torch.cuda.max_memory_allocated() / 2**20 if device == "cuda" else peak_memory_mib()
    return {
        "run": run,
        "profile": profile_name,
        "batch": plan.recipe.batch_size,
        "micro_batch": plan.micro_batch,
        "crop": profile.crop,
        "parameters": model.num_parameters(),
        "seconds_an_update": round(seconds[-1], 2),
        "seconds_a_crop": round(seconds[-1] / plan.recipe.batch_size, 3),
        "peak_memory_mib": round(memory),
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "precision": precision,
        "torch": torch.__version__,
    }


def main() -> None:
    """Measure the runs that are named, each in a fresh process, and write the CSV row by row."""
    from replication.provenance import environment
    from replication.settings import Experiments, parse

    known = list(parse(Experiments, ROOT / "experiments.yaml").runs)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "runs", nargs="*", metavar="RUN", help=f"default: all of {', '.join(known)}"
    )
    parser.add_argument("--profile", default="paper")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    unknown = [run for run in given.runs if run not in known]
    if unknown:
        parser.error(f"no run is called {unknown[0]}; choose from {', '.join(known)}")
    if given.inside:
        print(json.dumps(measure(given.runs[0], given.profile)))
        return
    machine = re.sub(r"\W+", "-", environment()["processor"]).strip("-")
    for run in given.runs or known:
        command = [sys.executable, __file__, run, "--profile", given.profile, "--inside"]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        row = json.loads(output.splitlines()[-1])
        print(row, flush=True)
        device = re.sub(r"\W+", "-", row["device"])
        name = f"one_update_{given.profile}_{machine}_{device}.csv"
        put(ROOT / "benchmarks" / "results" / name, row, known)


def put(out: Path, row: dict[str, Any], order: list[str]) -> None:
    """Write the row into the table ``out`` in place of the same run's, the others kept."""
    rows = {run: {} for run in order}
    if out.is_file():
        with out.open(newline="", encoding="utf-8") as stream:
            rows |= {old["run"]: old for old in csv.DictReader(stream)}
    rows[row["run"]] = row
    out.parent.mkdir(exist_ok=True)
    with out.open("w", newline="", encoding="utf-8") as stream:
        table = csv.DictWriter(stream, list(row))
        table.writeheader()
        table.writerows(kept for kept in rows.values() if kept)


if __name__ == "__main__":
    main()
