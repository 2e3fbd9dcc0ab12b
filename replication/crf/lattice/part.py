"""The part of a lattice that the messages among some pixels pass.

A vertex matters to the blur along axis a if one of the pixels' own vertices reaches it along the
axes before a, and if it reaches one of them along the axes from a on. With all others left out,
nothing is lost between those pixels.
"""
# ruff: noqa: PLR0917 - compiled functions take arrays one by one

from typing import NamedTuple

import numpy as np

from replication.crf.lattice.passes import Array
from replication.kernels import lanes as v
from replication.kernels.compiled import compiled, inlined


class Part(NamedTuple):
    """A part of a lattice, in numbers of its own.

    Attributes:
        kept: its vertices' numbers in the whole lattice.
        vertex: the vertices of the pixels listed, flat, (L * (d + 1),).
        chain, joined, bounds: as of the whole lattice.
    """

    kept: Array
    vertex: Array
    chain: Array
    joined: Array
    bounds: Array


@inlined
def _pass_on(
    flags: Array, begin: int, end: int, bit: int, gained: int, chain: Array, joined: Array
) -> None:
    """Give bits ``gained`` to the neighbours of vertices that have ``bit``, along one axis."""
    last, mine = flags.size - 1, np.int64(0)  # a dummy before the first
    for i in range(begin, end):
        here = v.load_id(chain, i)
        theirs = np.int64(v.load_one(flags, here))
        linked = np.int64(v.load_one(joined, i) > 0)
        forth = -(((mine >> bit) & 1) & linked) & gained
        back = -(((theirs >> bit) & 1) & linked) & gained
        v.store_one(flags, last, np.uint8(mine | back))
        last, mine = here, theirs | forth
    if end > begin:
        v.store_one(flags, last, np.uint8(mine))


@compiled
def find_part(
    vertex: Array,
    corners: int,
    listed: Array,
    count: int,
    chain: Array,
    joined: Array,
    bounds: Array,
) -> Part:
    """Return the part of a lattice of ``count`` vertices that the pixels ``listed`` need."""
    # Bit a: reached along the axes before a; reaching along the axes from a on. A vertex once
    # reached stays so along more axes: later bits are set with it.
    reached = np.zeros(count + 1, np.uint8)
    for k in range(listed.size):
        start = corners * v.load_id(listed, k)
        for j in range(start, start + corners):
            v.store_one(reached, v.load_id(vertex, j), np.uint8(255))
    reaching = np.empty(count + 1, np.uint8)
    for i in range(count + 1):
        reaching[i] = reached[i]
    for axis in range(corners):
        later = (0xFF << (axis + 1)) & 0xFF
        _pass_on(reached, bounds[axis], bounds[axis + 1], axis, later, chain, joined)
    for axis in range(corners - 1, -1, -1):
        earlier = (1 << (axis + 1)) - 1
        _pass_on(reaching, bounds[axis], bounds[axis + 1], axis + 1, earlier, chain, joined)
    number = np.empty(count, np.int32)
    kept = np.empty(count, np.int32)
    many = 0
    for i in range(count):
        both = reached[i] & reaching[i]
        reached[i] = both
        number[i] = many
        kept[many] = i
        many += 1 if both != 0 else 0
    new_chain = np.empty(chain.size + 1, np.int32)
    new_joined = np.empty(chain.size + 1, np.float32)
    new_bounds = np.zeros(corners + 1, np.int64)
    end = 0
    for axis in range(corners):
        before = np.float32(0)
        for i in range(bounds[axis], bounds[axis + 1]):
            here = v.load_id(chain, i)
            matters = (np.int64(v.load_one(reached, here)) >> axis) & 3 != 0
            v.store_one(new_chain, end, v.load_one(number, here))
            v.store_one(new_joined, end, v.load_one(joined, i) * before)
            end += 1 if matters else 0
            before = np.float32(1) if matters else np.float32(0)
        new_bounds[axis + 1] = end
    renamed = np.empty(listed.size * corners, np.int32)
    for k in range(listed.size):
        start = corners * v.load_id(listed, k)
        for r in range(corners):
            place = v.load_one(number, v.load_id(vertex, start + r))
            v.store_one(renamed, k * corners + r, place)
    return Part(kept[:many], renamed, new_chain[:end], new_joined[:end], new_bounds)
