"""Mean field in pydensecrf's very order of operations, for settings with strong messages.

Where messages are many times larger than 1, pixels between two labels amplify rounding from update
to update: the last binary digit of a score can move Q by 1e-3, and only programs that round alike
agree. So pixels go row by row here, sums run in the order of Krähenbühl's C++ (`permutohedral.cpp`,
`densecrf.cpp`, Eigen's exponential and sum of four lanes), nothing is fused, no label is left out:
on x86-64, Q equals pydensecrf's bit for bit. It takes half of pydensecrf's time, and two to three
times that of `replication.crf.lattice.meanfield`.

Layouts are those of `replication.crf.lattice.passes`, but for the order of the pixels.
"""
# ruff: noqa: PLR0917 - compiled functions take arrays one by one

import math

import numpy as np
from jaxtyping import Float32

from replication.crf.lattice.filter import blur
from replication.crf.lattice.image import Image
from replication.crf.lattice.kernel import Kernel
from replication.crf.lattice.passes import NOTHING, Array
from replication.crf.parameters import CrfParameters
from replication.kernels import lanes as v
from replication.kernels.compiled import compiled, inlined

_PACKET = 4  # lanes of Eigen's registers
_ROUND = np.float32(1.5 * 2.0**23)  # added and taken away: rounds below 2^22
_LOG2E = np.float32(1.44269504088896341)
_LN2 = (np.float32(0.693359375), np.float32(-2.12194440e-4))
_LOWEST = np.float32(-88.3762626647949)
_SERIES = tuple(
    np.float32(term)
    for term in (
        *(1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3),
        *(4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1),
    )
)


@inlined
def _exp(given: v.Vector) -> v.Vector:
    """Return e^x for x <= 0 as Eigen's packets do (Cephes' expf), each product rounded."""
    x = v.maximum(given, v.broadcast(_LOWEST))
    shifted = v.add(v.multiply(x, v.broadcast(_LOG2E)), v.broadcast(np.float32(0.5)))
    nearest = v.subtract(v.add(shifted, v.broadcast(_ROUND)), v.broadcast(_ROUND))
    whole = v.subtract(nearest, v.less(shifted, nearest))
    high = v.multiply(whole, v.broadcast(_LN2[0]))
    low = v.multiply(whole, v.broadcast(_LN2[1]))
    x = v.subtract(v.subtract(x, high), low)
    y = v.broadcast(_SERIES[0])
    for term in _SERIES[1:]:
        y = v.add(v.multiply(y, x), v.broadcast(term))
    y = v.add(v.add(v.multiply(y, v.multiply(x, x)), x), v.broadcast(np.float32(1)))
    return v.multiply(y, v.power_of_two(whole))


@inlined
def _sum(values: Array, count: int) -> np.float32:
    """Add up as Eigen does: packets in two sums, both, the packet left over, then single values."""
    whole = count // _PACKET * _PACKET
    paired = count // (2 * _PACKET) * (2 * _PACKET)
    result: np.float32
    if whole == 0:
        result = values[0]
        for c in range(1, count):
            result += values[c]
        return result
    lanes = np.empty(_PACKET, np.float32)
    for lane in range(_PACKET):
        total = values[lane]
        if whole > _PACKET:
            other = values[_PACKET + lane]
            for c in range(2 * _PACKET, paired, 2 * _PACKET):
                total += values[c + lane]
                other += values[c + _PACKET + lane]
            total += other
            if whole > paired:
                total += values[paired + lane]
        lanes[lane] = total
    result = (lanes[0] + lanes[2]) + (lanes[1] + lanes[3])
    for c in range(whole, count):
        result += values[c]
    return result


@compiled
def _softmax(classes: int, logits: Array, beliefs: Array) -> None:
    """Turn logits into beliefs, pixel by pixel; lanes without a label become 0."""
    planes = (classes + 7) // 8
    count = logits.size // (8 * planes)
    whole = classes // _PACKET * _PACKET
    room = np.zeros(8 * planes, np.float32)
    for i in range(count):
        top = v.load(logits, 8 * i)
        for plane in range(1, planes):
            top = v.maximum(top, v.load(logits, 8 * (plane * count + i)))
        top = v.largest(top)
        for plane in range(planes):
            at = 8 * (plane * count + i)
            z = v.subtract(v.load(logits, at), top)
            v.store(room, 8 * plane, _exp(z))
            v.store(beliefs, at, z)
        for c in range(whole, classes):  # Eigen leaves these to the C library
            z = beliefs[8 * ((c >> 3) * count + i) + (c & 7)]
            room[c] = math.exp(z)
        total = v.broadcast(_sum(room, classes))
        for c in range(classes, 8 * planes):
            room[c] = 0
        for plane in range(planes):
            q = v.divide(v.load(room, 8 * plane), total)
            v.store(beliefs, 8 * (plane * count + i), q)


@compiled
def _splat(
    planes: int,
    beliefs: Array,
    scale: Array,
    corners: int,
    vertex: Array,
    weight: Array,
    values: Array,
) -> None:
    """Share out every pixel's beliefs times its ``scale`` (N,) to its vertices."""
    count = scale.size
    size = values.size // planes
    for plane in range(planes):
        for i in range(count):
            q = v.multiply(v.load(beliefs, 8 * (plane * count + i)), v.load_all(scale, i))
            for j in range(corners * i, corners * (i + 1)):
                at = plane * size + 8 * v.load_id(vertex, j)
                share = v.multiply(v.load_all(weight, j), q)
                v.store(values, at, v.add(v.load(values, at), share))


@compiled
def _add_message(
    few: bool,
    planes: int,
    strength: np.float32,
    alpha: np.float32,
    values: Array,
    scale: Array,
    corners: int,
    vertex: Array,
    weight: Array,
    logits: Array,
) -> None:
    """Slice, and add ``strength`` times each pixel's ``scale`` (N,) times the result to the logits.

    With ``few`` labels, one or two, the lattice's ``alpha`` comes in last, else with the weight.
    """
    count = scale.size
    size = values.size // planes
    alphas = v.broadcast(alpha)
    for plane in range(planes):
        for i in range(count):
            s = v.broadcast(np.float32(0))
            for j in range(corners * i, corners * (i + 1)):
                row = v.load(values, plane * size + 8 * v.load_id(vertex, j))
                w = v.load_all(weight, j)
                if few:
                    s = v.add(s, v.multiply(v.multiply(w, row), alphas))
                else:
                    s = v.add(s, v.multiply(v.multiply(w, alphas), row))
            s = v.multiply(v.multiply(s, v.load_all(scale, i)), v.broadcast(strength))
            at = 8 * (plane * count + i)
            v.store(logits, at, v.add(v.load(logits, at), s))


def _kernels(image: Image, p: CrfParameters) -> list[tuple[Kernel, float]]:
    """Return the kernels that say something, pixels row by row, and their weights."""
    kernels = []
    if p.w2 > 0:
        kernels.append((image.spatial(p.sigma_gamma).in_rows(), p.w2))
    if p.w1 > 0:
        kernels.append((image.bilateral((p.sigma_alpha, p.sigma_beta)).in_rows(), p.w1))
    return kernels


def refine(image: Image, p: CrfParameters) -> Float32[np.ndarray, "C H W"]:
    """Return Q of one setting."""
    classes, planes = image.classes, -(-image.classes // 8)
    filled = np.full((8 * planes, image.pixels), NOTHING, np.float32)
    filled[:classes] = -image.unary.reshape(classes, -1)
    plain = np.ascontiguousarray(filled.reshape(planes, 8, -1).transpose(0, 2, 1)).ravel()
    beliefs = np.empty_like(plain)
    _softmax(classes, plain, beliefs)
    kernels = [
        (*kernel.norms(p.normalization), kernel, weight) for kernel, weight in _kernels(image, p)
    ]
    for _ in range(p.iterations):
        logits = plain.copy()
        for before, after, kernel, weight in kernels:
            places = (kernel.vertex.shape[1], kernel.vertex.ravel(), kernel.weights.ravel())
            values = np.zeros(planes * (kernel.count + 1) * 8, np.float32)
            _splat(planes, beliefs, before, *places, values)
            blur(values, planes, kernel.chain, kernel.joined, kernel.bounds)
            _add_message(
                classes <= 2,
                planes,
                np.float32(weight),
                kernel.alpha,
                values,
                after,
                *places,
                logits,
            )
        _softmax(classes, logits, beliefs)
    by_label = beliefs.reshape(planes, -1, 8).transpose(0, 2, 1).reshape(8 * planes, -1)
    return np.ascontiguousarray(by_label[:classes]).reshape(classes, image.height, image.width)
