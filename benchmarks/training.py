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
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from table import place, put

ROOT = Path(__file__).resolve().parents[1]
RUNS = ("poly_b10_20k", "aspp_l", "resnet_msc_coco_aug_aspp")
CLASSES = 21
# Dense bfloat16 by the makers' data sheets, operations a second.
PEAKS = {
    "H100 PCIe": 756e12,
    "H100": 989e12,
    "H200": 989e12,
    "A100": 312e12,
    "A10": 125e12,
    "L40S": 362e12,
    "L4": 121e12,
    "RTX 4090": 165e12,
}


def planned(run: str, given: argparse.Namespace) -> Any:
    """Return the run's plan at the crop and batch that are asked for."""
    from replication.plan import load, scale

    settings = load(ROOT, given.profile)
    profile = settings.profile
    if given.crop:
        profile = profile.model_copy(update={"crop": given.crop})
    plan = scale(run, settings.experiments.all_runs[run], given.profile, profile)
    if given.batch:
        recipe = plan.recipe.model_copy(update={"batch_size": given.batch})
        plan = replace(plan, recipe=recipe, micro_batch=min(plan.micro_batch, given.batch))
    return plan


def build(plan: Any) -> Any:
    """Return the network with random weights: a seed's, the same for both ways."""
    import torch

    from replication.models.deeplab import DeepLab
    from replication.models.heads import initialise

    torch.manual_seed(0)
    model = DeepLab(plan, CLASSES)
    initialise(model.classifier, 0.005, torch.Generator().manual_seed(0))
    return model


def crops(plan: Any) -> tuple[Any, Any]:
    """Return a batch: images (B, 3, S, S) float32, labels (B, S, S) uint8."""
    import torch

    draw = torch.Generator().manual_seed(0)
    size = (plan.recipe.batch_size, plan.profile.crop, plan.profile.crop)
    images = torch.randn((size[0], 3, *size[1:]), generator=draw) * 60
    return images, torch.randint(CLASSES, size, generator=draw, dtype=torch.uint8)


def flops_an_image(plan: Any) -> float:
    """Count the multiplications and additions of forward and backward, on shapes alone."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from replication.models.deeplab import DeepLab

    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        images = torch.zeros(1, 3, plan.profile.crop, plan.profile.crop)
        sum(scores.sum() for scores in DeepLab(plan, CLASSES).branches(images)).backward()
    return float(counter.get_total_flops())


def turns() -> Iterator[None]:
    """Yield once for every line that the measuring process writes."""
    for _ in sys.stdin:
        yield


def tell(**values: Any) -> None:
    """Answer the measuring process."""
    print(json.dumps(values), flush=True)


def now(device: str) -> tuple[float, float]:
    """Return the wall clock's and the processor's seconds, when the device has ended its work."""
    if device == "cuda":
        import torch

        torch.cuda.synchronize()
    return time.perf_counter(), time.process_time()


def tell_since(start: tuple[float, float], device: str) -> None:
    """Tell the seconds of an update that began at ``start``."""
    wall, processor = (end - begin for end, begin in zip(now(device), start, strict=True))
    tell(wall=wall, processor=processor)


def plain(plan: Any, device: str) -> None:
    """Train as ports do, an update for every turn."""
    import torch
    import torch.nn.functional as F

    from replication.models.multi_scale import fuse
    from replication.models.resnet import thaw
    from replication.training.recipe import learning_rate_factor, parameter_groups

    model = build(plan).to(device).train()
    thaw(model)  # batch norm by torch's own layers, and frozen as ports freeze it
    for layer in model.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.eval().requires_grad_(False)
    model.to(device)
    groups = parameter_groups(model, plan.recipe)
    rates = [group["lr"] for group in groups]
    optimizer = torch.optim.SGD(groups, lr=plan.recipe.base_lr, momentum=plan.recipe.momentum)
    images, labels = (each.to(device) for each in crops(plan))
    targets, size = labels.long(), tuple(labels.shape[1:])
    micro = plan.micro_batch
    pieces = list(zip(images.split(micro), targets.split(micro), strict=True))
    number = 0

    def update() -> None:
        factor = learning_rate_factor(plan.recipe, number)
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * factor
        optimizer.zero_grad()
        for some, its in pieces:
            branches = model.branches(some)
            terms = [fuse(branches), *branches] if len(branches) > 1 else branches
            loss = torch.zeros((), device=device)
            for scores in terms:
                large = F.interpolate(scores, size=size, mode="bilinear", align_corners=True)
                loss = loss + F.cross_entropy(large, its, ignore_index=255)
            loss = loss / len(pieces)
            loss.backward()
            loss.item()
        optimizer.step()

    for _ in turns():
        start = now(device)
        update()
        tell_since(start, device)
        number += 1


def ours(plan: Any, device: str, precision: str) -> None:
    """Train as the suite does, an update for every turn."""
    import lightning as L
    from torch.utils.data import DataLoader, Dataset

    from replication.training.device import ACCELERATORS, choose_layout
    from replication.training.module import Segmentation

    batch = crops(plan)

    class Turns(Dataset[Any]):
        def __len__(self) -> int:
            return 10**6

        def __getitem__(self, number: int) -> Any:
            return batch

    waiting = turns()

    class Clock(L.Callback):
        def on_train_start(self, *_: Any) -> None:
            next(waiting)

        def on_train_batch_start(self, *_: Any) -> None:
            self.start = now(device)

        def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
            tell_since(self.start, device)
            trainer.should_stop = next(waiting, "end") == "end"

    trainer = L.Trainer(
        accelerator=ACCELERATORS[device],
        devices=1,
        precision=precision,  # type: ignore[arg-type]
        max_epochs=1,
        min_epochs=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[Clock()],
    )
    layout = choose_layout(device, precision)
    model = build(plan).to(memory_format=layout)
    trainer.fit(
        Segmentation(
            model, plan.recipe, plan.micro_batch, 0, multi_scale=plan.multi_scale, layout=layout
        ),
        DataLoader(Turns(), batch_size=None),
    )


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
            }
        )
    return rows


def main() -> None:
    """Measure the networks one after the other; write each one's rows at once."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="*", metavar="RUN", help=f"default: {', '.join(RUNS)}")
    parser.add_argument("--profile", default="paper", help="widths, crop, batch (default: paper)")
    parser.add_argument("--crop", type=int, help="pixels a side (default: the profile's)")
    parser.add_argument("--batch", type=int, help="crops an update (default: the run's)")
    parser.add_argument("--rounds", type=int, default=5, help="timed updates of each (default: 5)")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (default: auto)")
    parser.add_argument("--out", type=Path, help="the CSV (default: in benchmarks/results)")
    parser.add_argument("--inside", choices=["ours", "plain"], help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.inside:
        inside(given.inside, given)
        return
    options = ["--profile", given.profile, "--device", given.device]
    for name in ("crop", "batch"):
        if getattr(given, name):
            options += [f"--{name}", str(getattr(given, name))]
    for run in given.runs or RUNS:
        rows = measure(run, given, options)
        for row in rows:
            print(row, flush=True)
        put(given.out or place("training", rows[0]["device"]), rows)


if __name__ == "__main__":
    main()
