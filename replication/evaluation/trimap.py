"""The trimap: how good labels are near contours, where the CRF has most to do (figure 10).

As the authors' script has it: dilate the void pixels by a square of side 2w + 1, take what is not
void itself, w = 1..40, and measure mean IOU there. The band lies around the *void contour*. The
square makes it a Chebyshev distance, so one distance map serves all widths: a pixel at distance d
is in the band of every width from d on. numpy alone, because scipy's chessboard transform takes
nine times as long as a plain confusion matrix (benchmarks/trimap.py).
"""

import math
from collections.abc import Sequence
from typing import TypedDict

import numpy as np
from jaxtyping import Int64, UInt8

from replication.evaluation.class_counts import mean_iou_of
from replication.evaluation.confusion import VOID

WIDTH = 40
"""The widest band of the paper's figure, pixels."""

NEAR = 10
"""The band of figure 10a's wider trimap, pixels: what claims call near contours."""

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


def near_void(
    label: UInt8[np.ndarray, "H W"], width: int = WIDTH, ignore: int = VOID
) -> tuple[slice, slice]:
    """Return the smallest rectangle that holds every pixel of the band: no other need be looked at.

    On PASCAL VOC's kind of images it is some 60 % of the picture; empty where nothing is void.
    """
    void = label == ignore
    rows, columns = np.flatnonzero(void.any(axis=1)), np.flatnonzero(void.any(axis=0))
    if not rows.size:
        return slice(0, 0), slice(0, 0)
    top, bottom, left, right = (int(n) for n in (rows[0], rows[-1], columns[0], columns[-1]))
    return slice(max(top - width, 0), bottom + width + 1), slice(
        max(left - width, 0), right + width + 1
    )


def distance_to_void(
    label: UInt8[np.ndarray, "H W"], width: int = WIDTH, ignore: int = VOID
) -> UInt8[np.ndarray, "H W"]:
    """Return each pixel's Chebyshev distance to the nearest void pixel, up to ``width``.

    A Chebyshev distance is walked by diagonal steps, after at most one straight one: down-right or
    back, then down-left or back. Each diagonal is a one-dimensional distance, which steps of 1, 2,
    4, .. pixels find in log(width) passes over the whole array.

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
    valid = (label != ignore).view(np.uint8)
    np.multiply(valid, np.uint8(far), out=room[margin : margin + height, :columns])
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
    predictions: Sequence[UInt8[np.ndarray, "H W"]],
    num_classes: int,
    width: int = WIDTH,
    ignore: int = VOID,
) -> list[Int64[np.ndarray, "width C C"]]:
    """Count pixels by distance to void, true and predicted class.

    Args:
        truth: uint8, 0..num_classes-1 and ``ignore``.
        predictions: several for one truth, each uint8, 0..num_classes-1.
        num_classes: 1 to 256.
        width: of the widest band, pixels, 1 to 127.
        ignore: the label of void pixels.

    Returns:
        For each prediction int64 (width, C, C): entry w - 1 counts the pixels at distance w; rows
        truth, columns prediction. `band_counts` makes bands of them.

    Raises:
        ValueError: the shapes differ, or a class is seen to be out of range. Not every such class
            is seen: `confusion_matrix` looks at all of them, and names the file.
    """
    if any(prediction.shape != truth.shape for prediction in predictions):
        raise ValueError("`truth` and `predictions` must have one shape")
    box = near_void(truth, width, ignore)
    near = truth[box]
    distance = distance_to_void(near, width, ignore)
    return [_count(near, p[box], distance, num_classes, width) for p in predictions]


def _count(
    truth: UInt8[np.ndarray, "H W"],
    prediction: UInt8[np.ndarray, "H W"],
    distance: UInt8[np.ndarray, "H W"],
    num_classes: int,
    width: int,
) -> Int64[np.ndarray, "width C C"]:
    ring = distance - np.uint8(1)  # void wraps around to 255
    cells = num_classes * num_classes
    # uint16 where it holds the number of every cell: half the time of wider ones.
    kind = np.dtype(np.uint16 if width * cells <= 2**16 else np.int64)
    # (H, W), the number of the pixel's cell; outside the band, anything
    place: np.ndarray[tuple[int, ...], np.dtype[np.integer]] = ring.astype(kind)
    place *= kind.type(cells)
    row: np.ndarray[tuple[int, ...], np.dtype[np.integer]] = truth.astype(kind)
    row *= kind.type(num_classes)
    place += row
    place += prediction.astype(kind)
    counts = np.bincount(place[ring < width], minlength=width * cells)
    if counts.size > width * cells:
        raise ValueError(f"a label is outside the {num_classes} classes")
    return counts.astype(np.int64, copy=False).reshape(width, num_classes, num_classes)


def band_counts(rings: Int64[np.ndarray, "width ..."]) -> Int64[np.ndarray, "width ..."]:
    """Return what each band holds, from what each distance holds: the running sum over widths."""
    return rings.cumsum(axis=0)


def trimap_curve(rings: Int64[np.ndarray, "width 3 C"]) -> TrimapCurve:
    """Return mean IOU by width, from the `class_counts` of rings summed over the images."""
    miou = mean_iou_of(band_counts(rings))
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
