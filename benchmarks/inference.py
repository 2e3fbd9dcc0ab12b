"""Frames a second of the network alone, and of network and CRF, beside the paper's.

    python benchmarks/inference.py [RUN ...] [--images 4] [--test-size 513]

For each image in turn, in one process: the network (padded to the test size, one image at a time,
through the code that scores), the enlarging of scores to the image with their energies, and the CRF
(engine lattice, exact, ten updates, the authors' parameters for ASPP). The paper's section 4 has
8 frames a second for the network on a Titan X and 0.5 s an image for the CRF on a processor.

A network with random weights has no scores worth refining: the CRF is given those of a trained one
for the same image, at output stride 16, where ../shared/data/voc100 is; else both are random, and
the CRF takes longer than on clear scores.

One row a network, in benchmarks/results/inference_<machine>_<device>.csv: medians over the images.
"""

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

from crf import DATA, image_ids, read
from table import place, put

ROOT = Path(__file__).resolve().parents[1]
RUNS = ("poly_b10_20k", "aspp_l", "resnet_msc_coco_aug_aspp")
CLASSES = 21
PAPER_FRAMES_PER_SECOND, PAPER_CRF_SECONDS = 8.0, 0.5
STRIDE = 16  # of the scores that are refined


def measure(run: str, given: argparse.Namespace) -> dict[str, Any]:
    """Time one network, and the CRF after it, image by image."""
    import torch

    from replication.crf import lattice
    from replication.crf.parameters import PRESETS
    from replication.crf.unary import unary_from_scores
    from replication.inference.enlarge import enlarge
    from replication.inference.fit import Scorer, padded
    from replication.models.deeplab import DeepLab
    from replication.plan import load
    from replication.training.device import choose_device, choose_precision

    plan = load(ROOT, given.profile).plan(run)
    device = choose_device(given.device)
    precision = choose_precision("auto", device)
    torch.manual_seed(0)
    scorer = Scorer(DeepLab(plan, CLASSES).eval(), device, precision)
    parameters = PRESETS["vgg_aspp_release"].parameters
    size = given.test_size or plan.profile.test_size
    everything = image_ids()
    ids = everything[:: max(1, len(everything) // given.images)][: given.images]
    seconds: dict[str, list[float]] = {"network": [], "energies": [], "crf": []}
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
            for part, start, end in zip(seconds, clock[:-1], clock[1:], strict=True):
                seconds[part].append(end - start)
    network, energies, crf = (statistics.median(times) for times in seconds.values())
    return {
        "run": run,
        "profile": given.profile,
        "test_size": size,
        "images_of": "voc100" if DATA.is_dir() else "random",
        "images": len(ids),
        "network_frames_per_second": round(1 / network, 3),
        "network_and_crf_frames_per_second": round(1 / (network + energies + crf), 3),
        "network_seconds": round(network, 4),
        "energies_seconds": round(energies, 4),
        "crf_seconds": round(crf, 4),
        "paper_network_frames_per_second": PAPER_FRAMES_PER_SECOND,
        "paper_crf_seconds": PAPER_CRF_SECONDS,
        "precision": precision,
        "device": torch.cuda.get_device_name() if device == "cuda" else device,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
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
