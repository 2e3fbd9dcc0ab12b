"""Features to simplices: which vertices of the permutohedral lattice surround a pixel.

Adams, Baek and Davis (2010), section 3: a feature vector of d numbers is lifted onto the plane of
d + 1 coordinates that sum to 0; the lattice's vertices there have coordinates that leave one common
remainder when divided by d + 1. Each point lies in a simplex of d + 1 vertices, one a remainder,
and is the mean of them with barycentric weights.

Every operation is float32, in pydensecrf's order and never fused: one coordinate rounded the other
way is another vertex.
"""
# ruff: noqa: PLR0917 - compiled functions take arrays one by one

import math

import numpy as np
from jaxtyping import Float32, Int64, UInt8

from replication.errors import ReplicationError
from replication.kernels import lanes as v
from replication.kernels.compiled import compiled

MARGIN = 3  # a rounded coordinate is put right by 1, its vertices are off by 1, neighbours by 1
_ROUND = np.float32(1.5 * 2.0**23)  # added and taken away: rounds half to even below 2^22
_LARGEST = 2.0**21


def scale_factors(d: int) -> Float32[np.ndarray, " d"]:
    """Return what each feature is multiplied by, so that a blur's deviation is 1 feature unit."""
    deviation = float(np.float32(math.sqrt(2 / 3) * (d + 1)))
    return np.array([1 / math.sqrt((i + 2) * (i + 1)) * deviation for i in range(d)], np.float32)


def features(
    image: UInt8[np.ndarray, "H W 3"], position: float, colour: float | None
) -> Float32[np.ndarray, "d N"]:
    """Return (x, y) / position and, for the bilateral kernel, (r, g, b) / colour: (d, H*W)."""
    height, width = image.shape[:2]
    wide = np.float32(position)
    x = np.arange(width, dtype=np.float32) / wide
    y = np.arange(height, dtype=np.float32) / wide
    rows = np.empty((2 if colour is None else 5, height, width), np.float32)
    rows[0], rows[1] = x, y[:, None]
    if colour is not None:
        levels = np.arange(256, dtype=np.float32) / np.float32(colour)
        for channel in range(3):
            rows[2 + channel] = levels[image[..., channel]]
    return rows.reshape(len(rows), -1)


def packing(largest: list[float], what: str) -> tuple[Int64[np.ndarray, " d_1"], int, int]:
    """Say how a vertex becomes one integer: coordinate i counts ``strides[i]``, remainder ``top``.

    A coordinate is divided by d + 1 first: all coordinates of a vertex leave the same remainder,
    kept once. The last coordinate follows from the others and has stride 0.

    Args:
        largest: the largest value of each feature; the smallest is 0.
        what: names the kernel's widths in the error.

    Returns:
        (strides, top, start), ``start`` added so that no digit is negative.

    Raises:
        ReplicationError: the positions do not fit into 62 bits, or into float32.
    """
    d = len(largest)
    lifted = [float(f) * x for f, x in zip(scale_factors(d), largest, strict=True)]
    strides, top, start = [], 1, 0
    for i in range(d):
        high = sum(lifted[i:]) / (d + 1)
        low = i * lifted[i - 1] / (d + 1) if i else 0.0
        if max(high, low) > _LARGEST:
            top = 2**63
            break
        strides.append(top)
        start += (math.ceil(low) + MARGIN) * top
        top *= math.ceil(high) + math.ceil(low) + 2 * MARGIN + 1
    if top * (d + 1) >= 2**62:
        raise ReplicationError(
            f"{what} is too small for this image: its lattice has more positions than 62 bits "
            "count; take it larger"
        )
    return np.array([*strides, 0], np.int64), top, start


@compiled
def simplices(
    feature: np.ndarray,
    factors: np.ndarray,
    begin: int,
    lifted: np.ndarray,
    rounded: np.ndarray,
    rank: np.ndarray,
    weight: np.ndarray,
) -> None:
    """Find the simplices of eight points: ``feature`` (d * P,) from ``begin`` on.

    Writes flat rows of eight: ``rounded``, the nearest remainder-0 vertex's coordinates divided by
    d + 1; ``rank``, the place of each coordinate's difference from it, 0 the largest; ``weight``,
    the barycentric weight of the vertex of each remainder. ``lifted`` is room for d + 1 rows.
    """
    d = factors.size
    zero, one = v.broadcast(np.float32(0)), v.broadcast(np.float32(1))
    size = v.broadcast(np.float32(d + 1))
    inverse = v.broadcast(np.float32(1) / np.float32(d + 1))
    rounding = v.broadcast(_ROUND)
    total = zero
    points = feature.size // d
    for i in range(d, 0, -1):
        scaled = v.multiply(v.load(feature, (i - 1) * points + begin), v.broadcast(factors[i - 1]))
        v.store(lifted, 8 * i, v.subtract(total, v.multiply(v.broadcast(np.float32(i)), scaled)))
        total = v.add(total, scaled)
    v.store(lifted, 0, total)
    off = zero  # by how many vertices the rounded point misses the plane
    for i in range(d + 1):
        whole = v.multiply(inverse, v.load(lifted, 8 * i))
        whole = v.subtract(v.add(whole, rounding), rounding)
        v.store(rounded, 8 * i, whole)
        off = v.add(off, whole)
        difference = v.subtract(v.load(lifted, 8 * i), v.multiply(whole, size))
        v.store(weight, 8 * i, difference)
        v.store(rank, 8 * i, zero)
    for i in range(d):
        mine = v.load(weight, 8 * i)
        place = v.load(rank, 8 * i)
        for j in range(i + 1, d + 1):
            behind = v.less(mine, v.load(weight, 8 * j))
            place = v.add(place, behind)
            v.store(rank, 8 * j, v.add(v.load(rank, 8 * j), v.subtract(one, behind)))
        v.store(rank, 8 * i, place)
    for i in range(d + 1):
        place = v.add(v.load(rank, 8 * i), off)
        # 1 below the first rank, -1 above the last: the coordinate moves by one vertex.
        move = v.subtract(v.less(place, zero), v.subtract(one, v.less(place, size)))
        v.store(rank, 8 * i, v.add(place, v.multiply(move, size)))
        whole = v.add(v.load(rounded, 8 * i), move)
        v.store(rounded, 8 * i, whole)
        difference = v.subtract(v.load(lifted, 8 * i), v.multiply(whole, size))
        v.store(lifted, 8 * i, v.multiply(difference, inverse))
    # With the differences sorted, the weight of remainder r is that of rank d-r less the next.
    before = zero
    for r in range(d + 1):
        at_rank = zero
        for i in range(d + 1):
            here = v.equal(v.load(rank, 8 * i), v.broadcast(np.float32(d - r)))
            at_rank = v.add(at_rank, v.multiply(here, v.load(lifted, 8 * i)))
        v.store(weight, 8 * r, v.subtract(at_rank, before))
        before = at_rank
    v.store(weight, 0, v.add(v.load(weight, 0), v.subtract(one, before)))
