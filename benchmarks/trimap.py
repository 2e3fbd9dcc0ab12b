"""All forty trimap widths against the plain mean IOU, and against dilating forty times.

    python benchmarks/trimap.py [--labels DIR --predictions DIR --num-classes 21] [--images 20]

One process, the images of two folders (drawn at random, 500x375, if none are named). Each way is
timed image by image, in turn, several times; an image's time is its least processor time, so that
other work on the machine disturbs little. The plain mean IOU is `confusion_matrix`; "reading" adds
what it takes to read the two PNGs. Every way must give the same curve. One row a way, in
benchmarks/results/trimap_<machine>.csv: milliseconds an image, and the ratio to the plain mean IOU
with and without reading.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.ndimage import distance_transform_cdt, grey_dilation, maximum_filter
from table import place, put, surroundings

from replication.data.labels import read_label
from replication.evaluation.confusion import confusion_matrix
from replication.evaluation.trimap import WIDTH, ring_counts

Pair = tuple[np.ndarray, np.ndarray]


def one_pass(truth: np.ndarray, prediction: np.ndarray, classes: int) -> np.ndarray:
    """Count all widths by this package's way; over a set, the sum is made cumulative once."""
    return ring_counts(truth, [prediction], classes)[0]


def by_dilating(
    dilate: Callable[[np.ndarray, int], np.ndarray],
) -> Callable[[np.ndarray, np.ndarray, int], np.ndarray]:
    """Return the authors' way: for every width, dilate, mask, count."""

    def count(truth: np.ndarray, prediction: np.ndarray, classes: int) -> np.ndarray:
        void = (truth == 255).astype(np.uint8)
        bands = []
        for width in range(1, WIDTH + 1):
            kept = np.where(dilate(void, 2 * width + 1) > 0, truth, np.uint8(255))
            bands.append(confusion_matrix(kept, prediction, classes))
        return np.diff(np.stack(bands), axis=0, prepend=0)

    return count


def by_scipys_distance(truth: np.ndarray, prediction: np.ndarray, classes: int) -> np.ndarray:
    """Count all widths with scipy's distance transform, and one count."""
    distance = distance_transform_cdt(truth != 255, metric="chessboard")
    inside = (distance > 0) & (distance <= WIDTH)
    place = ((distance[inside] - 1) * classes + truth[inside]) * classes + prediction[inside]
    counts = np.bincount(place, minlength=WIDTH * classes**2)
    return counts.reshape(WIDTH, classes, classes)


WAYS: dict[str, Callable[[np.ndarray, np.ndarray, int], np.ndarray]] = {
    "one pass": one_pass,
    "scipy distance_transform_cdt, once": by_scipys_distance,
    "scipy maximum_filter, 40 times": by_dilating(
        lambda void, side: maximum_filter(void, size=side, mode="constant")
    ),
    "scipy grey_dilation, 40 times": by_dilating(
        lambda void, side: grey_dilation(void, size=(side, side), mode="constant")
    ),
}


def drawn(count: int, classes: int) -> list[Pair]:
    """Draw label maps of rectangles with a void contour of 5 pixels, and shifted predictions."""
    rng = np.random.default_rng(0)
    pairs = []
    for _ in range(count):
        label = np.zeros((375, 500), np.uint8)
        for _ in range(4):
            (y, x), (h, w) = rng.integers(0, (300, 400)), rng.integers(30, 200, 2)
            label[y : y + h, x : x + w] = 255
            label[y + 5 : y + h - 5, x + 5 : x + w - 5] = rng.integers(1, classes)
        guess = np.roll(label, 3, axis=1)
        guess[guess == 255] = 0
        pairs.append((label, guess))
    return pairs


def least(times: int, function: Callable[..., object], *arguments: object) -> float:
    """Return the least processor time of several calls, in milliseconds."""
    best = float("inf")
    for _ in range(times):
        start = time.process_time()
        function(*arguments)
        best = min(best, time.process_time() - start)
    return 1000 * best


def main() -> None:
    """Time every way on every image, and write the CSV."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--labels", type=Path)
    parser.add_argument("--predictions", type=Path)
    parser.add_argument("--num-classes", type=int, default=21)
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--out", type=Path, help="the CSV (default: in benchmarks/results)")
    given = parser.parse_args()
    classes, files = given.num_classes, []
    if given.labels and given.predictions:
        names = sorted(p.name for p in given.labels.glob("*.png"))[: given.images]
        files = [(given.labels / name, given.predictions / name) for name in names]
        pairs = [(read_label(a, classes), read_label(b, classes)) for a, b in files]
    else:
        pairs = drawn(given.images, classes)
    spent = dict.fromkeys(["reading", "plain mean IOU", *WAYS], 0.0)
    for number, (truth, prediction) in enumerate(pairs):
        expected = one_pass(truth, prediction, classes)
        for name, way in WAYS.items():
            np.testing.assert_array_equal(way(truth, prediction, classes), expected, err_msg=name)
            spent[name] += least(3 if "40" in name else 40, way, truth, prediction, classes)
        spent["plain mean IOU"] += least(40, confusion_matrix, truth, prediction, classes)
        for path in files[number] if files else ():
            spent["reading"] += least(10, read_label, path, None)
    plain, reading = spent["plain mean IOU"], spent["reading"]
    rows = [
        {
            "way": name,
            "milliseconds_an_image": round(total / len(pairs), 3),
            "times_plain": round(total / plain, 2),
            "times_plain_with_reading": round((total + reading) / (plain + reading), 2),
            "times_one_pass": round(total / spent["one pass"], 1),
            "images": len(pairs),
            "source": given.labels.parent.name if files else "drawn",
            **surroundings("numpy", "scipy"),
        }
        for name, total in spent.items()
        if total
    ]
    out = given.out or place("trimap")
    put(out, rows)
    for row in rows:
        print(*(f"{row[key]!s:>12}" for key in list(row)[1:5]), row["way"])
    print(f"written to {out}")


if __name__ == "__main__":
    main()
