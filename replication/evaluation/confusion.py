"""Mean IOU and its kin from one confusion matrix over the whole set.

Pure functions on arrays. IOU is taken per class over the whole set and averaged over classes;
averaging per image, or counting void as background, are recurrent mistakes.
"""

import math
from typing import TypedDict

import numpy as np
from jaxtyping import Float64, Int64, UInt8

from replication.errors import ReplicationError

VOID = 255


class Summary(TypedDict):
    """A confusion matrix in figures, as results hold it: percent, None where undefined."""

    miou: float | None
    iou: list[float | None]
    pixel_accuracy: float | None
    mean_accuracy: float | None
    frequency_weighted_iou: float | None
    confusion: list[list[int]]


def _outside(counts: Int64[np.ndarray, " values"], num_classes: int) -> str:
    value = int(np.flatnonzero(counts[num_classes:])[0]) + num_classes
    return f"value {value} ({int(counts[value])} pixels) is outside the {num_classes} classes"


def confusion_matrix(
    truth: UInt8[np.ndarray, "H W"],
    prediction: UInt8[np.ndarray, "PH PW"],  # another size is the user's mistake, named below
    num_classes: int,
    ignore: int | None = VOID,
    name: str = "prediction",
) -> Int64[np.ndarray, "C C"]:
    """Count pixels by true and predicted class; pixels whose truth is ``ignore`` are left out.

    Args:
        truth: uint8 (H, W), 0..num_classes-1 and ``ignore``.
        prediction: uint8 (H, W), 0..num_classes-1 everywhere, void pixels included.
        num_classes: 1 to 256.
        ignore: the label that is left out; None counts every pixel.
        name: what errors call the pair: give the file.

    Returns:
        int64 (C, C): row = truth, column = prediction, entries pixels.

    Raises:
        ReplicationError: the sizes differ, or a value is outside the classes.
        ValueError: an array is not uint8 (H, W), or ``num_classes`` is out of range.
    """
    for array in (truth, prediction):
        if array.dtype != np.uint8 or array.ndim != 2:
            raise ValueError(f"labels must be uint8 (H, W), not {array.dtype} {array.shape}")
    if not 1 <= num_classes <= 256:
        raise ValueError(f"`num_classes` must be 1 to 256, not {num_classes}")
    if truth.shape != prediction.shape:
        height, width = prediction.shape
        raise ReplicationError(
            f"{name}: {height}x{width} pixels, and its true label has {truth.shape[0]}x"
            f"{truth.shape[1]} (height x width): predict at the size of the label"
        )
    # Both labels as one 16-bit number: a single pass counts every pair, valid or not.
    pairs = truth.astype(np.uint16)
    pairs <<= 8
    pairs |= prediction
    joint = np.bincount(pairs.ravel(), minlength=65536).reshape(256, 256)
    joint = joint.astype(np.int64, copy=False)
    predicted = joint.sum(axis=0)
    if predicted[num_classes:].any():
        raise ReplicationError(
            f"{name}: {_outside(predicted, num_classes)}: predict a class for every pixel"
        )
    if ignore is not None and 0 <= ignore < 256:
        joint[ignore] = 0
    true = joint.sum(axis=1)
    if true[num_classes:].any():
        raise ReplicationError(
            f"{name}: in its true label, {_outside(true, num_classes)} and is not void ({ignore})"
        )
    return joint[:num_classes, :num_classes].copy()


def _percent(
    part: Int64[np.ndarray, " C"], whole: Int64[np.ndarray, " C"]
) -> Float64[np.ndarray, " C"]:
    """Return part / whole in percent, NaN where whole is 0."""
    out = np.full(part.shape, np.nan)
    np.divide(100.0 * part, whole, out=out, where=whole > 0)
    return out


def per_class_iou(confusion: Int64[np.ndarray, "C C"]) -> Float64[np.ndarray, " C"]:
    """Return each class's intersection over union in percent.

    NaN for a class that is absent from truth and prediction alike; 0 for one that is in either
    and never met.
    """
    hit = np.diagonal(confusion)
    union = confusion.sum(axis=0) + confusion.sum(axis=1) - hit
    return _percent(hit, union)


def _mean(values: Float64[np.ndarray, " C"]) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else math.nan


def mean_iou(confusion: Int64[np.ndarray, "C C"]) -> float:
    """Return the mean over classes of IOU in percent; absent classes are left out; NaN if all."""
    return _mean(per_class_iou(confusion))


def pixel_accuracy(confusion: Int64[np.ndarray, "C C"]) -> float:
    """Return the percentage of counted pixels whose class is right; NaN if no pixel counts."""
    total = int(confusion.sum())
    return 100.0 * float(np.trace(confusion)) / total if total else math.nan


def mean_accuracy(confusion: Int64[np.ndarray, "C C"]) -> float:
    """Return the mean over true classes of the percentage of their pixels that are right."""
    return _mean(_percent(np.diagonal(confusion), confusion.sum(axis=1)))


def frequency_weighted_iou(confusion: Int64[np.ndarray, "C C"]) -> float:
    """Return the mean of IOU in percent, each class weighted by its true pixels."""
    pixels = confusion.sum(axis=1)
    total = int(pixels.sum())
    iou = np.nan_to_num(per_class_iou(confusion), nan=0.0)  # absent classes weigh nothing anyway
    return float((pixels * iou).sum()) / total if total else math.nan


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def summarise(confusion: Int64[np.ndarray, "C C"]) -> Summary:
    """Return all figures of a confusion matrix as plain JSON values; None stands for NaN."""
    return {
        "miou": _plain(mean_iou(confusion)),
        "iou": [_plain(value) for value in per_class_iou(confusion)],
        "pixel_accuracy": _plain(pixel_accuracy(confusion)),
        "mean_accuracy": _plain(mean_accuracy(confusion)),
        "frequency_weighted_iou": _plain(frequency_weighted_iou(confusion)),
        "confusion": [[int(n) for n in row] for row in confusion],
    }
