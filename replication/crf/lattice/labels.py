"""Which labels a mean field has to carry: log P in planes of eight lanes, the rest as one lane."""

import math

import numpy as np
from jaxtyping import Float32, Int64

from replication.crf.lattice.passes import NOTHING, Array
from replication.kernels import lanes as v
from replication.kernels.compiled import compiled

_BLOCK = 64  # pixels that are transposed together


@compiled
def arrange(unary: Array, order: Array, logits: Array, peak: Array) -> None:
    """Turn energies (C * N,) into planes of logits in ``order``, a pixel's largest being 0.

    ``peak`` grows to each label's largest probability.
    """
    total_pixels = order.size
    classes = unary.size // total_pixels
    planes = (classes + 7) // 8
    room = np.empty(8 * planes * _BLOCK, np.float32)  # (_BLOCK, planes, 8)
    room[:] = NOTHING
    one = v.broadcast(np.float32(1))
    for begin in range(0, total_pixels, _BLOCK):
        count = min(_BLOCK, total_pixels - begin)
        for k in range(classes):
            for b in range(count):
                place = k * total_pixels + v.load_id(order, begin + b)
                v.store_one(room, 8 * planes * b + k, -v.load_one(unary, place))
        for b in range(count):
            top = v.load(room, 8 * planes * b)
            for plane in range(1, planes):
                top = v.maximum(top, v.load(room, 8 * (planes * b + plane)))
            top = v.largest(top)
            total = v.broadcast(np.float32(0))
            for plane in range(planes):
                z = v.subtract(v.load(room, 8 * (planes * b + plane)), top)
                v.store(logits, 8 * (plane * total_pixels + begin + b), z)
                e = v.exp(z)
                v.store(room, 8 * (planes * b + plane), e)
                total = v.add(total, e)
            norm = v.divide(one, v.total(total))
            for plane in range(planes):
                q = v.multiply(v.load(room, 8 * (planes * b + plane)), norm)
                v.store(peak, 8 * plane, v.maximum(v.load(peak, 8 * plane), q))
        for b in range(count):
            for k in range(classes, 8 * planes):
                v.store_one(room, 8 * planes * b + k, NOTHING)


@compiled
def compact(all_logits: Array, active: Array, others: Array, logits: Array) -> None:
    """Copy the ``active`` labels' logits; the lane after them is log of the sum of the others' P.

    ``others`` is 1 in the lanes of ``all_logits`` that hold a label which is not active.
    """
    total_pixels = all_logits.size // others.size
    planes = logits.size // (8 * total_pixels)
    room = np.empty(8 * planes, np.float32)
    room[:] = NOTHING
    for i in range(total_pixels):
        for c in range(active.size):
            label = v.load_one(active, c)
            place = 8 * ((label >> 3) * total_pixels + i) + (label & 7)
            v.store_one(room, c, v.load_one(all_logits, place))
        total = v.broadcast(np.float32(0))
        for plane in range(others.size // 8):
            e = v.exp(v.load(all_logits, 8 * (plane * total_pixels + i)))
            total = v.fma(e, v.load(others, 8 * plane), total)
        amount = v.first(v.total(total))
        room[active.size] = NOTHING
        if amount > 0:
            room[active.size] = np.float32(math.log(amount))
        for plane in range(planes):
            v.store(logits, 8 * (plane * total_pixels + i), v.load(room, 8 * plane))


def choose(
    peak: Float32[np.ndarray, " C"], limit: float, least: int = 1
) -> Int64[np.ndarray, " A"]:
    """Return the fewest labels (whole planes, less a lane) such that the rest stay small.

    Args:
        peak: each label's largest belief over the image.
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
