"""What a lattice does between splat and slice: blur along each axis; and a filter of one value.

Layouts are those of `replication.crf.lattice.passes`.
"""
# ruff: noqa: PLR0917 - compiled functions take arrays one by one

import numpy as np

from replication.kernels import lanes as v
from replication.kernels.compiled import compiled


@compiled
def find_chains(
    upwards: np.ndarray,
    below: np.ndarray,
    chain: np.ndarray,
    joined: np.ndarray,
    bounds: np.ndarray,
) -> None:
    """String vertices along each axis into chains of neighbours, lone ones left out.

    Args:
        upwards, below: see `replication.crf.lattice.build.find_neighbours`.
        chain: gets the vertices in order.
        joined: gets whether (1 or 0) each follows the one before it.
        bounds: gets where each axis begins and ends, (d + 2,).
    """
    count = below.size
    end = 0
    bounds[0] = 0
    for axis in range(bounds.size - 1):
        for i in range(count):
            above = v.load_id(upwards, axis * count + i)
            if above < 0 or (np.int64(v.load_one(below, i)) >> axis) & 1 != 0:
                continue
            v.store_one(chain, end, np.int32(i))
            v.store_one(joined, end, np.float32(0))
            end += 1
            while above >= 0:
                v.store_one(chain, end, np.int32(above))
                v.store_one(joined, end, np.float32(1))
                end += 1
                above = v.load_id(upwards, axis * count + above)
        bounds[axis + 1] = end


@compiled
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


@compiled
def filter_one(
    given: np.ndarray,
    vertex: np.ndarray,
    weights: np.ndarray,
    values: np.ndarray,
    chain: np.ndarray,
    joined: np.ndarray,
    bounds: np.ndarray,
    result: np.ndarray,
) -> None:
    """Filter one value a pixel, (N,), into ``result``: splat, blur and slice.

    ``vertex`` and ``weights`` are flat; ``values`` is a zero for each vertex and one more.
    """
    corners = bounds.size - 1
    for i in range(given.size):
        for j in range(corners * i, corners * (i + 1)):
            at = v.load_id(vertex, j)
            v.store_one(values, at, v.load_one(values, at) + weights[j] * given[i])
    half, zero = np.float32(0.5), np.float32(0)
    for axis in range(corners):
        at, here, before = values.size - 1, zero, zero
        for i in range(bounds[axis], bounds[axis + 1]):
            link = v.load_one(joined, i)
            to = v.load_id(chain, i)
            after = v.load_one(values, to)
            v.store_one(values, at, here + half * (before + link * after))
            before = link * here
            at, here = to, after
        v.store_one(values, at, here + half * before)
    alpha = np.float32(1 / (1 + 2.0 ** (1 - corners)))
    for i in range(given.size):
        sliced = zero
        for j in range(corners * i, corners * (i + 1)):
            sliced += weights[j] * v.load_one(values, v.load_id(vertex, j)) * alpha
        result[i] = sliced
