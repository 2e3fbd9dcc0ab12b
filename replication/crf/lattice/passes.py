"""One mean-field update as one pass over the pixels: slice both kernels, softmax, splat.

Labels come in planes of eight lanes. ``logits``: value ``(plane * N + pixel) * 8 + lane``, log P of
a label in play, or of all the others together, or `NOTHING`. A lattice: ``(plane * (M + 1) +
vertex) * 8 + lane``, its last vertex a dummy. No array of pixels by labels besides the logits ever
exists, and a plane of a lattice mostly stays in the processor's caches.

``scales`` holds four factors a pixel: after slicing, spatial and bilateral; before splatting, the
same. ``strength`` is (w2, w1).
"""

import numpy as np
from numba import njit

from replication.crf.lattice import lanes as v

NOTHING = np.float32(-1e30)
BLOCK = 64  # pixels that go through each step together: their values stay in the first cache
_OPTIONS = {"cache": True, "nogil": True, "boundscheck": False}


@njit(forceinline=True)  # type: ignore[untyped-decorator]
def _spatial(i, values, start, vertex, weight):  # type: ignore[no-untyped-def]
    j = 3 * i
    s = v.multiply(v.load_all(weight, j), v.load(values, start + 8 * v.load_id(vertex, j)))
    for r in range(1, 3):
        row = v.load(values, start + 8 * v.load_id(vertex, j + r))
        s = v.fma(v.load_all(weight, j + r), row, s)
    return s


@njit(forceinline=True)  # type: ignore[untyped-decorator]
def _bilateral(i, values, start, vertex, weight):  # type: ignore[no-untyped-def]
    j = 6 * i
    s = v.multiply(v.load_all(weight, j), v.load(values, start + 8 * v.load_id(vertex, j)))
    j += 3
    t = v.multiply(v.load_all(weight, j), v.load(values, start + 8 * v.load_id(vertex, j)))
    for r in range(1, 3):  # two sums, so that half of the additions wait for each other
        row = v.load(values, start + 8 * v.load_id(vertex, j - 3 + r))
        s = v.fma(v.load_all(weight, j - 3 + r), row, s)
        row = v.load(values, start + 8 * v.load_id(vertex, j + r))
        t = v.fma(v.load_all(weight, j + r), row, t)
    return v.add(s, t)


@njit(forceinline=True)  # type: ignore[untyped-decorator]
def _splat(q, values, start, vertex, weight, j, corners):  # type: ignore[no-untyped-def]
    for r in range(corners):
        at = start + 8 * v.load_id(vertex, j + r)
        v.store(values, at, v.fma(v.load_all(weight, j + r), q, v.load(values, at)))


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def update(  # type: ignore[no-untyped-def]
    pixels, begin, end, subtract, logits, scales, strength,
    vertex_s, weight_s, vertex_b, weight_b,
    spatial, bilateral, next_spatial, next_bilateral, mask, peak,
):
    """Update pixels ``begin`` to ``end`` whose labels in play fit one plane.

    ``mask`` is 1 in the lanes that splat; ``peak`` (8,) grows to the largest beliefs.
    ``subtract`` asks to take away the maximum before exp: logits might overflow.
    """
    one = v.broadcast(np.float32(1))
    strength_s, strength_b = v.load_all(strength, 0), v.load_all(strength, 1)
    open_lanes, top = v.load(mask, 0), v.load(peak, 0)
    for i in range(begin, end):
        ks = v.multiply(strength_s, v.load_all(scales, 4 * i))
        kb = v.multiply(strength_b, v.load_all(scales, 4 * i + 1))
        z = v.fma(kb, _bilateral(i, bilateral, 0, vertex_b, weight_b), v.load(logits, 8 * i))
        z = v.fma(ks, _spatial(i, spatial, 0, vertex_s, weight_s), z)
        if subtract:
            z = v.subtract(z, v.largest(z))
        e = v.exp(z)
        q = v.multiply(e, v.divide(one, v.total(e)))
        top = v.maximum(top, q)
        q = v.multiply(q, open_lanes)
        qs = v.multiply(q, v.load_all(scales, 4 * i + 2))
        _splat(qs, next_spatial, 0, vertex_s, weight_s, 3 * i, 3)
        qb = v.multiply(q, v.load_all(scales, 4 * i + 3))
        _splat(qb, next_bilateral, 0, vertex_b, weight_b, 6 * i, 6)
    v.store(peak, 0, top)


@njit(forceinline=True)  # type: ignore[untyped-decorator]
def _believe(  # type: ignore[no-untyped-def]
    begin, every, count, pixels, planes, logits, scales, strength,
    vertex_s, weight_s, vertex_b, weight_b, spatial, bilateral, room, tops,
):
    """Leave the beliefs of ``count`` pixels in ``room``, (planes, BLOCK, 8), unnormalised by

    1 / their sum, and that and their maximum logit in ``tops``, (2, BLOCK, 8).
    """
    strength_s, strength_b = v.load_all(strength, 0), v.load_all(strength, 1)
    size_s, size_b = spatial.size // planes, bilateral.size // planes
    for plane in range(planes):
        start_s, start_b = plane * size_s, plane * size_b
        for b in range(count):
            i = begin + b * every
            kb = v.multiply(strength_b, v.load_all(scales, 4 * i + 1))
            z = v.load(logits, 8 * (plane * pixels + i))
            z = v.fma(kb, _bilateral(i, bilateral, start_b, vertex_b, weight_b), z)
            ks = v.multiply(strength_s, v.load_all(scales, 4 * i))
            z = v.fma(ks, _spatial(i, spatial, start_s, vertex_s, weight_s), z)
            v.store(room, 8 * (plane * BLOCK + b), z)
    one = v.broadcast(np.float32(1))
    for b in range(count):
        top = v.load(room, 8 * b)
        for plane in range(1, planes):
            top = v.maximum(top, v.load(room, 8 * (plane * BLOCK + b)))
        top = v.largest(top)
        total = v.broadcast(np.float32(0))
        for plane in range(planes):
            at = 8 * (plane * BLOCK + b)
            e = v.exp(v.subtract(v.load(room, at), top))
            v.store(room, at, e)
            total = v.add(total, e)
        v.store(tops, 8 * b, v.divide(one, v.total(total)))
        v.store(tops, 8 * (BLOCK + b), top)


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def update_planes(  # type: ignore[no-untyped-def]
    pixels, every, planes, logits, scales, strength,
    vertex_s, weight_s, vertex_b, weight_b, spatial, bilateral,
    next_planes, next_spatial, next_bilateral, chosen, peak, kept,
):
    """Update every so many pixels; lane c of the next lattices is lane ``chosen[c]`` of these.

    Only those splat; without ``next_planes`` nothing does. ``peak`` has a place for each lane of
    now. ``kept``, unless empty, gets the beliefs of the only next plane, (N, 8), its lane after the
    chosen ones what they leave of 1.
    """
    room = np.zeros(8 * BLOCK * planes, np.float32)
    tops = np.zeros(8 * BLOCK * 2, np.float32)
    sent = np.zeros(8 * BLOCK * max(next_planes, 1), np.float32)
    size_s = next_spatial.size // max(next_planes, 1)
    size_b = next_bilateral.size // max(next_planes, 1)
    for begin in range(0, pixels, every * BLOCK):
        count = min(BLOCK, (pixels - begin + every - 1) // every)
        _believe(
            begin, every, count, pixels, planes, logits, scales, strength,
            vertex_s, weight_s, vertex_b, weight_b, spatial, bilateral, room, tops,
        )
        for plane in range(planes):
            top = v.load(peak, 8 * plane)
            for b in range(count):
                at = 8 * (plane * BLOCK + b)
                q = v.multiply(v.load(room, at), v.load(tops, 8 * b))
                v.store(room, at, q)
                top = v.maximum(top, q)
            v.store(peak, 8 * plane, top)
        if next_planes == 0:
            continue
        for c in range(chosen.size):
            source = 8 * BLOCK * (chosen[c] >> 3) + (chosen[c] & 7)
            target = 8 * BLOCK * (c >> 3) + (c & 7)
            for b in range(count):
                sent[target + 8 * b] = room[source + 8 * b]
        if kept.size > 0:
            for b in range(count):
                q = v.load(sent, 8 * b)
                v.store(kept, 8 * (begin + b), q)
                if chosen.size < 8:
                    left = np.float32(1) - v.first(v.total(q))
                    v.store_one(kept, 8 * (begin + b) + chosen.size, left)
        for plane in range(next_planes):
            for b in range(count):
                i = begin + b * every
                q = v.load(sent, 8 * (plane * BLOCK + b))
                qs = v.multiply(q, v.load_all(scales, 4 * i + 2))
                _splat(qs, next_spatial, plane * size_s, vertex_s, weight_s, 3 * i, 3)
                qb = v.multiply(q, v.load_all(scales, 4 * i + 3))
                _splat(qb, next_bilateral, plane * size_b, vertex_b, weight_b, 6 * i, 6)


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def splat_first(  # type: ignore[no-untyped-def]
    pixels, planes, logits, scale, vertex, weight, corners, values, splatting
):
    """Splat the softmax of the logits into one lattice, the first ``splatting`` lanes of it.

    ``scale`` is each pixel's factor before splatting, (N,).
    """
    room = np.zeros(8 * planes, np.float32)
    size = values.size // planes
    for i in range(pixels):
        total = v.broadcast(np.float32(0))
        for plane in range(planes):
            e = v.exp(v.load(logits, 8 * (plane * pixels + i)))
            v.store(room, 8 * plane, e)
            total = v.add(total, e)
        norm = v.divide(v.load_all(scale, i), v.total(total))
        for c in range(splatting, room.size):
            room[c] = 0
        for plane in range(planes):
            q = v.multiply(v.load(room, 8 * plane), norm)
            _splat(q, values, plane * size, vertex, weight, corners * i, corners)


@njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def finish(  # type: ignore[no-untyped-def]
    pixels, planes, logits, scales, strength,
    vertex_s, weight_s, vertex_b, weight_b, spatial, bilateral,
    active, playing, order, all_logits, labels, beliefs,
):
    """Make the last update; write the best label and, unless ``beliefs`` is empty, every belief.

    ``labels`` (N,) and ``beliefs`` (C, N) are row-major images; ``active`` are the labels of the
    lanes, ``playing`` (C,) says which they are; ``all_logits`` are planes of every label.
    """
    room = np.zeros(8 * BLOCK * planes, np.float32)
    tops = np.zeros(8 * BLOCK * 2, np.float32)
    other = np.zeros(8 * BLOCK, np.float32)
    best = np.zeros(BLOCK, np.float32)
    for begin in range(0, pixels, BLOCK):
        count = min(BLOCK, pixels - begin)
        _believe(
            begin, 1, count, pixels, planes, logits, scales, strength,
            vertex_s, weight_s, vertex_b, weight_b, spatial, bilateral, room, tops,
        )
        best[:] = -1
        for c in range(active.size):
            label = active[c]
            source = 8 * BLOCK * (c >> 3) + (c & 7)
            for b in range(count):
                q = room[source + 8 * b] * tops[8 * b]
                if q > best[b]:
                    best[b] = q
                    labels[order[begin + b]] = label
                if beliefs.shape[0] > 0:
                    beliefs[label, order[begin + b]] = q
        if active.size == beliefs.shape[0] or beliefs.shape[0] == 0:
            continue
        for plane in range((beliefs.shape[0] + 7) // 8):
            for b in range(count):
                z = v.load(all_logits, 8 * (plane * pixels + begin + b))
                e = v.exp(v.subtract(z, v.load(tops, 8 * (BLOCK + b))))
                v.store(other, 8 * b, v.multiply(e, v.load(tops, 8 * b)))
            for lane in range(min(8, beliefs.shape[0] - 8 * plane)):
                if playing[8 * plane + lane] == 0:
                    for b in range(count):
                        beliefs[8 * plane + lane, order[begin + b]] = other[8 * b + lane]
