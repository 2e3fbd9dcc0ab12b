"""Outlines of the sample's objects: four for the sample, four others for pre-training.

An outline is a list of primitives in object coordinates: x to the right, y down, the object within
about one unit of the origin. A primitive is painted as `BODY`, cut out as `HOLE`, or painted as
`MARK`: a small part (head, core, tail) in a colour of its own. Two of each four outlines share the
trunk and the limbs and differ only at their ends, so that the inside of a large object can only be
named by a network that sees as far as the head or the tail.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw

Point = tuple[float, float]


class Role(Enum):
    """What painting a primitive does to the object."""

    BODY = "body"
    HOLE = "hole"
    MARK = "mark"


@dataclass(frozen=True)
class Polygon:
    """A filled polygon in object coordinates."""

    role: Role
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Stroke:
    """A chain of discs along a path, their radius going evenly from ``start`` to ``end``."""

    role: Role
    path: tuple[Point, ...]
    start: float
    end: float


Outline = list[Polygon | Stroke]


def extent(part: Polygon | Stroke) -> tuple[Point, ...]:
    """Return points whose bounding box holds the primitive, in its own coordinates."""
    if isinstance(part, Polygon):
        return part.points
    reach = max(part.start, part.end)
    return tuple((x + s * reach, y + s * reach) for x, y in part.path for s in (-1, 1))


def _disc(role: Role, centre: Point, radius: float) -> Stroke:
    return Stroke(role, (centre,), radius, radius)


def _radial(radius: Callable[[float], float], steps: int, squash: float = 1.0) -> tuple[Point, ...]:
    """Return a closed contour at ``radius(angle)``, its y axis squashed."""
    angles = [2 * math.pi * k / steps for k in range(steps)]
    return tuple((radius(a) * math.cos(a), squash * radius(a) * math.sin(a)) for a in angles)


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    return low + (high - low) * float(rng.random())


# ------------------------------------------------------------------ the sample's four outlines


def burst(rng: np.random.Generator) -> Outline:
    """A star of six to nine thin spikes round a marked core."""
    spikes = int(rng.integers(6, 10))
    inner = _between(rng, 0.36, 0.46)
    points = []
    for k in range(2 * spikes):
        angle = math.pi * k / spikes
        radius = _between(rng, 0.88, 1.05) if k % 2 == 0 else inner * _between(rng, 0.9, 1.1)
        points.append((radius * math.cos(angle), radius * math.sin(angle)))
    return [Polygon(Role.BODY, tuple(points)), _disc(Role.MARK, (0.0, 0.0), 0.17)]


def hook(rng: np.random.Generator) -> Outline:
    """Three quarters of a ring, thick at one end and thin at the other, where a bulb sits."""
    sweep = _between(rng, 4.1, 5.0)
    first = _between(rng, -0.4, 0.4)
    radius = _between(rng, 0.66, 0.74)
    path = tuple(
        (radius * math.cos(first + sweep * k / 40), radius * math.sin(first + sweep * k / 40))
        for k in range(41)
    )
    return [
        Stroke(Role.BODY, path, _between(rng, 0.27, 0.33), 0.10),
        _disc(Role.MARK, path[-1], 0.17),
    ]


def _trunk_and_legs(rng: np.random.Generator) -> Outline:
    """The trunk and four thin legs that `beast` and `pincer` have in common."""
    wave, phase = _between(rng, 0.02, 0.05), _between(rng, 0.0, 6.28)
    trunk = _radial(lambda a: 0.66 * (1 + wave * math.sin(5 * a + phase)), 60, 0.52)
    parts: Outline = [Polygon(Role.BODY, trunk)]
    for x in (-0.46, -0.26, 0.24, 0.44):
        foot = x + _between(rng, -0.14, 0.14)
        knee = ((x + foot) / 2 + _between(rng, -0.06, 0.06), 0.48)
        parts.append(Stroke(Role.BODY, ((x, 0.18), knee, (foot, 0.78)), 0.085, 0.05))
    return parts


def beast(rng: np.random.Generator) -> Outline:
    """Trunk and legs with a raised round head in front and a long thin tail behind."""
    head = (0.88 + _between(rng, -0.05, 0.05), -0.46 + _between(rng, -0.08, 0.08))
    tip = (-1.05, -0.5 + _between(rng, -0.15, 0.15))
    return [
        *_trunk_and_legs(rng),
        Stroke(Role.BODY, ((0.46, -0.08), head), 0.19, 0.12),
        Stroke(Role.BODY, ((-0.6, -0.05), (-0.86, -0.12), tip), 0.07, 0.035),
        _disc(Role.MARK, head, 0.2),
    ]


def pincer(rng: np.random.Generator) -> Outline:
    """Trunk and legs with two open claws in front and a fanned tail behind."""
    spread = _between(rng, 0.30, 0.40)
    parts = _trunk_and_legs(rng)
    for side in (-1.0, 1.0):
        elbow, tip = (0.82, side * spread - 0.08), (1.1, side * 0.12 - 0.08)
        parts.append(Stroke(Role.BODY, ((0.56, -0.06), elbow), 0.09, 0.075))
        parts.append(Stroke(Role.MARK, (elbow, tip), 0.085, 0.03))
    fan = ((-0.5, 0.0), (-1.02, -0.46), (-0.9, -0.12), (-1.08, 0.1), (-0.88, 0.2), (-0.84, 0.4))
    return [*parts, Polygon(Role.BODY, fan)]


# ---------------------------------------------------------------- four others, for pre-training


def gear(rng: np.random.Generator) -> Outline:
    """A toothed disc with a hole off its centre."""
    teeth = int(rng.integers(8, 13))
    depth = _between(rng, 0.16, 0.24)
    steps = 4 * teeth
    rim = _radial(lambda a: 0.98 - depth * (int(a / (2 * math.pi) * steps + 0.5) // 2 % 2), steps)
    hole = (_between(rng, -0.2, 0.2), _between(rng, -0.2, 0.2))
    return [
        Polygon(Role.BODY, rim),
        _disc(Role.MARK, hole, 0.36),
        _disc(Role.HOLE, hole, 0.25),
    ]


def clover(rng: np.random.Generator) -> Outline:
    """Three or four round leaves on a long thin stalk."""
    leaves = int(rng.integers(3, 5))
    parts: Outline = [Stroke(Role.BODY, ((0.0, -0.25), (0.16, 0.4), (-0.04, 1.0)), 0.05, 0.05)]
    for k in range(leaves):
        angle = math.pi * (1.0 + (k + 0.5) / leaves) + _between(rng, -0.1, 0.1)
        end = (0.62 * math.cos(angle), -0.22 + 0.62 * math.sin(angle))
        parts.append(Stroke(Role.BODY, ((0.0, -0.22), end), 0.08, _between(rng, 0.24, 0.31)))
    return [*parts, _disc(Role.MARK, (0.0, -0.22), 0.13)]


def _wave_and_fins(rng: np.random.Generator) -> Outline:
    """The winding trunk and the fins that `arrow` and `trident` have in common."""
    swing = _between(rng, 0.14, 0.24)
    path = tuple((-0.7 + 1.35 * k / 24, swing * math.sin(6.0 * k / 24)) for k in range(25))
    parts: Outline = [Stroke(Role.BODY, path, 0.2, 0.24)]
    for k in (5, 10, 15, 20):
        x, y = path[k]
        side = -1.0 if k % 2 else 1.0
        parts.append(Stroke(Role.BODY, ((x, y), (x - 0.14, y + side * 0.52)), 0.09, 0.03))
    return parts


def arrow(rng: np.random.Generator) -> Outline:
    """The winding trunk with a barbed head in front and a ball behind."""
    barb = _between(rng, 0.4, 0.5)
    head = ((1.12, -0.05), (0.52, -0.05 - barb), (0.68, -0.05), (0.52, -0.05 + barb))
    return [
        *_wave_and_fins(rng),
        Polygon(Role.MARK, head),
        _disc(Role.BODY, (-0.92, 0.0), 0.24),
    ]


def trident(rng: np.random.Generator) -> Outline:
    """The winding trunk with three thin prongs in front and a whip behind."""
    bend = _between(rng, -0.5, 0.5)
    parts = _wave_and_fins(rng)
    for side in (-0.42, 0.0, 0.42):
        parts.append(Stroke(Role.BODY, ((0.5, -0.05), (0.8, side - 0.05)), 0.1, 0.07))
        parts.append(Stroke(Role.MARK, ((0.8, side - 0.05), (1.12, side - 0.05)), 0.075, 0.04))
    return [*parts, Stroke(Role.BODY, ((-0.7, 0.0), (-0.95, bend / 2), (-1.0, bend)), 0.08, 0.03)]


OUTLINES: dict[str, tuple[Callable[[np.random.Generator], Outline], ...]] = {
    "sample": (burst, hook, beast, pincer),
    "pretraining": (gear, clover, arrow, trident),
}


# ------------------------------------------------------------------------------------ painting


@dataclass(frozen=True)
class Placement:
    """Where an outline goes: ``centre`` and ``radius`` in pixels, a turn in radians, a mirror."""

    centre: Point
    radius: float
    turn: float = 0.0
    mirror: bool = False
    stretch: float = 1.0

    def apply(self, point: Point) -> Point:
        """Return the image position, in pixels, of a point in object coordinates."""
        x, y = point[0] * (-1 if self.mirror else 1) * self.stretch, point[1] / self.stretch
        cos, sin = math.cos(self.turn), math.sin(self.turn)
        return (
            self.centre[0] + self.radius * (cos * x - sin * y),
            self.centre[1] + self.radius * (sin * x + cos * y),
        )


def paint(
    outline: Outline, place: Placement, box: tuple[int, int, int, int], oversampling: int = 3
) -> tuple[UInt8[np.ndarray, "h w"], UInt8[np.ndarray, "h w"]]:
    """Rasterise an outline inside ``box`` (left, top, right, bottom; pixels).

    Returns the coverage (0..255) of the whole object and of its marks. Positions are rounded to
    1/64 of a pixel before they are drawn: sine and cosine may differ in their last bit between
    machines, and the picture must not.
    """
    width, height = box[2] - box[0], box[3] - box[1]
    size = (width * oversampling, height * oversampling)
    whole, marks = Image.new("L", size), Image.new("L", size)
    pens = {Role.BODY: (ImageDraw.Draw(whole), 255), Role.HOLE: (ImageDraw.Draw(whole), 0)}
    mark_pen = ImageDraw.Draw(marks)

    def pixel(point: Point) -> Point:
        x, y = place.apply(point)
        return (
            round((x - box[0]) * oversampling * 64) / 64 - 0.5,
            round((y - box[1]) * oversampling * 64) / 64 - 0.5,
        )

    for part in outline:
        targets = [pens.get(part.role, pens[Role.BODY])]
        if part.role is Role.MARK:
            targets.append((mark_pen, 255))
        elif part.role is Role.HOLE:
            targets.append((mark_pen, 0))
        for pen, value in targets:
            if isinstance(part, Polygon):
                pen.polygon([pixel(p) for p in part.points], fill=value)
            else:
                _draw_stroke(pen, part, pixel, place.radius * oversampling, value)
    return (
        np.asarray(whole.reduce(oversampling), dtype=np.uint8),
        np.asarray(marks.reduce(oversampling), dtype=np.uint8),
    )


def _draw_stroke(
    pen: ImageDraw.ImageDraw,
    stroke: Stroke,
    pixel: Callable[[Point], Point],
    scale: float,
    value: int,
) -> None:
    """Draw a stroke as overlapping discs, near enough to each other to leave a smooth edge."""
    centres = [pixel(p) for p in stroke.path]
    spans = [math.dist(a, b) for a, b in pairwise(centres)]
    total, done = sum(spans), 0.0
    thinnest = min(stroke.start, stroke.end) * scale
    if not spans:
        _draw_disc(pen, centres[0], stroke.start * scale, value)
    for ((ax, ay), (bx, by)), span in zip(pairwise(centres), spans, strict=True):
        steps = max(1, math.ceil(span / max(2.0, 0.4 * thinnest)))
        for k in range(steps + 1):
            f = k / steps
            radius = stroke.start + (stroke.end - stroke.start) * (done + f * span) / total
            _draw_disc(pen, (ax + f * (bx - ax), ay + f * (by - ay)), radius * scale, value)
        done += span


def _draw_disc(pen: ImageDraw.ImageDraw, centre: Point, radius: float, value: int) -> None:
    x, y, r = (round(v * 16) / 16 for v in (*centre, max(radius, 0.75)))
    pen.ellipse((x - r, y - r, x + r, y + r), fill=value)
