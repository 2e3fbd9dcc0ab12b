"""Mean field over one image for many settings, labels that never matter left out of the messages.

A label whose belief stays below e at every pixel sends messages of at most W e (W: the weights
times the kernels' gain), which changes its own beliefs by at most W e^2. So, after one update with
all labels that matter by the unary alone, only those that still matter are carried on (seven and a
lane for all the others fill one register), and every update checks that the others together stayed
below e; if not, the run starts again with more labels.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

import numpy as np
from jaxtyping import Float32, UInt8

from replication.crf.lattice import labels, passes
from replication.crf.lattice.filter import blur
from replication.crf.lattice.image import Image, Play
from replication.crf.lattice.kernel import Kernel
from replication.crf.parameters import CrfParameters

Mode = Literal["exact", "fast"]

_CHANGE = 1e-6  # of any belief, by leaving labels out of an update's messages
_SHIFT = 1e-2  # of any label's log odds, likewise
_SAFE = 60.0  # messages up to this need no maximum subtracted before exp
_SAMPLE = 16  # every so many pixels are looked at to guess the labels that matter




@dataclass(frozen=True)
class Refined:
    """What came out for one setting.

    Attributes:
        parameters: the setting.
        labels: the most believed label of each pixel, uint8.
        beliefs: Q, summing to 1 over the labels; None unless asked for.
    """

    parameters: CrfParameters
    labels: UInt8[np.ndarray, "H W"]
    beliefs: Float32[np.ndarray, "C H W"] | None


def _limit(strength: float) -> float:
    """Return e of the module's text: what all labels left out may be believed together."""
    if strength == 0:
        return 1.0
    return min(math.sqrt(_CHANGE / strength), _SHIFT / strength)


class _Lattices:
    """Both lattices of one image with the factors of one normalization, as the passes take them."""

    def __init__(self, image: Image, p: CrfParameters) -> None:
        self.image = image
        self.spatial = image.spatial(p.sigma_gamma if p.w2 > 0 else None)
        self.bilateral = image.bilateral((p.sigma_alpha, p.sigma_beta) if p.w1 > 0 else None)
        before_s, after_s, self.gain_s = self.spatial.scales(p.normalization)
        before_b, after_b, self.gain_b = self.bilateral.scales(p.normalization)
        self.before = (before_s, before_b)
        self.scales = np.stack([after_s, after_b, before_s, before_b], axis=1).ravel()
        self.places = (
            self.spatial.vertex.ravel(),
            self.spatial.weights.ravel(),
            self.bilateral.vertex.ravel(),
            self.bilateral.weights.ravel(),
        )
        self._first: tuple[bytes, _Pair] | None = None

    def strength(self, p: CrfParameters) -> float:
        """Return the largest message that a certain label could send."""
        return p.w2 * self.gain_s + p.w1 * self.gain_b

    def zeros(self, name: str, planes: int) -> "_Pair":
        """Return empty lattices, kept under ``name``."""
        take = self.image.buffers.zeros
        return (
            take(f"{name} spatial", planes * (self.spatial.count + 1) * 8),
            take(f"{name} bilateral", planes * (self.bilateral.count + 1) * 8),
        )

    def blur(self, values: "_Pair", planes: int) -> None:
        """Blur both lattices in place."""
        for kernel, value in zip((self.spatial, self.bilateral), values, strict=True):
            blur(value, planes, kernel.chain, kernel.joined, kernel.bounds)

    def first(self, play: Play) -> "_Pair":
        """Return the lattices of the softmax, splatted and blurred: the same for all weights."""
        name = play.active.tobytes()
        if self._first is None or self._first[0] != name:
            values = self.zeros("first", play.planes)
            for k in range(2):
                passes.splat_first(
                    self.image.pixels,
                    play.planes,
                    play.logits,
                    self.before[k],
                    *self.places[2 * k : 2 * k + 2],
                    (3, 6)[k],
                    values[k],
                    len(play.active),
                )
            self.blur(values, play.planes)
            self._first = (name, values)
        return self._first[1]


_Pair = tuple[Float32[np.ndarray, " spatial"], Float32[np.ndarray, " bilateral"]]


class _TooFew(Exception):
    """Labels left out grew beyond the limit."""


def _check(peak: Float32[np.ndarray, " lanes"], left_out: np.ndarray, limit: float) -> None:
    if float(peak[left_out].sum()) > limit:
        raise _TooFew


def _iterate(
    lattices: _Lattices, p: CrfParameters, start: Play, play: Play, limit: float
) -> _Pair:
    """Return the blurred lattices before the last update; raise _TooFew."""
    image, pixels = lattices.image, lattices.image.pixels
    strength = np.array([p.w2, p.w1], np.float32)
    subtract = lattices.strength(p) > _SAFE
    now, now_play = lattices.first(start), start
    for iteration in range(p.iterations - 1):
        then = lattices.zeros("odd" if iteration % 2 else "even", play.planes)
        peak = np.zeros(8 * now_play.planes, np.float32)
        chosen = np.searchsorted(now_play.active, play.active)
        if now_play is play and play.planes == 1:
            mask = np.zeros(8, np.float32)
            mask[: len(play.active)] = 1
            passes.update(
                pixels, 0, pixels, subtract, play.logits, lattices.scales, strength,
                *lattices.places, *now, *then, mask, peak,
            )  # fmt: skip
        else:
            passes.update_planes(
                pixels, 1, now_play.planes, now_play.logits, lattices.scales, strength,
                *lattices.places, *now, play.planes, *then, chosen, peak, np.zeros(0, np.float32),
            )  # fmt: skip
        lattices.blur(then, play.planes)
        peak[chosen] = 0
        if float(peak.sum()) > limit:
            raise _TooFew
        now, now_play = then, play
    return now


def _sampled_peak(
    lattices: _Lattices, p: CrfParameters, start: Play
) -> Float32[np.ndarray, " lanes"]:
    """Return the labels' largest beliefs after one update, at a sample of the pixels."""
    image = lattices.image
    peak = np.zeros(8 * start.planes, np.float32)
    nothing = np.zeros(0, np.float32)
    passes.update_planes(
        image.pixels, _SAMPLE, start.planes, start.logits, lattices.scales,
        np.array([p.w2, p.w1], np.float32), *lattices.places, *lattices.first(start),
        0, nothing, nothing, np.zeros(0, np.int64), peak, nothing,
    )  # fmt: skip
    return peak


def _refine(
    lattices: _Lattices, p: CrfParameters, widest: float, wanted: bool
) -> Refined:
    image = lattices.image
    limit = _limit(lattices.strength(p))
    strength = np.array([p.w2, p.w1], np.float32)
    start = image.play(labels.choose(image.peak, widest))
    play = start
    if p.iterations == 0 or lattices.strength(p) == 0:
        strength[:] = 0
        values = lattices.zeros("even", start.planes)
    elif p.iterations == 1:
        values = lattices.first(start)
    else:
        peak = _sampled_peak(lattices, p, start)
        for least in range(1, start.planes + 2):
            if least > start.planes:
                start = image.play(np.arange(image.classes))
                play = start
            else:
                few = labels.choose(peak[: len(start.active)], limit / 2, least)
                play = image.play(start.active[few])
            try:
                values = _iterate(lattices, p, start, play, limit)
                break
            except _TooFew:
                continue
    playing = np.zeros(image.classes, np.uint8)
    playing[play.active] = 1
    out = np.empty(image.pixels, np.uint8)
    beliefs = np.empty((image.classes if wanted else 0, image.pixels), np.float32)
    passes.finish(
        image.pixels, play.planes, play.logits, lattices.scales, strength,
        *lattices.places, *values, play.active, playing, image.order, image.logits, out, beliefs,
    )  # fmt: skip
    size = (image.height, image.width)
    return Refined(
        p, out.reshape(size), beliefs.reshape(image.classes, *size) if wanted else None
    )


def _sharing(p: CrfParameters) -> tuple[object, ...]:
    return (
        p.normalization,
        p.sigma_gamma if p.w2 > 0 else 0.0,
        (p.sigma_alpha, p.sigma_beta) if p.w1 > 0 else (0.0, 0.0),
    )


def mean_field_many(
    image: Image, parameters: Sequence[CrfParameters], *, mode: Mode = "exact", beliefs: bool = False
) -> Iterator[Refined]:
    """Refine one image by many settings, those with the same lattices one after another."""
    for _, group in groupby(sorted(parameters, key=_sharing), key=_sharing):
        settings = list(group)
        lattices = _Lattices(image, settings[0])
        widest = _limit(max(lattices.strength(p) for p in settings))
        if mode=='fast':
            start = image.play(labels.choose(image.peak, 0.01))
            peak = np.zeros(8*start.planes,np.float32)
            for p in settings: peak=np.maximum(peak,_sampled_peak(lattices, p, start))
            play = image.play(start.active[labels.choose(peak[: len(start.active)], 1.)])
            from replication.crf.lattice.fast import refine_group
            for p,out in refine_group(lattices,settings,start,play,_SAFE): yield Refined(p,out,None)
            continue
        for p in settings:
            yield _refine(lattices, p, widest, beliefs)
