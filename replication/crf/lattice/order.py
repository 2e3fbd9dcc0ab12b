"""The order in which pixels are visited: Hilbert's curve, so that lattice rows stay cached."""

from functools import lru_cache

import numpy as np
from jaxtyping import Int32

from replication.kernels.compiled import compiled


@compiled
def _curves(height: int, width: int, side: int, visited: np.ndarray) -> None:
    """Walk through squares of ``side`` in a row; ``visited`` gets the pixels inside the image."""
    found = 0
    corner = 0
    while corner < width or corner < height:
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
                visited[found] = np.int32(y * width + x)
                found += 1
        corner += side


@lru_cache(maxsize=64)
def hilbert_order(height: int, width: int) -> Int32[np.ndarray, " N"]:
    """Return the pixels' row-major indices along a Hilbert curve; not to be written to."""
    order = np.empty(height * width, np.int32)
    side = 1 << (min(height, width) - 1).bit_length()
    _curves(height, width, side, order)
    order.setflags(write=False)
    return order
