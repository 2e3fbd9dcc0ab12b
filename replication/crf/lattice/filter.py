"""The lattice's own work between splat and slice: blur along each axis; and a filter of one channel.

Layouts as in `replication.crf.lattice.passes`.
"""

import numpy as np
from numba import njit

from replication.crf.lattice import lanes as v


_OPTIONS = {"cache": True, "nogil": True, "boundscheck": False}


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def find_chains(
    upwards: np.ndarray, below: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """String vertices along each axis into chains of neighbours, lone ones left out.

    Args:
        upwards: each vertex's next one along each axis, (d + 1, M), -1 where there is none.
        below: whether (bit a) it is the next one of another along axis a, (M,).

    Returns:
        (chain, joined, bounds): vertices in order, whether (1 or 0) each follows the one before it,
        and where each axis begins.
    """
    axes, count = upwards.shape
    chain = np.empty(axes * count, np.int32)
    joined = np.ones(axes * count, np.float32)
    bounds = np.zeros(axes + 1, np.int64)
    end = 0
    for axis in range(axes):
        up = upwards[axis]
        bit = np.uint8(1 << axis)
        for i in range(count):
            if below[i] & bit != 0 or up[i] < 0:
                continue
            chain[end] = i
            joined[end] = 0
            end += 1
            here = v.load_id(up, i)
            while here >= 0:
                chain[end] = here
                end += 1
                here = v.load_id(up, here)
        bounds[axis + 1] = end
    return chain[:end].copy(), joined[:end].copy(), bounds


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def blur(
    values: np.ndarray, planes: int, chain: np.ndarray, joined: np.ndarray, bounds: np.ndarray
) -> None:
    """Add half of both neighbours to every vertex, one axis after the other, in place.

    Each plane's last vertex takes what is written before the first chain; it is left zero.
    """
    half = v.broadcast(np.float32(0.5))
    zero = v.broadcast(np.float32(0))
    size = values.size // planes
    for plane in range(planes):
        start = plane * size
        last = start + size - 8
        for axis in range(bounds.size - 1):
            at, here, before = last, zero, zero
            for i in range(bounds[axis], bounds[axis + 1]):
                link = v.load_all(joined, i)
                to = start + 8 * v.load_id(chain, i)
                after = v.load(values, to)
                both = v.fma(link, after, before)
                v.store(values, at, v.fma(half, both, here))
                before = v.multiply(link, here)
                at, here = to, after
            v.store(values, at, v.fma(half, before, here))
        v.store(values, last, zero)


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def filter_one(
    given: np.ndarray,
    vertex: np.ndarray,
    weights: np.ndarray,
    count: int,
    chain: np.ndarray,
    joined: np.ndarray,
    bounds: np.ndarray,
) -> np.ndarray:
    """Filter one value a pixel, (N,): splat, blur and slice over ``count`` vertices."""
    corners = vertex.shape[1]
    places, shares = vertex.ravel(), weights.ravel()
    values = np.zeros(count + 1, np.float32)
    for i in range(given.size):
        for j in range(corners * i, corners * (i + 1)):
            at = v.load_id(places, j)
            v.store_one(values, at, v.load_one(values, at) + shares[j] * given[i])
    half, zero = np.float32(0.5), np.float32(0)
    for axis in range(corners):
        at, here, before = count, zero, zero
        for i in range(bounds[axis], bounds[axis + 1]):
            link = v.load_one(joined, i)
            to = v.load_id(chain, i)
            after = v.load_one(values, to)
            v.store_one(values, at, here + half * (before + link * after))
            before = link * here
            at, here = to, after
        v.store_one(values, at, here + half * before)
    alpha = np.float32(1 / (1 + 2.0 ** (1 - corners)))
    result = np.empty_like(given)
    for i in range(given.size):
        sliced = zero
        for j in range(corners * i, corners * (i + 1)):
            sliced += shares[j] * v.load_one(values, v.load_id(places, j))
        result[i] = sliced * alpha
    return result
