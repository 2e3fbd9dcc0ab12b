"""Labels for a search: only the pixels that still move after two updates are updated further.

At most seven labels are carried on after the first update; images with more that matter are left to
the exact way. Settings that share their lattices also share the first slices, and the part of the
lattices on which the moving pixels of any of them go on.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, UInt8

from replication.crf.lattice import labels, moving, planes
from replication.crf.lattice.filter import blur
from replication.crf.lattice.image import Play
from replication.crf.lattice.lattices import Lattices, sample_peaks, weights
from replication.crf.lattice.part import Part, find_part
from replication.crf.lattice.passes import Pair, Pixels
from replication.crf.parameters import CrfParameters

_MATTERS = 0.01  # labels left out at first may be believed this much together
_LEFT_OUT = 0.02  # and after the first update
_MOVES = 3e-4  # a pixel goes on if the second update changes a belief by more
_STILL = 2e-5  # it stops once an update changes less


class _Moving(NamedTuple):
    """The pixels that go on, in lists, and what they need.

    Attributes:
        listed: their numbers in the whole image, (L,).
        logits, pixels: theirs, flat.
        spatial, bilateral: the parts of the lattices.
    """

    listed: np.ndarray
    logits: Float32[np.ndarray, " L_8"]
    pixels: Pixels
    spatial: Part
    bilateral: Part


def refine_labels(
    lattices: Lattices, settings: Sequence[CrfParameters], safe: float
) -> list[UInt8[np.ndarray, "H W"]] | None:
    """Return each setting's labels; None if more than seven labels matter.

    Args:
        lattices: those of all the settings.
        settings: with two updates or more; all at once, so give no more than memory holds.
        safe: the strength of messages from which on exp needs a maximum subtracted.
    """
    image = lattices.image
    start = image.play(labels.choose(image.peak, _MATTERS))
    first = lattices.first(start)
    play = image.play(start.active[labels.choose(sample_peaks(lattices, settings, start), 1.0)])
    if play.planes > 1:
        return None
    values = lattices.zeros("shared", len(settings))
    beliefs = image.buffers.take("beliefs", len(settings) * image.pixels * 8)
    chosen = np.searchsorted(start.active, play.active)
    peak = np.zeros((len(settings), 8 * start.planes), np.float32)
    planes.update_planes(
        1,
        start.planes,
        len(start.active),
        start.logits,
        np.concatenate([weights(p) for p in settings]),
        lattices.pixels,
        first,
        chosen,
        1,
        values,
        peak.ravel(),
        beliefs,
    )
    peak[:, chosen] = 0
    if float(peak.sum(axis=1).max()) > _LEFT_OUT:
        return None
    lattices.blur(values, len(settings))
    return _go_on(lattices, settings, play, values, beliefs, safe=safe)


def _go_on(
    lattices: Lattices,
    settings: Sequence[CrfParameters],
    play: Play,
    values: Pair,
    beliefs: Float32[np.ndarray, " S_N_8"],
    *,
    safe: float,
) -> list[UInt8[np.ndarray, "H W"]]:
    """Make the second update and all others; see `refine_labels`."""
    image = lattices.image
    active = np.zeros(9, np.uint8)
    active[: len(play.active)] = play.active
    flags = np.zeros(image.pixels, np.uint8)
    size = 8 * image.pixels
    found = []
    for k, p in enumerate(settings):
        out = np.empty(image.pixels, np.uint8)
        moving.find_moving(
            lattices.strength(p) > safe,
            _MOVES,
            play.logits,
            weights(p),
            lattices.pixels,
            lattices.planes(values, k, 1),
            beliefs[k * size : (k + 1) * size],
            active,
            image.order,
            flags,
            out,
        )
        found.append(out)
    part = _list_moving(lattices, play, flags)
    for k, (p, out) in enumerate(zip(settings, found, strict=True)):
        mine = _take("moving beliefs", lattices, beliefs[k * size : (k + 1) * size], 8, part.listed)
        _update(
            lattices,
            p,
            part,
            lattices.planes(values, k, 1),
            mine,
            splatting=len(play.active),
            safe=safe,
        )
        moving.label_moved(part.listed, mine, active, image.order, out)
    return [out.reshape(image.height, image.width) for out in found]


def _take(
    name: str,
    lattices: Lattices,
    rows: Float32[np.ndarray, " rows"],
    width: int,
    listed: np.ndarray,
    *,
    more: int = 0,
) -> Float32[np.ndarray, " taken"]:
    """Return rows ``listed``, with ``more`` zeros after them, in the buffer ``name``."""
    result = lattices.image.buffers.take(name, width * len(listed) + more)
    moving.take_rows(rows, width, listed, result)
    result[width * len(listed) :] = 0
    return result


def _list_moving(lattices: Lattices, play: Play, flags: UInt8[np.ndarray, " N"]) -> _Moving:
    """Gather what the pixels marked in ``flags`` need to go on."""
    listed = np.flatnonzero(flags).astype(np.int32)
    whole = lattices.pixels
    parts = []
    for vertex, corners, kernel in (
        (whole.vertex_s, 3, lattices.spatial),
        (whole.vertex_b, 6, lattices.bilateral),
    ):
        chain, joined, bounds = kernel.chain, kernel.joined, kernel.bounds
        parts.append(find_part(vertex, corners, listed, kernel.count, chain, joined, bounds))
    pixels = Pixels(
        parts[0].vertex,
        _take("moving weight_s", lattices, whole.weight_s, 3, listed),
        parts[1].vertex,
        _take("moving weight_b", lattices, whole.weight_b, 6, listed),
        _take("moving scales", lattices, whole.scales, 4, listed),
    )
    logits = _take("moving logits", lattices, play.logits, 8, listed)
    return _Moving(listed, logits, pixels, parts[0], parts[1])


def _update(
    lattices: Lattices,
    p: CrfParameters,
    part: _Moving,
    whole: Pair,
    beliefs: Float32[np.ndarray, " L_8"],
    *,
    splatting: int,
    safe: float,
) -> None:
    """Update the moving pixels' ``beliefs`` from the second update to the last."""
    buffers = lattices.image.buffers
    names = ("spatial", "bilateral")
    kept = (part.spatial.kept, part.bilateral.kept)
    values = Pair(
        *(
            _take(f"moving {name}", lattices, rows, 8, listed, more=8)
            for name, rows, listed in zip(names, whole, kept, strict=True)
        )
    )
    change = Pair(
        *(buffers.zeros(f"change {n}", x.size) for n, x in zip(names, values, strict=True))
    )
    mask = np.zeros(8, np.float32)
    mask[:splatting] = 1
    alive = np.arange(len(part.listed), dtype=np.int32)
    for iteration in range(1, p.iterations):
        still = moving.update_moving(
            alive,
            lattices.strength(p) > safe,
            _STILL,
            part.logits,
            weights(p),
            part.pixels,
            values,
            change,
            mask,
            beliefs,
        )
        alive = alive[:still]
        if iteration + 1 < p.iterations:
            for value, moved, of in zip(
                values, change, (part.spatial, part.bilateral), strict=True
            ):
                blur(moved, 1, of.chain, of.joined, of.bounds)
                moving.add_into(value, moved)
