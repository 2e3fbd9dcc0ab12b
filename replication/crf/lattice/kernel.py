"""A Gaussian kernel of one image: its lattice, and what normalization makes of it."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Float32, Int32, Int64, UInt8

from replication.crf.lattice import build, embedding, filter
from replication.crf.lattice.order import hilbert_order
from replication.crf.parameters import Normalization

_TINY = 1e-20  # pydensecrf's guard against division by 0


@dataclass(frozen=True)
class Kernel:
    """The lattice of one Gaussian over an image.

    Attributes:
        order: the pixels' row-major indices, in the order of what follows, (N,).
        vertex: each pixel's d + 1 vertices, (N, d + 1).
        weights: their barycentric weights, (N, d + 1).
        count: how many vertices there are.
        chain, joined, bounds: neighbours along each axis; see `filter.find_chains`.
    """

    order: Int32[np.ndarray, " N"]
    vertex: Int32[np.ndarray, "N d_1"]
    weights: Float32[np.ndarray, "N d_1"]
    count: int
    chain: Int32[np.ndarray, " links"]
    joined: Float32[np.ndarray, " links"]
    bounds: Int64[np.ndarray, " d_2"]

    def filter_one(self, values: Float32[np.ndarray, " N"]) -> Float32[np.ndarray, " N"]:
        """Filter one value a pixel without any normalization."""
        result = np.empty_like(values)
        room = np.zeros(self.count + 1, np.float32)
        filter.filter_one(
            values,
            self.vertex.ravel(),
            self.weights.ravel(),
            room,
            self.chain,
            self.joined,
            self.bounds,
            result,
        )
        return result

    @cached_property
    def ones(self) -> Float32[np.ndarray, " N"]:
        """What a constant 1 becomes, pixel by pixel."""
        return self.filter_one(np.ones(len(self.vertex), np.float32))

    @property
    def alpha(self) -> np.float32:
        """The lattice's own factor after slicing, 1 / (1 + 2^-d)."""
        return np.float32(1 / (1 + 2.0 ** (1 - self.vertex.shape[1])))

    def in_rows(self) -> "Kernel":
        """Return the same lattice with the pixels in row-major order."""
        vertex, weights = np.empty_like(self.vertex), np.empty_like(self.weights)
        vertex[self.order], weights[self.order] = self.vertex, self.weights
        rows = np.arange(len(self.order), dtype=np.int32)
        return replace(self, order=rows, vertex=vertex, weights=weights)

    def norms(
        self, normalization: Normalization
    ) -> tuple[Float32[np.ndarray, " N"], Float32[np.ndarray, " N"]]:
        """Return what multiplies each pixel before splatting, and after slicing."""
        unit = np.ones(len(self.vertex), np.float32)
        if normalization == "none":
            return unit, unit
        ones = self.ones.astype(np.float64) + _TINY
        if normalization == "symmetric":
            norm = (1 / np.sqrt(ones)).astype(np.float32)
            return norm, norm
        norm = (1 / ones).astype(np.float32)
        return (norm, unit) if normalization == "before" else (unit, norm)

    def scales(
        self, normalization: Normalization
    ) -> tuple[Float32[np.ndarray, " N"], Float32[np.ndarray, " N"], float]:
        """Return `norms`, the lattice's alpha within the latter, and the gain.

        The gain is the largest value that a constant 1 comes out with.
        """
        before, after = self.norms(normalization)
        gain = 1.0
        if normalization != "after":
            gain = float((after * self.filter_one(before)).max())
        return before, self.alpha * after, gain


def build_kernel(
    image: UInt8[np.ndarray, "H W 3"], position: float, colour: float | None = None
) -> Kernel:
    """Build the lattice of exp(-|dp|^2 / 2 position^2 [- |dI|^2 / 2 colour^2]).

    Raises:
        ReplicationError: the widths are too small for positions to be counted.
    """
    height, width = image.shape[:2]
    pixels = height * width
    plain = embedding.features(image, position, colour)
    # As in pydensecrf, pixels come in fours, the last ones filled up with features of 0: these
    # splat nothing, but their vertices exist. Eight at a time are embedded here.
    filled = np.zeros((len(plain), pixels + -pixels % 8), np.float32)
    order = hilbert_order(height, width)
    np.take(plain, order, axis=1, out=filled[:, :pixels], mode="clip")
    what = f"`sigma_gamma` {position:g}"
    if colour is not None:
        what = f"`sigma_alpha` {position:g} or `sigma_beta` {colour:g}"
    strides, top, start = embedding.packing([float(x) for x in plain.max(axis=1)], what)
    corners = len(plain) + 1
    vertex = np.empty(corners * (pixels + -pixels % 4), np.int32)
    weights = np.empty(vertex.size, np.float32)
    factors = embedding.scale_factors(len(plain))
    keys = build.find_vertices(filled.ravel(), factors, strides, top, start, vertex, weights)
    upwards, below = build.find_neighbours(keys, strides, top)
    chain = np.empty(upwards.size, np.int32)
    joined = np.empty(upwards.size, np.float32)
    bounds = np.empty(corners + 1, np.int64)
    filter.find_chains(upwards, below, chain, joined, bounds)
    return Kernel(
        order,
        vertex[: corners * pixels].reshape(pixels, corners),
        weights[: corners * pixels].reshape(pixels, corners),
        len(keys),
        chain[: bounds[-1]],
        joined[: bounds[-1]],
        bounds,
    )


def no_kernel(pixels: int, corners: int) -> Kernel:
    """Return a lattice of one vertex that no pixel has weight on: every message is 0."""
    return Kernel(
        np.arange(pixels, dtype=np.int32),
        np.zeros((pixels, corners), np.int32),
        np.zeros((pixels, corners), np.float32),
        1,
        np.zeros(0, np.int32),
        np.zeros(0, np.float32),
        np.zeros(corners + 1, np.int64),
    )
