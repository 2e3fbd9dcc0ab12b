"""What a search counts: intersection, union and truth of each class, by image and by point.

They add up over images, as a confusion matrix does, and give the same mean IOU; but they grow with
the classes, not with their square, so that every image of every point can be kept.
"""

import math
import time
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64, UInt8

from replication.crf.grid import Point
from replication.crf.labelling import refine_many
from replication.crf.lattice import Mode
from replication.crf.parameters import CrfParameters, Normalization
from replication.crf.run import Item, read_item
from replication.data.labels import read_label
from replication.errors import ReplicationError
from replication.evaluation.confusion import confusion_matrix
from replication.evaluation.run import best_class
from replication.evaluation.trimap import keep_band

Tally = Int64[np.ndarray, "3 C"]
"""Intersection, union and true pixels of each class."""

FAST_CHANGES = 1e-4
"""The share of labels that mode ``fast`` changes at most; see `replication.crf.lattice`."""


class Score(NamedTuple):
    """Mean IOU in percent; and the most that it can be, should classes be there by mistake.

    A class without a true pixel counts as 0 as soon as one pixel is given it. So few changed labels
    can cost several points, where images are few. ``most`` leaves out such classes if no more
    pixels have them than ``fast`` may have changed.
    """

    miou: float
    most: float


@dataclass(frozen=True)
class Fixed:
    """What a search holds fixed; with a point and a mode it decides an image's labels.

    Attributes:
        num_classes: channels of the scores; labels hold 0..num_classes-1 and 255.
        stride: output stride of the scores, pixels.
        engine: ``lattice`` or ``pydensecrf``.
        w2, sigma_gamma: the spatial kernel; the paper's 3 and 3.
        iterations, normalization: as `CrfParameters`.
        trimap: count only the band of this width in pixels around the void contour; None counts
            every valid pixel.
    """

    num_classes: int
    stride: int = 8
    engine: str = "lattice"
    w2: float = 3.0
    sigma_gamma: float = 3.0
    iterations: int = 10
    normalization: Normalization = "after"
    trimap: int | None = None

    @property
    def objective(self) -> str:
        """Return what is maximised, in a word."""
        return "miou" if self.trimap is None else f"trimap_{self.trimap}"

    def parameters(self, point: Point) -> CrfParameters:
        """Return the CRF's parameters at a point."""
        return CrfParameters(
            **point._asdict(),
            w2=self.w2,
            sigma_gamma=self.sigma_gamma,
            iterations=self.iterations,
            normalization=self.normalization,
        )


@dataclass(frozen=True)
class Part:
    """One image's tallies at some points, in one mode.

    Attributes:
        id: the image.
        mode: of the engine.
        points: in the order of ``counts``.
        counts: after the CRF.
        before: of the scores alone.
        seconds: of the CRF and the counting.
    """

    id: str
    mode: Mode
    points: tuple[Point, ...]
    counts: Int64[np.ndarray, "points 3 C"]
    before: Tally
    seconds: float


def tally(
    truth: UInt8[np.ndarray, "H W"], labels: UInt8[np.ndarray, "H W"], num_classes: int, name: str
) -> Tally:
    """Count one label map against the truth; arguments and errors as `confusion_matrix`."""
    confusion = confusion_matrix(truth, labels, num_classes, name=name)
    hit, true = np.diagonal(confusion), confusion.sum(axis=1)
    return np.stack([hit, confusion.sum(axis=0) + true - hit, true])


def _mean(hit: Int64[np.ndarray, " some"], union: Int64[np.ndarray, " some"]) -> float:
    return float((100.0 * hit / union).mean()) if union.size else math.nan


def mean_iou(counts: Tally) -> float:
    """Return the mean over classes of IOU in percent; absent classes are left out; NaN if all."""
    hit, union, _ = counts[:, counts[1] > 0]
    return _mean(hit, union)


def score(counts: Tally) -> Score:
    """Return a tally's mean IOU and the most that it can be; NaN if no pixel counts."""
    hit, union, true = counts
    sure = (true > 0) | (union > FAST_CHANGES * true.sum())
    return Score(mean_iou(counts), _mean(hit[sure], union[sure]))


def tally_image(item: Item, fixed: Fixed, mode: Mode, points: tuple[Point, ...]) -> Part:
    """Refine one image at some points and count each; one task of a search.

    Raises:
        ReplicationError: a file is missing or broken, the sizes or classes do not fit, or the
            engine can't run; names the file.
    """
    assert item.label is not None
    image, scores = read_item(item, fixed.stride, fixed.num_classes)
    truth = read_label(item.label, fixed.num_classes)
    if truth.shape != image.shape[:2]:
        raise ReplicationError(
            f"{item.label}: the label has {truth.shape[0]}x{truth.shape[1]} pixels, and its image "
            f"{item.image} has {image.shape[0]}x{image.shape[1]} (height x width): give the label "
            "of this image"
        )
    if fixed.trimap is not None:
        truth = keep_band(truth, fixed.trimap)
    name = str(item.scores)
    before = tally(truth, best_class(scores), fixed.num_classes, name)
    place = {fixed.parameters(point): k for k, point in enumerate(points)}
    counts = np.zeros((len(points), 3, fixed.num_classes), np.int64)
    start = time.perf_counter()
    try:
        for refined in refine_many(scores, image, list(place), fixed.engine, mode):
            k = place[refined.parameters]
            counts[k] = tally(truth, refined.labels, fixed.num_classes, name)
    except ReplicationError as error:
        raise ReplicationError(f"{item.scores}: {error}") from None
    seconds = time.perf_counter() - start
    return Part(item.id, mode, points, counts, before, seconds)
