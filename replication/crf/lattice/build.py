"""A lattice for one image: its vertices, each pixel's weights on them, and their neighbours."""
# ruff: noqa: PLR0917, PLR0915 - compiled functions take arrays one by one

import numpy as np
from jaxtyping import Int32, Int64, UInt8

from replication.crf.lattice.embedding import simplices
from replication.kernels import lanes as v
from replication.kernels.compiled import compiled

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


@compiled
def _grown(keys: np.ndarray, count: int, bits: int) -> np.ndarray:
    """Return a hash table of 2^bits places that knows the first ``count`` keys."""
    table = np.empty(1 << bits, np.int32)
    table[:] = -1
    mask = table.size - 1
    shift = np.uint64(64 - bits)
    for i in range(count):
        place = np.int64((np.uint64(keys[i]) * _GOLDEN) >> shift)
        while table[place] >= 0:
            place = (place + 1) & mask
        table[place] = i
    return table


@compiled
def find_vertices(
    feature: np.ndarray,
    factors: np.ndarray,
    strides: np.ndarray,
    top: int,
    start: int,
    vertex: np.ndarray,
    weights: np.ndarray,
) -> np.ndarray:
    """Return the vertices' keys in order of first use.

    Args:
        feature: points, a multiple of eight, (d * P,).
        factors: see `replication.crf.lattice.embedding.scale_factors`.
        strides, top, start: see `replication.crf.lattice.embedding.packing`.
        vertex, weights: get each point's vertices and weights, flat, for as many as they hold.
    """
    d = factors.size
    points = vertex.size // (d + 1)
    lifted = np.empty(8 * (d + 1), np.float32)
    rounded = np.empty(8 * (d + 1), np.float32)
    rank = np.empty(8 * (d + 1), np.float32)
    weight = np.empty(8 * (d + 1), np.float32)
    keys = np.empty(1 << 14, np.int64)
    count = 0
    bits = 16
    table = _grown(keys, 0, bits)
    mask = table.size - 1
    shift = np.uint64(64 - bits)
    stride_of = np.zeros(d + 2, np.int64)
    last = np.empty(d + 1, np.int64)
    last[:] = -1
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
                            for i in range(count):
                                more[i] = keys[i]
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
    return keys[:count]


@compiled
def _sort(keys: np.ndarray, order: np.ndarray, largest: int) -> tuple[np.ndarray, np.ndarray]:
    """Sort keys of 0 to ``largest``, and ``order`` with them, by radix; both are used up."""
    count = keys.size
    then = np.empty(count, np.int64)
    spare = np.empty(count, np.int32)
    digits = np.empty(2048, np.int64)
    shift = 0
    while (largest >> shift) > 0:
        for digit in range(2048):
            digits[digit] = 0
        for i in range(count):
            digit = (v.load_one(keys, i) >> shift) & 2047
            v.store_one(digits, digit, v.load_one(digits, digit) + 1)
        before = 0
        for digit in range(2048):
            here = digits[digit]
            digits[digit] = before
            before += here
        for i in range(count):
            key = v.load_one(keys, i)
            digit = (key >> shift) & 2047
            place = v.load_one(digits, digit)
            v.store_one(digits, digit, place + 1)
            v.store_one(then, place, key)
            v.store_one(spare, place, v.load_one(order, i))
        keys, then = then, keys
        order, spare = spare, order
        shift += 11
    return keys, order


@compiled
def _merge(
    keys: np.ndarray,
    order: np.ndarray,
    begin: int,
    end: int,
    move: int,
    other: int,
    other_end: int,
    up: np.ndarray,
    below: np.ndarray,
    bit: int,
) -> None:
    """Find sorted keys ``begin`` to ``end``, ``move`` added, among ``other`` to ``other_end``."""
    j = other
    if j == other_end:
        return
    for i in range(begin, end):
        wanted = v.load_one(keys, i) + move
        while j < other_end and v.load_one(keys, j) < wanted:
            j += 1
        if j < other_end and v.load_one(keys, j) == wanted:
            found = v.load_id(order, j)
            v.store_one(up, v.load_id(order, i), np.int32(found))
            v.store_one(below, found, np.uint8(v.load_one(below, found) | bit))


def find_neighbours(
    keys: Int64[np.ndarray, " M"], strides: Int64[np.ndarray, " d_1"], top: int
) -> tuple[Int32[np.ndarray, " d_1_M"], UInt8[np.ndarray, " M"]]:
    """Return each vertex's next one along each axis, and which vertices are one.

    Along axis j, coordinate j falls by d and the others grow by 1; the remainder grows by 1. Sorted
    vertices of one remainder, moved all alike, stay sorted: two such rows are merged to compare.

    Returns:
        The next ones, axis by axis, -1 where there is none; and, as bit a, whether a vertex is the
        next one of another along axis a.
    """
    d, count = len(strides) - 1, len(keys)
    ordered, order = _sort(keys.copy(), np.arange(count, dtype=np.int32), top * (d + 1) - 1)
    bounds = [0, *np.searchsorted(ordered, top * np.arange(1, d + 2)).tolist()]
    upwards = np.full((d + 1, count), -1, np.int32)
    below = np.zeros(count, np.uint8)
    whole = int(strides.sum())
    for axis, stride in enumerate(strides.tolist()):
        for r in range(d + 1):
            # Divided by d + 1, coordinates change only where the remainder starts anew: there the
            # others grow by 1; elsewhere coordinate j falls by 1.
            move = top - stride if r < d else whole - stride - d * top
            into = (r + 1) % (d + 1)
            _merge(
                ordered,
                order,
                bounds[r],
                bounds[r + 1],
                move,
                bounds[into],
                bounds[into + 1],
                upwards[axis],
                below,
                1 << axis,
            )
    return upwards.ravel(), below
