"""The trimap: how good labels are near contours, where the CRF has most to do (figure 10).

As the authors' script has it: dilate the void pixels by a square of side 2w + 1, take what is not
void itself, w = 1..40, and measure mean IOU there. The band lies around the *void contour*. The
square makes it a Chebyshev distance, so one distance map serves all widths: a pixel at distance d
is in the band of every width from d on.
"""

import math
from typing import TypedDict

import numpy as np
from jaxtyping import Int64, UInt8

from replication.evaluation.class_counts import class_counts, mean_iou_of
from replication.evaluation.confusion import VOID

WIDTH = 40
"""The widest band of the paper's figure, pixels."""

MAX_WIDTH = 127  # distances are uint8, and sums of two of them must be, too


class TrimapCurve(TypedDict):
    """Mean IOU in percent by width in pixels; None where no pixel lies in the band."""

    width: list[int]
    miou: list[float | None]


def _strides(width: int) -> list[int]:
    """Return steps 1, 2, 4, .., the last one cut, whose sums make every number up to ``width``."""
    steps: list[int] = []
    while (left := width - sum(steps)) > 0:
        steps.append(min(2 ** len(steps), left))
    return steps


def distance_to_void(
    label: UInt8[np.ndarray, "H W"], width: int = WIDTH, ignore: int = VOID
) -> UInt8[np.ndarray, "H W"]:
    """Return each pixel's Chebyshev distance to the nearest void pixel, up to ``width``.

    A Chebyshev distance is walked by diagonal steps, after at most one straight one: down-right or
    back, then down-left or back. Each diagonal is a one-dimensional distance, which steps of 1, 2,
    4, .. pixels find in log(width) passes over the whole array, 14 times as fast as scipy's
    ``distance_transform_cdt`` (benchmarks/trimap.py).

    Args:
        label: uint8 (H, W), classes and ``ignore``.
        width: the largest distance that is told apart, 1 to 127.
        ignore: the label of void pixels.

    Returns:
        uint8 (H, W): 0 on void, 1..width, and width + 1 for all that is farther.

    Raises:
        ValueError: ``width`` is out of range.
    """
    if not 1 <= width <= MAX_WIDTH:
        raise ValueError(f"`width` must be 1 to {MAX_WIDTH}, not {width}")
    far = width + 1
    height, columns = label.shape
    # A diagonal walk leaves the picture by half the width at most, above or below. At the sides it
    # runs on into the next row, which margins of more than `width` keep farther than `width`.
    margin, pitch = (width + 1) // 2, columns + far
    room = np.full((height + 2 * margin, pitch), far, np.uint8)
    np.multiply(label != ignore, np.uint8(far), out=room[margin : margin + height, :columns])
    near = room.ravel()
    beyond = np.empty_like(near)

    def reach(into: UInt8[np.ndarray, " flat"], shift: int) -> None:
        np.minimum(into[shift:], beyond[:-shift], out=into[shift:])
        np.minimum(into[:-shift], beyond[shift:], out=into[:-shift])

    for diagonal in (pitch + 1, pitch - 1):
        for step in _strides(width):
            np.add(near, np.uint8(step), out=beyond)
            if step * diagonal < near.size:
                reach(near, step * diagonal)
    np.add(near, np.uint8(1), out=beyond)
    for straight in (1, pitch):
        reach(near, straight)
    return room[margin : margin + height, :columns]


def ring_counts(
    truth: UInt8[np.ndarray, "H W"],
    prediction: UInt8[np.ndarray, "H W"],
    distance: UInt8[np.ndarray, "H W"],
    num_classes: int,
    width: int = WIDTH,
) -> Int64[np.ndarray, "width C C"]:
    """Count pixels by distance, true and predicted class, in one pass.

    Args:
        truth: uint8, 0..num_classes-1 wherever the distance is 1..width.
        prediction: uint8, 0..num_classes-1.
        distance: of `distance_to_void` with the same ``width``.
        num_classes: 1 to 256.
        width: of the widest band, pixels.

    Returns:
        int64 (width, C, C): entry w - 1 counts the pixels at distance w; rows truth, columns
        prediction. Summed up to w - 1 they are the confusion matrix of the band of width w.

    Raises:
        ValueError: a class is out of range, or the shapes differ (`confusion_matrix` names files).
    """
    if not truth.shape == prediction.shape == distance.shape:
        raise ValueError("`truth`, `prediction` and `distance` must have one shape")
    ring = distance - np.uint8(1)  # void wraps around to 255
    inside = ring < width
    highest = max(int(prediction.max(initial=0)), int((truth * inside).max(initial=0)))
    if highest >= num_classes:
        raise ValueError(f"class {highest} is outside the {num_classes} classes")
    cells = num_classes * num_classes
    # uint16 where it holds the number of every cell: half the time of wider ones.
    kind = np.uint16 if width * cells <= 2**16 else np.int64
    place = ring.astype(kind)  # (H, W), the number of the pixel's cell; outside the band, anything
    place *= kind(cells)
    row = truth.astype(kind)
    row *= kind(num_classes)
    place += row
    place += prediction
    counts = np.bincount(place[inside], minlength=width * cells)
    return counts.astype(np.int64, copy=False).reshape(width, num_classes, num_classes)


def ring_class_counts(
    truth: UInt8[np.ndarray, "H W"],
    prediction: UInt8[np.ndarray, "H W"],
    distance: UInt8[np.ndarray, "H W"],
    num_classes: int,
    width: int = WIDTH,
) -> Int64[np.ndarray, "width 3 C"]:
    """Return `ring_counts` as `class_counts`: all that a curve needs, and little to hand over."""
    return class_counts(ring_counts(truth, prediction, distance, num_classes, width))


def band_confusions(rings: Int64[np.ndarray, "width ..."]) -> Int64[np.ndarray, "width ..."]:
    """Return what each band holds, from what each distance holds: the running sum over widths."""
    return rings.cumsum(axis=0)


def trimap_curve(rings: Int64[np.ndarray, "width 3 C"]) -> TrimapCurve:
    """Return mean IOU by width, from `ring_class_counts` summed over the images."""
    miou = mean_iou_of(band_confusions(rings))
    return {
        "width": list(range(1, len(rings) + 1)),
        "miou": [None if math.isnan(value) else float(value) for value in miou],
    }


def keep_band(
    label: UInt8[np.ndarray, "H W"], width: int, ignore: int = VOID
) -> UInt8[np.ndarray, "H W"]:
    """Return a label map in which everything but the band is void, as `confusion_matrix` takes it.

    Args:
        label: uint8, classes and ``ignore``.
        width: of the band, pixels: valid pixels whose Chebyshev distance to a void one is at most
            this are kept.
        ignore: the label of void pixels, here and in what is returned.
    """
    near = distance_to_void(label, width, ignore) <= width
    kept: UInt8[np.ndarray, "H W"] = np.where(near, label, np.uint8(ignore))
    return kept
