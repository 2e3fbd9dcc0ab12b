"""Updates with more labels than one register holds, and the first one, which settings share.

Pixels go through in blocks: each step is a short loop over a block, whose values stay in the
processor's first cache.
"""
# ruff: noqa: PLR0917 - compiled functions take arrays one by one

import numpy as np

from replication.crf.lattice.passes import (
    Array,
    Pair,
    Pixels,
    slice_bilateral,
    slice_spatial,
    splat_both,
)
from replication.kernels import lanes as v
from replication.kernels.compiled import compiled, inlined

BLOCK = 64


@inlined
def _slice_block(
    begin: int, every: int, count: int, planes: int, pixels: Pixels, values: Pair, room: Array
) -> None:
    """Leave what ``count`` pixels get of both kernels in ``room``, (2, planes, BLOCK, 8)."""
    size_s, size_b = values.spatial.size // planes, values.bilateral.size // planes
    for plane in range(planes):
        for b in range(count):
            i = begin + b * every
            s = slice_spatial(i, values.spatial, plane * size_s, pixels.vertex_s, pixels.weight_s)
            v.store(room, 8 * (plane * BLOCK + b), v.multiply(s, v.load_all(pixels.scales, 4 * i)))
            t = slice_bilateral(
                i, values.bilateral, plane * size_b, pixels.vertex_b, pixels.weight_b
            )
            t = v.multiply(t, v.load_all(pixels.scales, 4 * i + 1))
            v.store(room, 8 * ((planes + plane) * BLOCK + b), t)


@inlined
def _believe_block(
    begin: int,
    every: int,
    count: int,
    planes: int,
    logits: Array,
    strength_s: np.float32,
    strength_b: np.float32,
    room: Array,
    beliefs: Array,
    tops: Array,
) -> None:
    """Turn ``room`` into ``beliefs``, (planes, BLOCK, 8).

    ``tops``, (2, BLOCK, 8), get the largest logit, and 1 / the sum of the exponentials.
    """
    total_pixels = logits.size // (8 * planes)
    ws, wb = v.broadcast(strength_s), v.broadcast(strength_b)
    one = v.broadcast(np.float32(1))
    for b in range(count):
        i = begin + b * every
        for plane in range(planes):
            at = 8 * (plane * BLOCK + b)
            z = v.load(logits, 8 * (plane * total_pixels + i))
            z = v.fma(wb, v.load(room, at + 8 * planes * BLOCK), z)
            z = v.fma(ws, v.load(room, at), z)
            v.store(beliefs, at, z)
        top = v.load(beliefs, 8 * b)
        for plane in range(1, planes):
            top = v.maximum(top, v.load(beliefs, 8 * (plane * BLOCK + b)))
        top = v.largest(top)
        total = v.broadcast(np.float32(0))
        for plane in range(planes):
            at = 8 * (plane * BLOCK + b)
            e = v.exp(v.subtract(v.load(beliefs, at), top))
            v.store(beliefs, at, e)
            total = v.add(total, e)
        share = v.divide(one, v.total(total))
        for plane in range(planes):
            at = 8 * (plane * BLOCK + b)
            v.store(beliefs, at, v.multiply(v.load(beliefs, at), share))
        v.store(tops, 8 * b, top)
        v.store(tops, 8 * (BLOCK + b), share)


@inlined
def _note_peaks(peak: Array, at: int, count: int, planes: int, beliefs: Array) -> None:
    """Let ``peak`` grow to a block's largest beliefs, from ``at`` on."""
    for plane in range(planes):
        top = v.load(peak, at + 8 * plane)
        for b in range(count):
            top = v.maximum(top, v.load(beliefs, 8 * (plane * BLOCK + b)))
        v.store(peak, at + 8 * plane, top)


@inlined
def _send(
    count: int, planes: int, lanes: int, beliefs: Array, chosen: Array, mask: Array, sent: Array
) -> None:
    """Copy the lanes ``chosen`` of a block's ``beliefs``; ``mask`` is 1 in the ``lanes`` of now."""
    if chosen.size == lanes:  # all of them: the planes stay as they are
        for plane in range(planes):
            opened = v.load(mask, 8 * plane)
            for b in range(count):
                at = 8 * (plane * BLOCK + b)
                v.store(sent, at, v.multiply(v.load(beliefs, at), opened))
        return
    for c in range(chosen.size):
        source = 8 * BLOCK * (chosen[c] >> 3) + (chosen[c] & 7)
        sink = 8 * BLOCK * (c >> 3) + (c & 7)
        for b in range(count):
            v.store_one(sent, sink + 8 * b, v.load_one(beliefs, source + 8 * b))


@compiled
def update_planes(
    every: int,
    planes: int,
    lanes: int,
    logits: Array,
    strengths: Array,
    pixels: Pixels,
    values: Pair,
    chosen: Array,
    next_planes: int,
    target: Pair,
    peak: Array,
    kept: Array,
) -> None:
    """Update all pixels for several settings and splat the lanes ``chosen`` for each.

    Args:
        every: 1; or, without ``next_planes``, how many pixels to pass over for one to look at.
        lanes: how many labels are in play now.
        strengths: (w2, w1) of each setting, flat.
        chosen: which lanes of now become the lanes of ``target``.
        next_planes: how many planes each setting has there, one setting after the other; 0 splats
            nothing.
        peak: grows to the largest beliefs in the lanes of now, setting by setting.
        kept: unless empty, gets the beliefs splatted, (settings, N, 8), for one plane; the lane
            after the chosen ones what they leave of 1.
    """
    settings = strengths.size // 2
    room = np.zeros(16 * BLOCK * planes, np.float32)
    beliefs = np.zeros(8 * BLOCK * planes, np.float32)
    tops = np.zeros(16 * BLOCK, np.float32)
    sent = np.zeros(8 * BLOCK * max(next_planes, 1), np.float32)
    mask = np.zeros(8 * planes, np.float32)
    for c in range(lanes):
        mask[c] = 1
    size_s = target.spatial.size // (settings * max(next_planes, 1))
    size_b = target.bilateral.size // (settings * max(next_planes, 1))
    total_pixels = logits.size // (8 * planes)
    for begin in range(0, total_pixels, every * BLOCK):
        count = min(BLOCK, (total_pixels - begin + every - 1) // every)
        _slice_block(begin, every, count, planes, pixels, values, room)
        for k in range(settings):
            ws, wb = strengths[2 * k], strengths[2 * k + 1]
            _believe_block(begin, every, count, planes, logits, ws, wb, room, beliefs, tops)
            _note_peaks(peak, 8 * planes * k, count, planes, beliefs)
            if next_planes == 0:
                continue
            _send(count, planes, lanes, beliefs, chosen, mask, sent)
            if kept.size > 0:
                for b in range(count):
                    q = v.load(sent, 8 * b)
                    at = 8 * (k * total_pixels + begin + b)
                    v.store(kept, at, q)
                    if chosen.size < 8:
                        rest = np.float32(1) - v.first(v.total(q))
                        v.store_one(kept, at + chosen.size, rest)
            for plane in range(next_planes):
                starts = ((k * next_planes + plane) * size_s, (k * next_planes + plane) * size_b)
                for b in range(count):
                    q = v.load(sent, 8 * (plane * BLOCK + b))
                    splat_both(begin + b, q, target, starts, pixels)


@compiled
def finish(
    planes: int,
    logits: Array,
    strength: Array,
    pixels: Pixels,
    values: Pair,
    active: Array,
    order: Array,
    all_logits: Array,
    labels: Array,
    classes: int,
    output: Array,
) -> None:
    """Make the last update; write the best label and, unless ``output`` is empty, every belief.

    ``labels`` (N,) and ``output`` (C * N,) are row-major images; ``active`` are the labels of the
    lanes; ``all_logits`` are planes of every label.
    """
    room = np.zeros(16 * BLOCK * planes, np.float32)
    beliefs = np.zeros(8 * BLOCK * planes, np.float32)
    tops = np.zeros(16 * BLOCK, np.float32)
    other = np.zeros(8 * BLOCK, np.float32)
    best = np.zeros(BLOCK, np.float32)
    playing = np.zeros(classes, np.uint8)
    for c in range(active.size):
        playing[active[c]] = 1
    total_pixels = order.size
    for begin in range(0, total_pixels, BLOCK):
        count = min(BLOCK, total_pixels - begin)
        _slice_block(begin, 1, count, planes, pixels, values, room)
        _believe_block(
            begin, 1, count, planes, logits, strength[0], strength[1], room, beliefs, tops
        )
        best[:] = -1
        for c in range(active.size):
            label = active[c]
            source = 8 * BLOCK * (c >> 3) + (c & 7)
            for b in range(count):
                q = v.load_one(beliefs, source + 8 * b)
                place = v.load_id(order, begin + b)
                if q > v.load_one(best, b):
                    v.store_one(best, b, q)
                    v.store_one(labels, place, np.uint8(label))
                if output.size > 0:
                    v.store_one(output, label * total_pixels + place, q)
        if active.size == classes or output.size == 0:
            continue
        for plane in range((classes + 7) // 8):
            for b in range(count):
                z = v.load(all_logits, 8 * (plane * total_pixels + begin + b))
                e = v.exp(v.subtract(z, v.load(tops, 8 * b)))
                v.store(other, 8 * b, v.multiply(e, v.load(tops, 8 * (BLOCK + b))))
            for label in range(8 * plane, min(8 * plane + 8, classes)):
                if playing[label] == 0:
                    for b in range(count):
                        place = label * total_pixels + v.load_id(order, begin + b)
                        v.store_one(output, place, v.load_one(other, 8 * b + (label & 7)))
