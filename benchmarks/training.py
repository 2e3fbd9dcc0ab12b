"""Our training step against the one that public ports write: images a second, and memory.

    python benchmarks/training.py [RUN ...] [--batch 2] [--rounds 3]

Both ways train the same network, in a process each, and are asked for updates in turns (ABAB), so
that whatever else the machine does falls on both; random crops lie ready, their loading is not
timed. Ours is the code of the suite, through Lightning: bfloat16 and channels-last where the device
is fast at them, the loss at the scores' size, fused SGD, frozen batch norm in the filters. The
plain one is PyTorch as ports have it: float32, channels-first, batch norm a layer of its own, the
scores of every term of the loss enlarged to the crop, the common loop with `loss.item()`. Both do
one untimed update first.

Two rows a network, in benchmarks/results/training_<machine>_<device>.csv: the median seconds of an
update, images a second, the median and the least of the rounds' ratios by the wall clock, and the
median by the processor's (which other loads disturb less; on a CPU only), memory at its peak
(resident on a CPU, allocated on a GPU); the multiplications and additions of an image (forward and
backward, torch's flop counter), and their share of the GPU's bfloat16 peak where that is known.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from operations import PEAKS, flops_an_image, parameters
from table import place, put, surroundings
from training_ways import ours, plain
from turns import tell
from workload import chosen, planned, sizes

RUNS = ("poly_b10_20k", "aspp_l", "resnet_msc_coco_aug_aspp")


def inside(way: str, given: argparse.Namespace) -> None:
    """Be one of the two training processes: tell what this is, then an update for every line."""
    import torch

    from replication.provenance import peak_memory_mib
    from replication.training.device import choose_device, choose_precision

    plan, device = planned(given.runs[0], given), choose_device(given.device)
    precision = choose_precision("auto", device) if way == "ours" else "32-true"
    named = torch.cuda.get_device_name() if device == "cuda" else device
    peak = next((peak for name, peak in PEAKS.items() if name in named), None)
    tell(
        batch=plan.recipe.batch_size,
        micro_batch=plan.micro_batch,
        crop=plan.profile.crop,
        precision=precision,
        device=named,
        threads=torch.get_num_threads(),
        torch=torch.__version__,
        parameters=parameters(plan),
        flops=flops_an_image(plan),
        peak=peak,
    )
    if way == "ours":
        ours(plan, device, precision)
    else:
        plain(plan, device)
    memory = torch.cuda.max_memory_allocated() / 2**20 if device == "cuda" else peak_memory_mib()
    tell(peak_memory_mib=round(memory))


class Trainer:
    """A training process, seen from the one that measures."""

    def __init__(self, way: str, run: str, options: list[str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", __file__, run, *options, "--inside", way],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.about = self.answer()

    def answer(self) -> dict[str, Any]:
        """Wait for the next line of JSON; other lines are Lightning's."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("{"):
                return dict(json.loads(line))
        raise SystemExit("a training process failed: its message is above")

    def update(self) -> dict[str, float]:
        """Ask for an update; return its seconds by the wall clock and the processor's."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self.answer()

    def end(self) -> dict[str, Any]:
        """Let it end; return what it says last: the peak of its memory."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        said = self.answer()
        self.process.wait()
        return said


def measure(run: str, given: argparse.Namespace, options: list[str]) -> list[dict[str, Any]]:
    """Return the rows of one network: ours, and the plain one's."""
    trainers = {way: Trainer(way, run, options) for way in ("ours", "plain")}
    for trainer in trainers.values():
        trainer.update()
    updates: dict[str, list[dict[str, float]]] = {way: [] for way in trainers}
    for _ in range(given.rounds):
        for way, trainer in trainers.items():
            updates[way].append(trainer.update())
    rows = []
    for way, trainer in trainers.items():
        about = trainer.about | trainer.end()
        flops, peak = about.pop("flops"), about.pop("peak")
        median = statistics.median(update["wall"] for update in updates[way])
        pairs = list(zip(updates["plain"], updates[way], strict=True))
        ratios, of_processor = (
            [theirs[clock] / its[clock] for theirs, its in pairs] for clock in ("wall", "processor")
        )
        rate = about["batch"] / median
        rows.append(
            {
                "run": run,
                "profile": given.profile,
                "way": way,
                "rounds": given.rounds,
                "seconds_an_update": round(median, 4),
                "images_per_second": round(rate, 4),
                "ratio": round(statistics.median(ratios), 2),
                "ratio_least": round(min(ratios), 2),
                "ratio_processor": round(statistics.median(of_processor), 2),
                "gigaflops_an_image": round(flops / 1e9, 2),
                "share_of_peak": round(rate * flops / peak, 3) if peak else "",
                **about,
                **surroundings("lightning", "numpy"),
            }
        )
    return rows


def main() -> None:
    """Measure the networks one after the other; write each one's rows at once."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="*", metavar="RUN", help=f"default: {', '.join(RUNS)}")
    sizes(parser)
    parser.add_argument("--rounds", type=int, default=5, help="timed updates of each (default: 5)")
    parser.add_argument("--out", type=Path, help="the CSV (default: in benchmarks/results)")
    parser.add_argument("--inside", choices=["ours", "plain"], help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.inside:
        inside(given.inside, given)
        return
    for run in given.runs or RUNS:
        rows = measure(run, given, chosen(given))
        for row in rows:
            print(row, flush=True)
        put(given.out or place("training", rows[0]["device"]), rows)


if __name__ == "__main__":
    main()
