"""Both lattices of one image under one normalization, as the passes take them."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32

from replication.crf.lattice.filter import blur
from replication.crf.lattice.image import Image, Play
from replication.crf.lattice.passes import Pair, Pixels, splat_softmax
from replication.crf.lattice.planes import update_planes
from replication.crf.parameters import CrfParameters

_SAMPLE = 16  # every so many pixels are looked at to guess the labels that matter


class Lattices:
    """The lattices that a setting asks for, with each pixel's factors.

    Attributes:
        image: the image they belong to.
        spatial, bilateral: the lattices; without vertices where the kernel's weight is 0.
        pixels: the pixels' places and factors.
    """

    def __init__(self, image: Image, p: CrfParameters) -> None:
        """Build what ``image`` doesn't have yet; only widths, normalization and zeros count."""
        self.image = image
        self.spatial = image.spatial(p.sigma_gamma if p.w2 > 0 else None)
        self.bilateral = image.bilateral((p.sigma_alpha, p.sigma_beta) if p.w1 > 0 else None)
        before_s, after_s, self._gain_s = self.spatial.scales(p.normalization)
        before_b, after_b, self._gain_b = self.bilateral.scales(p.normalization)
        self.pixels = Pixels(
            self.spatial.vertex.ravel(),
            self.spatial.weights.ravel(),
            self.bilateral.vertex.ravel(),
            self.bilateral.weights.ravel(),
            np.stack([after_s, after_b, before_s, before_b], axis=1).ravel(),
        )
        self._before = (before_s, before_b)
        self._first: tuple[bytes, Pair] | None = None

    def strength(self, p: CrfParameters) -> float:
        """Return the largest message that labels can get."""
        return p.w2 * self._gain_s + p.w1 * self._gain_b

    def zeros(self, name: str, planes: int) -> Pair:
        """Return empty lattices, kept under ``name``: earlier ones of that name are lost."""
        take = self.image.buffers.zeros
        return Pair(
            take(f"{name} spatial", planes * (self.spatial.count + 1) * 8),
            take(f"{name} bilateral", planes * (self.bilateral.count + 1) * 8),
        )

    def planes(self, values: Pair, first: int, count: int) -> Pair:
        """Return ``count`` planes of ``values``."""
        sizes = (8 * (self.spatial.count + 1), 8 * (self.bilateral.count + 1))
        views = (x[first * n : (first + count) * n] for x, n in zip(values, sizes, strict=True))
        return Pair(*views)

    def blur(self, values: Pair, planes: int) -> None:
        """Blur both lattices in place."""
        for kernel, value in zip((self.spatial, self.bilateral), values, strict=True):
            blur(value, planes, kernel.chain, kernel.joined, kernel.bounds)

    def first(self, play: Play) -> Pair:
        """Return the lattices of the softmax, splatted and blurred: the same for all weights."""
        name = play.active.tobytes()
        if self._first is None or self._first[0] != name:
            self._first = None
            values = self.zeros("first", play.planes)
            n, logits, places = len(play.active), play.logits, self.pixels
            for scale, corners, vertex, weight, value in (
                (self._before[0], 3, places.vertex_s, places.weight_s, values.spatial),
                (self._before[1], 6, places.vertex_b, places.weight_b, values.bilateral),
            ):
                splat_softmax(play.planes, n, logits, scale, corners, vertex, weight, value)
            self.blur(values, play.planes)
            self._first = (name, values)
        return self._first[1]


def sample_peaks(
    lattices: Lattices, settings: Sequence[CrfParameters], play: Play
) -> Float32[np.ndarray, " A"]:
    """Return the labels' largest beliefs after the first update, at some of the pixels."""
    peak = np.zeros((len(settings), 8 * play.planes), np.float32)
    nothing = np.zeros(0, np.float32)
    update_planes(
        _SAMPLE,
        play.planes,
        len(play.active),
        play.logits,
        np.concatenate([weights(p) for p in settings]),
        lattices.pixels,
        lattices.first(play),
        np.zeros(0, np.int64),
        0,
        Pair(nothing, nothing),
        peak.ravel(),
        nothing,
    )
    largest: np.ndarray = peak.max(axis=0)[: len(play.active)]
    return largest


def weights(p: CrfParameters) -> Float32[np.ndarray, "2"]:
    """Return (w2, w1), as the passes take them."""
    return np.array([p.w2, p.w1], np.float32)
