"""Mean field over one image for many settings, labels that never matter left out of the messages.

A label whose belief stays below e at every pixel sends messages of at most W e (W: the weights
times the kernels' gain), which changes its own beliefs by at most W e^2. So, after one update with
all labels that matter by the unary alone, only those that still matter are carried on (seven and a
lane for all the others fill one register), and every update checks that the others together stayed
below e; if not, the setting starts again with more labels. Settings whose W is large are left to
`ordered`.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np

from replication.crf.lattice import fast, labels, ordered, passes, planes
from replication.crf.lattice.image import Image, Play
from replication.crf.lattice.lattices import Lattices, sample_peaks, weights
from replication.crf.lattice.passes import Pair
from replication.crf.lattice.result import Mode, Refined
from replication.crf.parameters import CrfParameters

_CHANGE = 1e-6  # of any belief, by leaving labels out of an update's messages
_SHIFT = 1e-2  # of any label's log odds, likewise
_SAFE = 60.0  # messages up to this need no maximum subtracted before exp
_STRONG = 12.0  # messages beyond this amplify rounding: there, in pydensecrf's order
_TOGETHER = 4  # planes of settings that are updated together


class _TooFewError(Exception):
    """Labels left out grew beyond the limit."""


def _limit(strength: float) -> float:
    """Return e of the module's text: what all labels left out may be believed together."""
    return min(math.sqrt(_CHANGE / strength), _SHIFT / strength)


def _plays(
    lattices: Lattices, settings: Sequence[CrfParameters], limit: float, least: int
) -> tuple[Play, Play]:
    """Return the labels for the first update, and for those after it, ``least`` planes or more."""
    image = lattices.image
    start = image.play(labels.choose(image.peak, limit))
    if least > start.planes:
        everything = image.play(np.arange(image.classes))
        return everything, everything
    few = labels.choose(sample_peaks(lattices, settings, start), limit / 2, least)
    return start, image.play(start.active[few])


def _update_first(
    lattices: Lattices, settings: Sequence[CrfParameters], start: Play, play: Play, limit: float
) -> Pair:
    """Make the first update of all settings; return their blurred planes, one after another."""
    target = lattices.zeros("shared", len(settings) * play.planes)
    chosen = np.searchsorted(start.active, play.active)
    peak = np.zeros((len(settings), 8 * start.planes), np.float32)
    planes.update_planes(
        1,
        start.planes,
        len(start.active),
        start.logits,
        np.concatenate([weights(p) for p in settings]),
        lattices.pixels,
        lattices.first(start),
        chosen,
        play.planes,
        target,
        peak.ravel(),
        np.zeros(0, np.float32),
    )
    peak[:, chosen] = 0
    if float(peak.sum(axis=1).max()) > limit:
        raise _TooFewError
    lattices.blur(target, len(settings) * play.planes)
    return target


def _update_rest(
    lattices: Lattices, p: CrfParameters, play: Play, values: Pair, limit: float
) -> Pair:
    """Make the updates between the first and the last; return the blurred lattices."""
    mask = np.zeros(8, np.float32)
    mask[: len(play.active)] = 1
    everything = np.arange(len(play.active))
    for iteration in range(p.iterations - 2):
        target = lattices.zeros("odd" if iteration % 2 else "even", play.planes)
        peak = np.zeros(8 * play.planes, np.float32)
        if play.planes == 1:
            subtract = lattices.strength(p) > _SAFE
            passes.update(
                subtract, play.logits, weights(p), lattices.pixels, values, target, mask, peak
            )
        else:
            planes.update_planes(
                1,
                play.planes,
                len(play.active),
                play.logits,
                weights(p),
                lattices.pixels,
                values,
                everything,
                play.planes,
                target,
                peak,
                np.zeros(0, np.float32),
            )
        if float(peak[len(play.active) :].sum()) > limit:
            raise _TooFewError
        lattices.blur(target, play.planes)
        values = target
    return values


def _finish(
    lattices: Lattices, p: CrfParameters, play: Play, values: Pair, wanted: bool
) -> Refined:
    image = lattices.image
    still = p.iterations == 0 or lattices.strength(p) == 0
    out = np.empty(image.pixels, np.uint8)
    beliefs = np.empty(image.classes * image.pixels if wanted else 0, np.float32)
    planes.finish(
        play.planes,
        play.logits,
        np.zeros(2, np.float32) if still else weights(p),
        lattices.pixels,
        values,
        play.active,
        image.order,
        image.logits,
        out,
        image.classes,
        beliefs,
    )
    size = (image.height, image.width)
    return Refined(p, out.reshape(size), beliefs.reshape(-1, *size) if wanted else None)


def _refine(
    lattices: Lattices, settings: Sequence[CrfParameters], wanted: bool, least: int = 1
) -> Iterator[Refined]:
    """Refine by settings that share their lattices."""
    limit = min(_limit(lattices.strength(p)) for p in settings)
    start, play = _plays(lattices, settings, limit, least)
    again: Sequence[CrfParameters] = []
    together = max(1, _TOGETHER // play.planes)
    for begin in range(0, len(settings), together):
        batch = settings[begin : begin + together]
        try:
            shared = _update_first(lattices, batch, start, play, limit)
        except _TooFewError:
            again = [*again, *batch]
            continue
        for k, p in enumerate(batch):
            values = lattices.planes(shared, k * play.planes, play.planes)
            try:
                values = _update_rest(lattices, p, play, values, limit)
            except _TooFewError:
                again = [*again, p]
                continue
            yield _finish(lattices, p, play, values, wanted)
    if again:
        yield from _refine(lattices, again, wanted, play.planes + 1)


def _refine_short(
    lattices: Lattices, settings: Sequence[CrfParameters], wanted: bool
) -> Iterator[Refined]:
    """Refine by settings of one update or none."""
    play = lattices.image.play(np.arange(lattices.image.classes))
    for p in settings:
        values = lattices.first(play)
        yield _finish(lattices, p, play, values, wanted)


def _sharing(p: CrfParameters) -> tuple[object, ...]:
    """Return what decides a setting's lattices."""
    return (
        p.normalization,
        p.sigma_gamma if p.w2 > 0 else 0.0,
        (p.sigma_alpha, p.sigma_beta) if p.w1 > 0 else (0.0, 0.0),
    )


def refine(
    image: Image,
    parameters: Sequence[CrfParameters],
    mode: Mode = "exact",
    *,
    beliefs: bool = False,
) -> Iterator[Refined]:
    """Refine one image by many settings; those that share lattices come one after another.

    Args:
        image: the image, made ready.
        parameters: the settings, in any order; each comes out once.
        mode: ``exact``, which equals pydensecrf to rounding (`ordered`: bit for bit), or ``fast``,
            for searches: labels of which about 1 in 30,000 differ.
        beliefs: whether to return Q as well; ``exact`` only.

    Raises:
        ReplicationError: a width is too small for the image.
        ValueError: beliefs are asked for in ``fast`` mode.
    """
    if beliefs and mode == "fast":
        raise ValueError("`beliefs` are there in mode `exact` only")
    for _, group in groupby(sorted(parameters, key=_sharing), key=_sharing):
        settings = list(group)
        lattices = Lattices(image, settings[0])
        if mode == "exact":
            strong = [p for p in settings if lattices.strength(p) > _STRONG]
            settings = [p for p in settings if p not in strong]
            for p in strong:
                q = ordered.refine(image, p)
                yield Refined(p, q.argmax(axis=0).astype(np.uint8), q if beliefs else None)
        long = [p for p in settings if p.iterations > 1 and lattices.strength(p) > 0]
        yield from _refine_short(lattices, [p for p in settings if p not in long], beliefs)
        if mode == "fast":
            for begin in range(0, len(long), _TOGETHER):
                batch = long[begin : begin + _TOGETHER]
                refined = fast.refine_labels(lattices, batch, _SAFE)
                if refined is None:
                    yield from _refine(lattices, batch, False)
                else:
                    for p, out in zip(batch, refined, strict=True):
                        yield Refined(p, out, None)
        elif long:
            yield from _refine(lattices, long, beliefs)
