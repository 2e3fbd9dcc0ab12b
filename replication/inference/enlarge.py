"""Score maps at output stride 8 to score maps at image size: align-corners bilinear."""

from functools import lru_cache

import numpy as np
from jaxtyping import Float, Float32

from replication.errors import ReplicationError


@lru_cache(maxsize=64)
def _interpolation(known: int, stride: int, wanted: int) -> Float32[np.ndarray, "wanted known"]:
    """Return the matrix whose row p weighs the two known points beside pixel p.

    Known point k lies on pixel k * stride. Weights are multiples of 1 / stride, hence exact for
    a power of two. Shared between calls: not to be written to.
    """
    pixel = np.arange(wanted)
    left = np.minimum(pixel // stride, known - 1)
    share = (pixel - left * stride) / stride  # of the right neighbour, 0 <= share < 1
    matrix = np.zeros((wanted, known), np.float32)
    matrix[pixel, left] = 1 - share
    inside = share > 0
    matrix[pixel[inside], left[inside] + 1] = share[inside]
    matrix.setflags(write=False)
    return matrix


def enlarge(
    scores: Float[np.ndarray, "C h w"],
    stride: int,
    size: tuple[int, int],
    name: str = "scores",
) -> Float32[np.ndarray, "C H W"]:
    """Enlarge score maps to their image, corners aligned, from the top left corner.

    The score at (i, j) belongs to pixel (i * stride, j * stride); pixels between are weighed
    bilinearly. h scores reach over (h - 1) * stride + 1 pixels (65 over 513); what lies beyond the
    image, the padding at its bottom and right, is cut off.

    Args:
        scores: any float type, (C, h, w).
        stride: output stride of the network, in pixels, at least 1.
        size: height and width of the image, in pixels.
        name: what the error calls the scores: give the file.

    Returns:
        float32 (C, H, W), each value between its four neighbours' scores.

    Raises:
        ReplicationError: the scores do not reach over the image.
        ValueError: ``stride`` or ``size`` is below 1, or ``scores`` is not a (C, h, w) array.
    """
    if stride < 1 or min(size) < 1 or scores.ndim != 3:
        raise ValueError(
            f"`scores` must be (C, h, w), `stride` and `size` at least 1, "
            f"not {scores.shape}, {stride} and {size}"
        )
    height, width = size
    reach = tuple((n - 1) * stride + 1 for n in scores.shape[1:])
    if reach[0] < height or reach[1] < width:
        raise ReplicationError(
            f"{name}: {scores.shape[1]}x{scores.shape[2]} scores at output stride {stride} reach "
            f"over {reach[0]}x{reach[1]} pixels, and the image has {height}x{width} (height x "
            "width): give the stride that the scores were made with, or make the scores again"
        )
    rows, columns = (-(-(n - 1) // stride) + 1 for n in size)  # the scores that the image needs
    needed = scores[:, :rows, :columns].astype(np.float32)
    wide = needed @ _interpolation(columns, stride, width).T  # (C, rows, W)
    out: Float32[np.ndarray, "C H W"] = _interpolation(rows, stride, height) @ wide
    return out
