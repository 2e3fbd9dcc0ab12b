"""Updates of the pixels that still move, on the part of a lattice that their messages pass.

After two updates most pixels stay as they are. What the others change is splatted as a difference,
blurred on a smaller lattice and added to the values of before. A vertex matters to the blur along
axis a if one of the pixels' vertices reaches it along the axes before a, and it reaches one of them
along the axes from a on; with the others left out, nothing is lost.
"""

import numpy as np
from numba import njit

from replication.crf.lattice import lanes as v
from replication.crf.lattice.passes import _bilateral, _spatial, _splat

_OPTIONS = {"cache": True, "nogil": True, "boundscheck": False}


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def find_moving(  # type: ignore[no-untyped-def]
    pixels, subtract, tolerance, logits, scales, strength,
    vertex_s, weight_s, vertex_b, weight_b, spatial, bilateral, beliefs, active, order,
    moving, labels,
):
    """Mark in ``moving`` (N,) the pixels whose beliefs change by more than ``tolerance``.

    ``beliefs`` (N, 8) are those before this update; ``labels`` (row-major) get the best label after
    it. Returns the largest belief of each lane.
    """
    one = v.broadcast(np.float32(1))
    strength_s, strength_b = v.load_all(strength, 0), v.load_all(strength, 1)
    peak = v.broadcast(np.float32(0))
    for i in range(pixels):
        ks = v.multiply(strength_s, v.load_all(scales, 4 * i))
        kb = v.multiply(strength_b, v.load_all(scales, 4 * i + 1))
        z = v.fma(kb, _bilateral(i, bilateral, 0, vertex_b, weight_b), v.load(logits, 8 * i))
        z = v.fma(ks, _spatial(i, spatial, 0, vertex_s, weight_s), z)
        if subtract:
            z = v.subtract(z, v.largest(z))
        e = v.exp(z)
        q = v.multiply(e, v.divide(one, v.total(e)))
        peak = v.maximum(peak, q)
        change = v.first(v.largest(v.magnitude(v.subtract(q, v.load(beliefs, 8 * i)))))
        if change > tolerance:
            v.store_one(moving, i, np.uint8(1))
        best = v.place_of(q, v.largest(q))
        v.store_one(labels, v.load_id(order, i), v.load_one(active, best))
    result = np.empty(8, np.float32)
    v.store(result, 0, peak)
    return result


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def part_of(  # type: ignore[no-untyped-def]
    vertex, corners, listed, count, chain, joined, bounds
):
    """Return the part of a lattice that ``listed`` pixels need.

    Returns:
        (kept, vertex, chain, joined, bounds): the kept vertices' old numbers, and the rest in new
        numbers, pixels as in ``listed``, (L * (d + 1),).
    """
    axes = corners
    # Bit a: reached by the axes before a; reaching by the axes from a on. Both hold on the pixels'
    # own vertices; a vertex reached by some axes stays so for more.
    reached = np.zeros(count, np.uint8)
    reaching = np.zeros(count, np.uint8)
    for k in range(listed.size):
        for j in range(corners * listed[k], corners * (listed[k] + 1)):
            here = v.load_id(vertex, j)
            v.store_one(reached, here, np.uint8(255))
            v.store_one(reaching, here, np.uint8(255))
    for axis in range(axes):
        later = np.uint8((0xFF << (axis + 1)) & 0xFF)
        last = np.int64(0)
        for i in range(bounds[axis], bounds[axis + 1]):
            here = v.load_id(chain, i)
            if v.load_one(joined, i) > 0:
                a, b = v.load_one(reached, last), v.load_one(reached, here)
                if ((a ^ b) >> np.uint8(axis)) & 1 != 0:
                    if (a >> np.uint8(axis)) & 1 != 0:
                        v.store_one(reached, here, np.uint8(b | later))
                    else:
                        v.store_one(reached, last, np.uint8(a | later))
            last = here
    for axis in range(axes - 1, -1, -1):
        earlier = np.uint8((1 << (axis + 1)) - 1)
        last = np.int64(0)
        for i in range(bounds[axis], bounds[axis + 1]):
            here = v.load_id(chain, i)
            if v.load_one(joined, i) > 0:
                a, b = v.load_one(reaching, last), v.load_one(reaching, here)
                if ((a ^ b) >> np.uint8(axis + 1)) & 1 != 0:
                    if (a >> np.uint8(axis + 1)) & 1 != 0:
                        v.store_one(reaching, here, np.uint8(b | earlier))
                    else:
                        v.store_one(reaching, last, np.uint8(a | earlier))
            last = here
    number = np.full(count, -1, np.int32)
    kept = np.empty(count, np.int32)
    many = 0
    for i in range(count):
        reached[i] &= reaching[i]
        if reached[i] != 0:
            number[i] = many
            kept[many] = i
            many += 1
    new_chain = np.empty(chain.size, np.int32)
    new_joined = np.empty(chain.size, np.float32)
    new_bounds = np.zeros(axes + 1, np.int64)
    end = 0
    for axis in range(axes):
        both = np.uint8(3 << axis)
        linked = np.float32(0)
        for i in range(bounds[axis], bounds[axis + 1]):
            here = v.load_id(chain, i)
            if v.load_one(joined, i) == 0:
                linked = np.float32(0)
            if v.load_one(reached, here) & both != 0:
                v.store_one(new_chain, end, v.load_one(number, here))
                v.store_one(new_joined, end, linked)
                end += 1
                linked = np.float32(1)
            else:
                linked = np.float32(0)
        new_bounds[axis + 1] = end
    renamed = np.empty(listed.size * corners, np.int32)
    at = 0
    for k in range(listed.size):
        for j in range(corners * listed[k], corners * (listed[k] + 1)):
            v.store_one(renamed, at, v.load_one(number, v.load_id(vertex, j)))
            at += 1
    return kept[:many].copy(), renamed, new_chain[:end], new_joined[:end], new_bounds


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def take_rows(rows, width, listed):  # type: ignore[no-untyped-def]
    """Return rows ``listed`` of a flat array of rows of ``width`` values."""
    result = np.empty(listed.size * width, rows.dtype)
    for k in range(listed.size):
        start = np.int64(listed[k]) * width
        for j in range(width):
            v.store_one(result, k * width + j, v.load_one(rows, start + j))
    return result


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def update_moving(  # type: ignore[no-untyped-def]
    alive, subtract, tolerance, logits, scales, strength,
    vertex_s, weight_s, vertex_b, weight_b,
    spatial, bilateral, change_s, change_b, mask, beliefs,
):
    """Update the pixels ``alive``, splat their changes; return how many of them still move.

    Those come first in ``alive`` afterwards.
    """
    one = v.broadcast(np.float32(1))
    strength_s, strength_b = v.load_all(strength, 0), v.load_all(strength, 1)
    open_lanes = v.load(mask, 0)
    still = 0
    for k in range(alive.size):
        i = v.load_id(alive, k)
        ks = v.multiply(strength_s, v.load_all(scales, 4 * i))
        kb = v.multiply(strength_b, v.load_all(scales, 4 * i + 1))
        z = v.fma(kb, _bilateral(i, bilateral, 0, vertex_b, weight_b), v.load(logits, 8 * i))
        z = v.fma(ks, _spatial(i, spatial, 0, vertex_s, weight_s), z)
        if subtract:
            z = v.subtract(z, v.largest(z))
        e = v.exp(z)
        q = v.multiply(e, v.divide(one, v.total(e)))
        difference = v.subtract(q, v.load(beliefs, 8 * i))
        v.store(beliefs, 8 * i, q)
        v.store_one(alive, still, np.int32(i))
        if v.first(v.largest(v.magnitude(difference))) > tolerance:
            still += 1
        difference = v.multiply(difference, open_lanes)
        d = v.multiply(difference, v.load_all(scales, 4 * i + 2))
        _splat(d, change_s, 0, vertex_s, weight_s, 3 * i, 3)
        d = v.multiply(difference, v.load_all(scales, 4 * i + 3))
        _splat(d, change_b, 0, vertex_b, weight_b, 6 * i, 6)
    return still


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def add_into(values, change):  # type: ignore[no-untyped-def]
    """Add ``change`` to the lattice ``values`` and clear it."""
    zero = v.broadcast(np.float32(0))
    for at in range(0, values.size, 8):
        v.store(values, at, v.add(v.load(values, at), v.load(change, at)))
        v.store(change, at, zero)


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def label_moved(listed, beliefs, active, order, labels):  # type: ignore[no-untyped-def]
    """Write the best label of each pixel ``listed`` by its ``beliefs``, (L, 8)."""
    for k in range(listed.size):
        q = v.load(beliefs, 8 * k)
        best = v.place_of(q, v.largest(q))
        v.store_one(labels, v.load_id(order, v.load_id(listed, k)), v.load_one(active, best))
