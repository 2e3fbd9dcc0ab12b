"""Which labels a mean field has to carry: log P in planes of eight lanes, the rest as one lane."""

import math

import numpy as np
from numba import njit

from replication.crf.lattice import lanes as v
from replication.crf.lattice.passes import BLOCK, NOTHING

_OPTIONS = {"cache": True, "nogil": True, "boundscheck": False}


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def arrange(unary, order, logits, peak):  # type: ignore[no-untyped-def]
    """Turn flat (C, N) energies into planes of logits in ``order``, the largest of a pixel being 0.

    ``peak`` grows to each label's largest probability.
    """
    pixels = order.size
    classes = unary.size // pixels
    planes = (classes + 7) // 8
    room = np.full(8 * planes * BLOCK, NOTHING)  # (BLOCK, planes, 8)
    one = v.broadcast(np.float32(1))
    for begin in range(0, pixels, BLOCK):
        count = min(BLOCK, pixels - begin)
        for k in range(classes):
            for b in range(count):
                place = k * pixels + v.load_id(order, begin + b)
                v.store_one(room, 8 * planes * b + k, -v.load_one(unary, place))
        for b in range(count):
            top = v.load(room, 8 * planes * b)
            for plane in range(1, planes):
                top = v.maximum(top, v.load(room, 8 * (planes * b + plane)))
            top = v.largest(top)
            total = v.broadcast(np.float32(0))
            for plane in range(planes):
                z = v.subtract(v.load(room, 8 * (planes * b + plane)), top)
                v.store(logits, 8 * (plane * pixels + begin + b), z)
                e = v.exp(z)
                v.store(room, 8 * (planes * b + plane), e)
                total = v.add(total, e)
            norm = v.divide(one, v.total(total))
            for plane in range(planes):
                q = v.multiply(v.load(room, 8 * (planes * b + plane)), norm)
                v.store(peak, 8 * plane, v.maximum(v.load(peak, 8 * plane), q))
        if classes < 8 * planes:
            for b in range(count):
                for k in range(classes, 8 * planes):
                    room[8 * planes * b + k] = NOTHING


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def compact(pixels, all_logits, active, others, logits):  # type: ignore[no-untyped-def]
    """Copy the ``active`` labels' logits; the lane after them is log of the sum of the others' P.

    ``others`` is 1 in the lanes of ``all_logits`` that are not active; all 0 leaves that lane out.
    """
    planes = logits.size // (8 * pixels)
    room = np.full(8 * planes, NOTHING)
    rest = active.size < room.size and others.max() > 0
    for i in range(pixels):
        for c in range(active.size):
            label = active[c]
            room[c] = all_logits[8 * ((label >> 3) * pixels + i) + (label & 7)]
        if rest:
            total = v.broadcast(np.float32(0))
            for plane in range(others.size // 8):
                e = v.exp(v.load(all_logits, 8 * (plane * pixels + i)))
                total = v.fma(e, v.load(others, 8 * plane), total)
            amount = v.first(v.total(total))
            room[active.size] = NOTHING
            if amount > 0:
                room[active.size] = np.float32(math.log(amount))
        for plane in range(planes):
            v.store(logits, 8 * (plane * pixels + i), v.load(room, 8 * plane))


def choose(peak: np.ndarray, limit: float, least: int = 1) -> np.ndarray:
    """Return the fewest labels (whole planes, less a lane) such that the rest stay small.

    Args:
        peak: each label's largest belief over the image, (C,).
        limit: what the others' largest beliefs may sum up to.
        least: how many planes to fill at least.

    Returns:
        The labels, ascending; all of them if the lanes suffice.
    """
    ranking = np.argsort(-peak, kind="stable")
    tail = np.cumsum(peak[ranking][::-1], dtype=np.float64)[::-1]  # from each rank on
    needed = int((tail > limit).sum())
    lanes = 8 * max(needed // 8 + 1, least)  # one lane is for the rest
    if lanes >= len(peak):
        return np.arange(len(peak))
    return np.sort(ranking[: lanes - 1])
