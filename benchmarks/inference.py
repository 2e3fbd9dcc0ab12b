"""Frames a second of the network alone, and of network and CRF, beside the paper's.

    python benchmarks/inference.py [RUN ...] [--images 4] [--test-size 513]

For each image in turn, in one process: the network (padded to the test size, one image at a time,
through the code that scores), the enlarging of scores to the image with their energies, and the CRF
(engine lattice, exact, ten updates, the authors' parameters for ASPP); ``network_and_crf`` is one
image by the sum of the medians. Then all images once more by `replication predict --crf`, where the
network scores an image while the CRF refines the one before: ``predict``, from the images' files to
the labels', by the wall clock. The paper's section 4 has 8 frames a second for the network on a
Titan X and 0.5 s an image for the CRF on a processor.

A network with random weights has no scores worth refining: the CRF is given those of a trained one
for the same image, at output stride 16, where ../shared/data/voc100 is; else both are random, and
the CRF takes longer than on clear scores.

One row a network, in benchmarks/results/inference_<machine>_<device>.csv: medians over the images.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from images import STRIDE, read, some_ids, source
from table import place, put, surroundings
from workload import ROOT, classes

RUNS = ("poly_b10_20k", "aspp_l", "resnet_msc_coco_aug_aspp")
PAPER_FRAMES_PER_SECOND, PAPER_CRF_SECONDS = 8.0, 0.5
PARTS = ("network", "energies", "crf")


class Trained:
    """The network, whose time counts, giving out the scores of a trained one, image by image."""

    def __init__(self, scorer: Any, scores: list[np.ndarray]) -> None:
        self.scorer, self.scores = scorer, iter(scores)
        self.device = scorer.device

    def __call__(self, image: Any) -> np.ndarray:
        """Score an image (3, h, w); return the next one's scores at output stride 8."""
        self.scorer(image)
        return next(self.scores)


def in_turn(scorer: Any, parameters: Any, ids: list[str], size: int) -> dict[str, float]:
    """Return the median seconds of each part, one after the other on each image."""
    from replication.crf import lattice
    from replication.crf.unary import unary_from_scores
    from replication.inference.enlarge import enlarge
    from replication.inference.fit import padded

    seconds: dict[str, list[float]] = {part: [] for part in PARTS}
    for number, image_id in enumerate([ids[0], *ids]):  # the first one warms up
        small, image = read(image_id)
        image = image[:size, :size]  # larger than a test size below the paper's
        clock = [time.perf_counter()]
        scorer(padded(image, size, size))  # its scores come back to the processor: it has ended
        clock.append(time.perf_counter())
        unary = unary_from_scores(enlarge(small, STRIDE, image.shape[:2]))
        clock.append(time.perf_counter())
        list(lattice.mean_field_many(unary, image, [parameters]))
        clock.append(time.perf_counter())
        if number:
            for part, start, end in zip(PARTS, clock[:-1], clock[1:], strict=True):
                seconds[part].append(end - start)
    return {part: statistics.median(times) for part, times in seconds.items()}


def overlapped(scorer: Any, parameters: Any, ids: list[str], size: int) -> float:
    """Return the seconds an image of `replication predict --crf` over all of them."""
    from PIL import Image

    from replication.inference.enlarge import enlarge
    from replication.inference.fit import Fit
    from replication.predict.run import Setting, predict, target_of

    with tempfile.TemporaryDirectory() as scratch:
        tasks, scores = [], []
        for image_id in ids:
            small, image = read(image_id)
            path = Path(scratch) / f"{image_id}.png"
            Image.fromarray(image[:size, :size]).save(path)
            tasks.append(
                (path, target_of(path, Path(scratch) / "out", overlay=False, scores=False))
            )
            # Enlarged twofold, then by 8, they come to what stride 16 comes to.
            scores.append(enlarge(small, STRIDE, (size, size))[:, ::8, ::8])
        notes: Any = SimpleNamespace(classes=None, colours=None)
        start = time.perf_counter()
        predict(tasks, Trained(scorer, scores), notes, Setting(Fit("pad", size), [1.0], parameters))
        return (time.perf_counter() - start) / len(tasks)


def measure(run: str, given: argparse.Namespace) -> dict[str, Any]:
    """Time one network, and the CRF after it and beside it; return a row."""
    import torch

    from replication.crf.parameters import PRESETS
    from replication.inference.fit import Scorer
    from replication.models.deeplab import DeepLab
    from replication.plan import load
    from replication.training.device import choose_device, choose_precision

    plan = load(ROOT, given.profile).plan(run)
    device = choose_device(given.device)
    precision = choose_precision("auto", device)
    torch.manual_seed(0)
    scorer = Scorer(DeepLab(plan, classes(plan)).eval(), device, precision)
    parameters = PRESETS["vgg_aspp_release"].parameters
    size = given.test_size or plan.profile.test_size
    ids = some_ids(given.images)
    seconds = in_turn(scorer, parameters, ids, size)
    beside = overlapped(scorer, parameters, ids, size)
    return {
        "run": run,
        "profile": given.profile,
        "test_size": size,
        "images_of": source(),
        "images": len(ids),
        "network_frames_per_second": round(1 / seconds["network"], 3),
        "network_and_crf_frames_per_second": round(1 / sum(seconds.values()), 3),
        "predict_frames_per_second": round(1 / beside, 3),
        **{f"{part}_seconds": round(seconds[part], 4) for part in PARTS},
        "predict_seconds": round(beside, 4),
        "paper_network_frames_per_second": PAPER_FRAMES_PER_SECOND,
        "paper_crf_seconds": PAPER_CRF_SECONDS,
        "precision": precision,
        "device": torch.cuda.get_device_name() if device == "cuda" else device,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        **surroundings("numpy", "numba"),
    }


def main() -> None:
    """Measure the networks one after the other; write each one's row at once."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="*", metavar="RUN", help=f"default: {', '.join(RUNS)}")
    parser.add_argument("--profile", default="paper", help="widths, test size (default: paper)")
    parser.add_argument("--images", type=int, default=4, help="how many (default: 4)")
    parser.add_argument("--test-size", type=int, help="pixels a side (default: the profile's)")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (default: auto)")
    parser.add_argument("--out", type=Path, help="the CSV (default: in benchmarks/results)")
    given = parser.parse_args()
    for run in given.runs or RUNS:
        row = measure(run, given)
        print(row, flush=True)
        put(given.out or place("inference", row["device"]), [row])


if __name__ == "__main__":
    main()
