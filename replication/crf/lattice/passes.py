"""One mean-field update as one pass over the pixels: slice both kernels, softmax, splat.

Labels come in planes of eight lanes. Logits: value ``(plane * N + pixel) * 8 + lane``, log P of a
label in play, or of all the others together, or `NOTHING`. A lattice: ``(plane * (M + 1) + vertex)
* 8 + lane``, its last vertex a dummy. No array of pixels by labels besides the logits exists, and a
plane of a lattice mostly stays in the processor's caches. All arrays are flat.
"""
# ruff: noqa: PLR0917 - compiled functions take arrays one by one

from typing import NamedTuple

import numpy as np

from replication.kernels import lanes as v
from replication.kernels.compiled import compiled, inlined

Array = np.ndarray
NOTHING = np.float32(-1e30)


class Pixels(NamedTuple):
    """What the passes know of the pixels, all in one order.

    Attributes:
        vertex_s, weight_s: each pixel's three vertices of the spatial lattice, and its weights.
        vertex_b, weight_b: its six of the bilateral one.
        scales: four factors a pixel: after slicing, spatial and bilateral; before splatting, both.
    """

    vertex_s: Array
    weight_s: Array
    vertex_b: Array
    weight_b: Array
    scales: Array


class Pair(NamedTuple):
    """The values on both lattices."""

    spatial: Array
    bilateral: Array


@inlined
def slice_spatial(i: int, values: Array, start: int, vertex: Array, weight: Array) -> v.Vector:
    """Return pixel ``i``'s value on the plane that begins at ``start``."""
    j = 3 * i
    s = v.multiply(v.load_all(weight, j), v.load(values, start + 8 * v.load_id(vertex, j)))
    for r in range(1, 3):
        row = v.load(values, start + 8 * v.load_id(vertex, j + r))
        s = v.fma(v.load_all(weight, j + r), row, s)
    return s


@inlined
def slice_bilateral(i: int, values: Array, start: int, vertex: Array, weight: Array) -> v.Vector:
    """Likewise with six vertices: two sums, so that fewer additions wait for each other."""
    j = 6 * i
    s = v.multiply(v.load_all(weight, j), v.load(values, start + 8 * v.load_id(vertex, j)))
    j += 3
    t = v.multiply(v.load_all(weight, j), v.load(values, start + 8 * v.load_id(vertex, j)))
    for r in range(1, 3):
        row = v.load(values, start + 8 * v.load_id(vertex, j - 3 + r))
        s = v.fma(v.load_all(weight, j - 3 + r), row, s)
        row = v.load(values, start + 8 * v.load_id(vertex, j + r))
        t = v.fma(v.load_all(weight, j + r), row, t)
    return v.add(s, t)


@inlined
def splat_one(
    q: v.Vector, values: Array, start: int, pixel: int, corners: int, vertex: Array, weight: Array
) -> None:
    """Add ``q`` to the plane that begins at ``start``, shared out to the pixel's vertices."""
    j = corners * pixel
    for r in range(corners):
        at = start + 8 * v.load_id(vertex, j + r)
        v.store(values, at, v.fma(v.load_all(weight, j + r), q, v.load(values, at)))


@inlined
def splat_both(i: int, q: v.Vector, values: Pair, starts: tuple[int, int], pixels: Pixels) -> None:
    """Splat ``q`` on both lattices, by their factors."""
    qs = v.multiply(q, v.load_all(pixels.scales, 4 * i + 2))
    splat_one(qs, values.spatial, starts[0], i, 3, pixels.vertex_s, pixels.weight_s)
    qb = v.multiply(q, v.load_all(pixels.scales, 4 * i + 3))
    splat_one(qb, values.bilateral, starts[1], i, 6, pixels.vertex_b, pixels.weight_b)


@inlined
def believe(
    i: int, subtract: bool, logits: Array, strength: Array, pixels: Pixels, values: Pair
) -> v.Vector:
    """Return the beliefs of a pixel whose labels in play fit one plane.

    ``strength`` is (w2, w1). ``subtract`` asks to take away the maximum before exp.
    """
    ks = v.multiply(v.load_all(strength, 0), v.load_all(pixels.scales, 4 * i))
    kb = v.multiply(v.load_all(strength, 1), v.load_all(pixels.scales, 4 * i + 1))
    b = slice_bilateral(i, values.bilateral, 0, pixels.vertex_b, pixels.weight_b)
    z = v.fma(kb, b, v.load(logits, 8 * i))
    s = slice_spatial(i, values.spatial, 0, pixels.vertex_s, pixels.weight_s)
    z = v.fma(ks, s, z)
    if subtract:
        z = v.subtract(z, v.largest(z))
    e = v.exp(z)
    return v.multiply(e, v.divide(v.broadcast(np.float32(1)), v.total(e)))


@compiled
def update(
    subtract: bool,
    logits: Array,
    strength: Array,
    pixels: Pixels,
    values: Pair,
    target: Pair,
    mask: Array,
    peak: Array,
) -> None:
    """Update all pixels, whose labels in play fit one plane, and splat them into ``target``.

    ``mask`` is 1 in the lanes that splat; ``peak`` (8,) grows to the largest beliefs.
    """
    opened, top = v.load(mask, 0), v.load(peak, 0)
    for i in range(logits.size // 8):
        q = believe(i, subtract, logits, strength, pixels, values)
        top = v.maximum(top, q)
        splat_both(i, v.multiply(q, opened), target, (0, 0), pixels)
    v.store(peak, 0, top)


@compiled
def splat_softmax(
    planes: int,
    splatting: int,
    logits: Array,
    scale: Array,
    corners: int,
    vertex: Array,
    weight: Array,
    values: Array,
) -> None:
    """Splat the softmax of the logits into one lattice, the first ``splatting`` lanes of it.

    ``scale`` is each pixel's factor before splatting, (N,).
    """
    room = np.zeros(8 * planes, np.float32)
    size = values.size // planes
    count = scale.size
    for i in range(count):
        total = v.broadcast(np.float32(0))
        for plane in range(planes):
            e = v.exp(v.load(logits, 8 * (plane * count + i)))
            v.store(room, 8 * plane, e)
            total = v.add(total, e)
        norm = v.divide(v.load_all(scale, i), v.total(total))
        for c in range(splatting, room.size):
            room[c] = 0
        for plane in range(planes):
            q = v.multiply(v.load(room, 8 * plane), norm)
            splat_one(q, values, plane * size, i, corners, vertex, weight)
