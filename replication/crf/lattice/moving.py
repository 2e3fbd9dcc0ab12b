"""Updates of the pixels that still move, on the part of a lattice that their messages pass.

After two updates most pixels stay as they are. What the others change is splatted as a difference,
blurred on a smaller lattice and added to the values of before.
"""
# ruff: noqa: PLR0917 - compiled functions take arrays one by one

import numpy as np

from replication.crf.lattice.passes import Array, Pair, Pixels, believe, splat_both
from replication.kernels import lanes as v
from replication.kernels.compiled import compiled


@compiled
def find_moving(
    subtract: bool,
    tolerance: float,
    logits: Array,
    strength: Array,
    pixels: Pixels,
    values: Pair,
    beliefs: Array,
    active: Array,
    order: Array,
    moving: Array,
    labels: Array,
) -> None:
    """Set ``moving`` (N,) to 1 for pixels whose beliefs change by more than ``tolerance``.

    ``beliefs`` (N, 8) are those before this update; ``labels``, a row-major image, gets the best
    ones after it, of the lanes' ``active`` labels.
    """
    for i in range(order.size):
        q = believe(i, subtract, logits, strength, pixels, values)
        change = v.largest(v.magnitude(v.subtract(q, v.load(beliefs, 8 * i))))
        if v.first(change) > tolerance:
            v.store_one(moving, i, np.uint8(1))
        best = v.place_of(q, v.largest(q))
        v.store_one(labels, v.load_id(order, i), v.load_one(active, best))


@compiled
def update_moving(
    alive: Array,
    subtract: bool,
    tolerance: float,
    logits: Array,
    strength: Array,
    pixels: Pixels,
    values: Pair,
    change: Pair,
    mask: Array,
    beliefs: Array,
) -> int:
    """Update the pixels ``alive`` and splat their changes into ``change``.

    Returns how many changed by more than ``tolerance``; these come first in ``alive`` afterwards.
    """
    opened = v.load(mask, 0)
    still = 0
    for k in range(alive.size):
        i = v.load_id(alive, k)
        q = believe(i, subtract, logits, strength, pixels, values)
        difference = v.subtract(q, v.load(beliefs, 8 * i))
        v.store(beliefs, 8 * i, q)
        v.store_one(alive, still, np.int32(i))
        if v.first(v.largest(v.magnitude(difference))) > tolerance:
            still += 1
        splat_both(i, v.multiply(difference, opened), change, (0, 0), pixels)
    return still


@compiled
def add_into(values: Array, change: Array) -> None:
    """Add ``change`` to a lattice's ``values`` and clear it."""
    zero = v.broadcast(np.float32(0))
    for at in range(0, values.size, 8):
        v.store(values, at, v.add(v.load(values, at), v.load(change, at)))
        v.store(change, at, zero)


@compiled
def label_moved(listed: Array, beliefs: Array, active: Array, order: Array, labels: Array) -> None:
    """Write the best label of each pixel ``listed`` by its ``beliefs``, (L, 8)."""
    for k in range(listed.size):
        q = v.load(beliefs, 8 * k)
        best = v.place_of(q, v.largest(q))
        v.store_one(labels, v.load_id(order, v.load_id(listed, k)), v.load_one(active, best))


@compiled
def take_rows(rows: Array, width: int, listed: Array, result: Array) -> None:
    """Copy rows ``listed`` of a flat array, ``width`` values each, to the start of ``result``."""
    for k in range(listed.size):
        start = v.load_id(listed, k) * width
        for j in range(width):
            v.store_one(result, k * width + j, v.load_one(rows, start + j))
