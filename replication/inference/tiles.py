"""Overlapping tiles over a large image, and their scores blended into one map.

Cityscapes' images are tested so (section 4.4 of the paper). Tiles stand at multiples of the output
stride, so that every tile's scores lie on the image's own grid of scores: they are blended there,
and enlarged once.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float32

from replication.errors import ReplicationError
from replication.plan import OUTPUT_STRIDE

Scores = Float32[np.ndarray, "C h w"]


def check_overlap(overlap: int, size: int) -> None:
    """Refuse an overlap that would leave tiles of ``size`` pixels where they are.

    Raises:
        ReplicationError: the overlap is negative, or a tile would move on by less than 8 pixels.
    """
    if not 0 <= overlap <= size - OUTPUT_STRIDE:
        raise ReplicationError(
            f"`--tile-overlap` is {overlap}, and tiles are {size} pixels wide; give 0 to "
            f"{size - OUTPUT_STRIDE}"
        )


def positions(side: int, size: int, overlap: int, stride: int = OUTPUT_STRIDE) -> list[int]:
    """Return where tiles begin along a side of an image, evenly spread, multiples of ``stride``.

    Args:
        side: of the image, in pixels.
        size: of a tile, 8 k + 1 pixels.
        overlap: pixels that neighbours share, at least: 0 to size - 8.

    Returns:
        Rising, from 0; the last tile holds the image's last pixel, and ends less than ``stride``
        pixels beyond it.
    """
    last = -(-max(0, side - size) // stride)  # in scores
    most = (size - overlap) // stride  # from one tile to the next
    count = -(-last // most) + 1
    return [stride * (k * last // max(1, count - 1)) for k in range(count)]


def shares(starts: list[int], size: int, length: int) -> Float32[np.ndarray, "tiles length"]:
    """Return each tile's share in every score along a side; over the tiles they sum to 1.

    A tile's weight is the square of the distance to its nearer end, so that neighbours cross over
    smoothly and a tile has next to no say at its edge, where its network saw nothing beyond. Shares
    in the map are the products of those along its sides.

    Args:
        starts: where tiles begin, in scores.
        size: of a tile, in scores.
        length: of the side, in scores; what tiles have beyond it is cut off.
    """
    place = np.arange(size)
    weight = np.minimum(place + 1, size - place).astype(np.float64) ** 2
    table = np.zeros((len(starts), max(length, starts[-1] + size)))
    for row, start in zip(table, starts, strict=True):
        row[start : start + size] = weight
    table = table[:, :length]
    table /= table.sum(0)
    return table.astype(np.float32)


def blend(
    score: Callable[[int, int], Scores],
    image_size: tuple[int, int],
    size: int,
    overlap: int,
    stride: int = OUTPUT_STRIDE,
) -> Scores:
    """Score an image tile by tile; return its scores at the output stride.

    Args:
        score: from a tile's first row and column, in pixels, to its scores (C, s, s), where s is
            (size - 1) / stride + 1.
        image_size: height and width of the image, in pixels.
        size, overlap: of the tiles, in pixels, as in `positions`.

    Returns:
        (C, h, w), which reach over the image: h is (height - 1) / stride + 1, rounded up.
    """
    rows, columns = (positions(side, size, overlap, stride) for side in image_size)
    tile = (size - 1) // stride + 1
    h, w = (-(-(side - 1) // stride) + 1 for side in image_size)
    down = shares([row // stride for row in rows], tile, h)
    across = shares([column // stride for column in columns], tile, w)
    blended: Scores | None = None
    for top, vertical in zip(rows, down, strict=True):
        for left, horizontal in zip(columns, across, strict=True):
            scores = score(top, left)
            if blended is None:
                blended = np.zeros((len(scores), h, w), np.float32)
            i, j = (slice(at // stride, at // stride + tile) for at in (top, left))
            there = blended[:, i, j]  # a view, cut off at the map's end
            part = scores[:, : there.shape[1], : there.shape[2]]
            there += vertical[i, None] * horizontal[j] * part
    assert blended is not None  # there is always a tile
    return blended
