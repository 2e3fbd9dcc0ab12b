"""Hits, true and predicted pixels of each class: all that IOU needs of a confusion matrix.

They add up over images, pixels and distances just as confusion matrices do, at 3 C numbers in place
of C x C: what a bootstrap over images and a trimap of many widths are summed from.
"""

import numpy as np
from jaxtyping import Float, Float64, Int64

HIT, TRUE, PREDICTED = 0, 1, 2


def class_counts(confusion: Int64[np.ndarray, "*many C C"]) -> Int64[np.ndarray, "*many 3 C"]:
    """Return hits, true pixels and predicted pixels by class.

    Args:
        confusion: int64 (..., C, C), rows truth, columns prediction.

    Returns:
        int64 (..., 3, C), in the order of `HIT`, `TRUE`, `PREDICTED`.
    """
    hit = np.diagonal(confusion, axis1=-2, axis2=-1)  # (..., C)
    return np.stack([hit, confusion.sum(axis=-1), confusion.sum(axis=-2)], axis=-2)


def mean_iou_of(
    counts: Int64[np.ndarray, "*many 3 C"] | Float[np.ndarray, "*many 3 C"],
) -> Float64[np.ndarray, "*many"]:
    """Return the mean over classes of IOU in percent, for each (3, C) of ``counts``.

    As `confusion.mean_iou`: a class that is absent from truth and prediction is left out, and NaN
    stands where all are.
    """
    hit = counts[..., HIT, :]
    union = counts[..., TRUE, :] + counts[..., PREDICTED, :] - hit  # (..., C)
    there = union > 0
    iou = np.zeros(union.shape)
    np.divide(100.0 * hit, union, out=iou, where=there)
    classes = there.sum(axis=-1)
    mean = np.full(classes.shape, np.nan)
    np.divide(iou.sum(axis=-1), classes, out=mean, where=classes > 0)
    return mean
