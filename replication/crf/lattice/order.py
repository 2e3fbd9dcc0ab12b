"""The order in which pixels are visited: along Hilbert's curve, so that lattice rows stay cached."""

from functools import lru_cache

import numpy as np
from jaxtyping import Int32
from numba import njit


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _curves(height: int, width: int) -> np.ndarray:
    """Fill the image with squares in a row, each as wide as its shorter side asks for."""
    side = 1
    while side < min(height, width):
        side *= 2
    visited = np.empty(height * width, np.int32)
    found = 0
    for corner in range(0, max(height, width), side):
        for step in range(side * side):
            x = y = 0
            rest, scale = step, 1
            while scale < side:  # from the smallest square outwards, turning what lies within
                right = (rest >> 1) & 1
                down = (rest ^ right) & 1
                if down == 0:
                    if right == 1:
                        x, y = scale - 1 - x, scale - 1 - y
                    x, y = y, x
                x += scale * right
                y += scale * down
                rest >>= 2
                scale *= 2
            if width >= height:
                x += corner
            else:
                y += corner
            if x < width and y < height:
                visited[found] = y * width + x
                found += 1
    return visited


@lru_cache(maxsize=64)
def hilbert_order(height: int, width: int) -> Int32[np.ndarray, " N"]:
    """Return the pixels' row-major indices along a Hilbert curve; not to be written to."""
    order: np.ndarray = _curves(height, width)
    order.setflags(write=False)
    return order
