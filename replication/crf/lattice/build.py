"""A lattice for one image: its vertices, each pixel's weights on them, and their neighbours."""

import numpy as np
from numba import njit

from replication.crf.lattice import lanes as v
from replication.crf.lattice.embedding import simplices

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


@njit(cache=True, nogil=True, boundscheck=False)  # type: ignore[untyped-decorator]
def _grown(keys: np.ndarray, count: int, bits: int) -> np.ndarray:
    """Return a hash table of 2^bits places that knows the first ``count`` keys."""
    table = np.full(1 << bits, -1, np.int32)
    mask = table.size - 1
    shift = np.uint64(64 - bits)
    for i in range(count):
        place = np.int64((np.uint64(keys[i]) * _GOLDEN) >> shift)
        while table[place] >= 0:
            place = (place + 1) & mask
        table[place] = i
    return table


@njit(cache=True, nogil=True, boundscheck=False)  # type: ignore[untyped-decorator]
def find_vertices(
    feature: np.ndarray,
    factors: np.ndarray,
    strides: np.ndarray,
    top: int,
    start: int,
    points: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the vertices' keys in order of first use, and each pixel's vertices and weights.

    ``feature`` holds a multiple of eight points (d, P), of which the first ``points`` count.
    """
    d = factors.size
    lifted = np.empty(8 * (d + 1), np.float32)
    rounded = np.empty_like(lifted)
    rank = np.empty_like(lifted)
    weight = np.empty_like(lifted)
    vertex = np.empty(points * (d + 1), np.int32)
    weights = np.empty(points * (d + 1), np.float32)
    keys = np.empty(1 << 14, np.int64)
    count = 0
    bits = 16
    table = _grown(keys, 0, bits)
    mask = table.size - 1
    shift = np.uint64(64 - bits)
    stride_of = np.zeros(d + 2, np.int64)
    last = np.full(d + 1, -1, np.int64)
    for begin in range(0, points, 8):
        simplices(feature, factors, begin, lifted, rounded, rank, weight)
        for lane in range(min(8, points - begin)):
            key = np.int64(start)
            for i in range(d + 1):
                stride = v.load_one(strides, i)
                key += np.int64(v.load_one(rounded, 8 * i + lane)) * stride
                v.store_one(stride_of, np.int64(v.load_one(rank, 8 * i + lane)), stride)
            at = (begin + lane) * (d + 1)
            for r in range(d + 1):
                v.store_one(weights, at + r, v.load_one(weight, 8 * r + lane))
                if r > 0:
                    key += top - v.load_one(stride_of, d + 1 - r)
                if key == v.load_one(last, r):  # as the pixel before: often so
                    v.store_one(vertex, at + r, v.load_one(vertex, at + r - d - 1))
                    continue
                v.store_one(last, r, key)
                place = np.int64((np.uint64(key) * _GOLDEN) >> shift)
                while True:
                    found = v.load_one(table, place)
                    if found < 0:
                        if count == keys.size:
                            more = np.empty(2 * count, np.int64)
                            more[:count] = keys
                            keys = more
                        keys[count] = key
                        v.store_one(table, place, np.int32(count))
                        found = np.int32(count)
                        count += 1
                        if 2 * count > table.size:
                            bits += 2
                            table = _grown(keys, count, bits)
                            mask = table.size - 1
                            shift = np.uint64(64 - bits)
                        break
                    if v.load_one(keys, np.int64(found)) == key:
                        break
                    place = (place + 1) & mask
                v.store_one(vertex, at + r, found)
    shape = (points, d + 1)
    return keys[:count].copy(), vertex.reshape(shape), weights.reshape(shape)


@njit(cache=True, nogil=True, boundscheck=False)  # type: ignore[untyped-decorator]
def _sorted_order(keys: np.ndarray, largest: int) -> tuple[np.ndarray, np.ndarray]:
    """Sort keys of 0 to ``largest`` by radix; return the keys and where each was."""
    count = keys.size
    order = np.arange(count).astype(np.int32)
    now, then = keys.copy(), np.empty_like(keys)
    spare = np.empty_like(order)
    digits = np.empty(2048, np.int64)
    shift = 0
    while (largest >> shift) > 0:
        digits[:] = 0
        for i in range(count):
            digit = (v.load_one(now, i) >> shift) & 2047
            v.store_one(digits, digit, v.load_one(digits, digit) + 1)
        before = 0
        for digit in range(2048):
            here = digits[digit]
            digits[digit] = before
            before += here
        for i in range(count):
            key = v.load_one(now, i)
            digit = (key >> shift) & 2047
            place = v.load_one(digits, digit)
            v.store_one(digits, digit, place + 1)
            v.store_one(then, place, key)
            v.store_one(spare, place, v.load_one(order, i))
        now, then = then, now
        order, spare = spare, order
        shift += 11
    return now, order


@njit(cache=True, nogil=True, boundscheck=False)  # type: ignore[untyped-decorator]
def find_neighbours(keys: np.ndarray, strides: np.ndarray, top: int) -> tuple[np.ndarray, np.ndarray]:
    """Return each vertex's next one along each axis, (d + 1, M), -1 where there is none.

    Along axis j, coordinate j falls by d and the others grow by 1; the remainder grows by 1. Sorted
    vertices of one remainder, moved all alike, stay sorted: two such rows are merged to compare.
    Also returns, (M,) uint8, whether (bit a) a vertex is the next one of another along axis a.
    """
    d = strides.size - 1
    count = keys.size
    ordered, order = _sorted_order(keys, top * (d + 1) - 1)
    bounds = np.zeros(d + 2, np.int64)
    bounds[1:] = np.searchsorted(ordered, top * np.arange(1, d + 2))
    upwards = np.full((d + 1, count), -1, np.int32)
    below = np.zeros(count, np.uint8)
    whole = strides.sum()
    for axis in range(d + 1):
        up, bit = upwards[axis], np.uint8(1 << axis)
        for r in range(d + 1):
            # Divided by d + 1, coordinates change only where the remainder starts anew: there the
            # others grow by 1; elsewhere coordinate j falls by 1.
            if r < d:
                move, into = top - strides[axis], r + 1
            else:
                move, into = whole - strides[axis] - d * top, 0
            j, end = bounds[into], bounds[into + 1]
            if j == end:
                continue
            for i in range(bounds[r], bounds[r + 1]):
                wanted = v.load_one(ordered, i) + move
                while j < end and v.load_one(ordered, j) < wanted:
                    j += 1
                if j < end and v.load_one(ordered, j) == wanted:
                    found = v.load_id(order, j)
                    v.store_one(up, v.load_id(order, i), np.int32(found))
                    v.store_one(below, found, np.uint8(v.load_one(below, found) | bit))
    return upwards, below
