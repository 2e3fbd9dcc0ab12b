"""The lattice's own work between splat and slice: blur along each axis; and a filter of one channel.

Layouts as in `replication.crf.lattice.passes`.
"""

import numpy as np
from numba import njit

from replication.crf.lattice import lanes as v


@njit(cache=True, nogil=True, boundscheck=False)  # type: ignore[untyped-decorator]
def find_chains(upwards: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """String vertices along each axis into chains of neighbours, lone ones left out.

    Returns:
        (chain, joined, bounds): vertices in order, whether (1 or 0) each follows the one before it,
        and where each axis begins.
    """
    axes, count = upwards.shape
    chain = np.empty(axes * count, np.int32)
    joined = np.empty(axes * count, np.float32)
    bounds = np.zeros(axes + 1, np.int64)
    follows = np.empty(count, np.bool_)
    end = 0
    for axis in range(axes):
        follows[:] = False
        for i in range(count):
            if upwards[axis, i] >= 0:
                follows[upwards[axis, i]] = True
        for i in range(count):
            if follows[i] or upwards[axis, i] < 0:
                continue
            here, link = np.int32(i), np.float32(0)
            while here >= 0:
                chain[end] = here
                joined[end] = link
                end += 1
                link = np.float32(1)
                here = upwards[axis, here]
        bounds[axis + 1] = end
    return chain[:end].copy(), joined[:end].copy(), bounds


@njit(cache=True, nogil=True, boundscheck=False)  # type: ignore[untyped-decorator]
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


@njit(cache=True, nogil=True, boundscheck=False)  # type: ignore[untyped-decorator]
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
    values = np.zeros(count, np.float32)
    for i in range(given.size):
        for r in range(corners):
            values[vertex[i, r]] += weights[i, r] * given[i]
    half = np.float32(0.5)
    for axis in range(corners):
        at, here, before = np.int32(0), values[0], np.float32(0)
        for i in range(bounds[axis], bounds[axis + 1]):
            to = chain[i]
            after = values[to]
            if joined[i] > 0:
                values[at] = here + half * (before + after)
                before = here
            else:
                values[at] = here + half * before
                before = np.float32(0)
            at, here = to, after
        values[at] = here + half * before
    alpha = np.float32(1 / (1 + 2.0 ** (1 - corners)))
    result = np.empty_like(given)
    for i in range(given.size):
        sliced = np.float32(0)
        for r in range(corners):
            sliced += weights[i, r] * values[vertex[i, r]]
        result[i] = sliced * alpha
    return result
