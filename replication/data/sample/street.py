"""Render street scenes with Cityscapes' labelIds: a road to the horizon and what stands along it.

An eighth of Cityscapes' size, and lossless there as here: so no fine grain, and few colours, else
PNGs of noise would be most of the sample. A thing is painted in its colour and its labelId at once.
"""

import colorsys
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw

from replication.data.classes import CITYSCAPES_LABELS
from replication.data.sample.backdrop import smooth_noise

SIZE = (256, 128)
IDS = {label.name: label.id for label in CITYSCAPES_LABELS}
_SEED = 20_16
_LEVELS = 8  # colours are multiples of this

Colour = tuple[int, int, int]
Points = list[tuple[float, float]]


def _whole(box: tuple[float, float, float, float]) -> list[int]:
    """Round a box (left, top, right, bottom) to pixels; what is far away may be under one wide."""
    left, top, right, bottom = (round(v) for v in box)
    return [left, top, max(left, right), max(top, bottom)]


@dataclass
class _Painter:
    """A picture and its labels, painted together, from back to front."""

    picture: ImageDraw.ImageDraw
    labels: ImageDraw.ImageDraw

    def box(self, name: str, colour: Colour, box: tuple[float, float, float, float]) -> None:
        corners = _whole(box)
        self.picture.rectangle(corners, fill=colour)
        self.labels.rectangle(corners, fill=IDS[name])

    def disc(self, name: str, colour: Colour, box: tuple[float, float, float, float]) -> None:
        corners = _whole(box)
        self.picture.ellipse(corners, fill=colour)
        self.labels.ellipse(corners, fill=IDS[name])

    def polygon(self, name: str, colour: Colour, points: Points) -> None:
        corners = [(round(x), round(y)) for x, y in points]
        self.picture.polygon(corners, fill=colour)
        self.labels.polygon(corners, fill=IDS[name])


class _Draws:
    """What one scene draws at random."""

    def __init__(self, index: int) -> None:
        self.rng = np.random.Generator(np.random.PCG64([_SEED, index]))

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * float(self.rng.random())

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def colour(self, hue: tuple[float, float], saturation: float, value: float) -> Colour:
        rgb = colorsys.hsv_to_rgb(
            self.between(*hue) % 1.0, saturation, min(value * self.between(0.85, 1.15), 1.0)
        )
        red, green, blue = (round(v * 255 / _LEVELS) * _LEVELS for v in rgb)
        return min(red, 255), min(green, 255), min(blue, 255)


def render_street(
    index: int, *, size: tuple[int, int] = SIZE
) -> tuple[UInt8[np.ndarray, "H W 3"], UInt8[np.ndarray, "H W"]]:
    """Render street ``index``: the image (RGB) and its labelIds (0..33); ``size`` as SIZE."""
    draws = _Draws(index)
    picture, labels = Image.new("RGB", size), Image.new("L", size)
    painter = _Painter(ImageDraw.Draw(picture), ImageDraw.Draw(labels))
    width, height = size
    horizon = height * draws.between(0.36, 0.46)
    vanishing = width * draws.between(0.4, 0.6)
    _background(painter, draws, width, horizon)
    _ground(painter, draws, (width, height), (vanishing, horizon))
    # From far to near: what is nearer is larger, lower and hides the rest.
    for depth in np.sort(draws.rng.random(int(draws.rng.integers(7, 13)))):
        _thing(painter, draws, float(depth), (width, height), (vanishing, horizon))
    if draws.chance(0.7):
        painter.box("ego vehicle", (24, 24, 32), (0, height * 0.94, width, height))
    # Weathered surfaces, in few steps: else colour alone would tell where one thing ends.
    stains = smooth_noise(draws.rng, width, height, 5) - np.float32(0.5)
    stained = np.asarray(picture, dtype=np.float32) + stains[..., None] * np.float32(64)
    image = np.clip(np.rint(stained / _LEVELS) * _LEVELS, 0, 255).astype(np.uint8)
    return image, np.asarray(labels)


def _background(painter: _Painter, draws: _Draws, width: int, horizon: float) -> None:
    """Sky, then houses and trees along the horizon."""
    painter.box("sky", draws.colour((0.55, 0.62), 0.25, 0.9), (0, 0, width, horizon))
    x = -10.0
    while x < width:
        right, top = x + draws.between(18, 60), horizon * draws.between(0.1, 0.8)
        kind = draws.rng.random()
        if kind < 0.6:
            painter.box(
                "building", draws.colour((0.0, 0.12), 0.3, 0.6), (x, top, right, horizon + 4)
            )
            glass = draws.colour((0.58, 0.62), 0.3, 0.3)
            for u in np.arange(x + 3, right - 5, 9):
                for v in np.arange(top + 3, horizon - 6, 9):
                    painter.box("building", glass, (float(u), float(v), u + 4, v + 5))
        elif kind < 0.85:
            leaves = draws.colour((0.25, 0.36), 0.6, 0.45)
            for _ in range(5):
                u, v, r = (
                    draws.between(x, right),
                    draws.between(top, horizon),
                    5 + 9 * draws.between(0, 1),
                )
                painter.disc("vegetation", leaves, (u - r, v - r, u + r, v + r))
        elif kind < 0.93:
            painter.box(
                "wall", draws.colour((0.0, 0.1), 0.1, 0.55), (x, horizon - 9, right, horizon)
            )
        else:
            painter.box(
                "fence", draws.colour((0.08, 0.1), 0.4, 0.5), (x, horizon - 8, right, horizon)
            )
        x = right + draws.between(-4, 8)


def _ground(
    painter: _Painter, draws: _Draws, size: tuple[int, int], end: tuple[float, float]
) -> None:
    """Terrain or sidewalk on both sides of a road that ends at the horizon."""
    width, height = size
    x, y = end
    soil = "terrain" if draws.chance(0.4) else "sidewalk"
    side = (
        draws.colour((0.2, 0.3), 0.45, 0.6)
        if soil == "terrain"
        else draws.colour((0.05, 0.1), 0.12, 0.7)
    )
    painter.box(soil, side, (0, y, width, height))
    left, right = width * draws.between(-0.5, 0.05), width * draws.between(0.95, 1.5)
    if soil == "terrain":
        curb: Points = [(x - 8, y), (x + 8, y), (right + 60, height), (left - 60, height)]
        painter.polygon("sidewalk", draws.colour((0.05, 0.1), 0.12, 0.7), curb)
    road: Points = [(x - 4, y), (x + 4, y), (right, height), (left, height)]
    painter.polygon("road", draws.colour((0.6, 0.7), 0.06, 0.4), road)
    for k in range(4):
        mark: Points = []
        for start, offset in ((0.05, -2), (0.05, 2), (0.15, 2), (0.15, -2)):
            f = start + 0.25 * k
            mark.append((x + (width / 2 - x + offset) * f, y + (height - y) * f))
        painter.polygon("road", (216, 216, 216), mark)


def _thing(
    painter: _Painter,
    draws: _Draws,
    depth: float,
    size: tuple[int, int],
    end: tuple[float, float],
) -> None:
    """One vehicle on the road, or a person or a pole beside it, as large as its depth asks."""
    width, height = size
    x, y = end
    f = 0.12 + 0.7 * depth
    foot, unit = y + (height - y) * f, 34 * f  # a unit is about a metre and a half
    kind = draws.rng.random()
    if kind < 0.5:
        centre = x + (width * draws.between(0.15, 0.85) - x) * f
        _vehicle(painter, draws, (centre, foot), unit)
        return
    side = -1 if draws.chance(0.5) else 1
    centre = x + side * width * draws.between(0.45, 0.6) * f
    if kind < 0.75:
        _person(painter, draws, (centre, foot), unit, "person")
        return
    grey = draws.colour((0.6, 0.7), 0.05, 0.5)
    painter.box("pole", grey, (centre - 0.04 * unit, foot - 2.6 * unit, centre + 0.04 * unit, foot))
    top = foot - 2.6 * unit
    if kind < 0.87:
        painter.disc(
            "traffic sign",
            draws.colour((0.0, 0.16), 0.9, 0.85),
            (centre - 0.3 * unit, top, centre + 0.3 * unit, top + 0.6 * unit),
        )
    else:
        painter.box(
            "traffic light",
            (40, 40, 32),
            (centre - 0.16 * unit, top, centre + 0.16 * unit, top + 0.8 * unit),
        )
        lamp = draws.colour((0.0, 0.36), 0.9, 0.9)
        painter.disc(
            "traffic light",
            lamp,
            (centre - 0.1 * unit, top + 3, centre + 0.1 * unit, top + 0.3 * unit),
        )


_VEHICLES = {  # share, width and height in units
    "car": (0.55, 1.3, 0.9),
    "truck": (0.65, 1.6, 1.8),
    "bus": (0.75, 1.8, 2.0),
    "train": (0.79, 2.4, 2.2),
    "motorcycle": (0.89, 0.7, 0.6),
    "bicycle": (1.0, 0.8, 0.6),
}


def _vehicle(painter: _Painter, draws: _Draws, foot: tuple[float, float], unit: float) -> None:
    share = draws.rng.random()
    name, (_, w, h) = next((n, v) for n, v in _VEHICLES.items() if share < v[0] or v[0] == 1.0)
    x, y = foot
    left, right, top = x - w * unit / 2, x + w * unit / 2, y - h * unit
    paint = draws.colour((0.0, 1.0), 0.75, 0.75)
    r = 0.24 * unit
    if name in ("motorcycle", "bicycle"):
        _person(painter, draws, (x, y - 0.25 * unit), 0.8 * unit, "rider")
        for u in (left + r, right - r):
            painter.disc(name, (32, 32, 32), (u - r, y - 2 * r, u + r, y))
        painter.box(name, paint, (left + r, y - 1.6 * r, right - r, y - r))
        return
    painter.box(
        name, paint, (left, top + (0.3 * unit if name == "car" else 0), right, y - 0.15 * unit)
    )
    if name == "car":
        painter.box(name, paint, (left + 0.15 * unit, top, right - 0.15 * unit, y - 0.5 * unit))
    glass = (72, 88, 104)
    painter.box(
        name, glass, (left + 0.22 * unit, top + 0.1 * unit, right - 0.22 * unit, top + 0.38 * unit)
    )
    for u in (left + 0.3 * unit, right - 0.3 * unit):
        painter.disc(name, (24, 24, 24), (u - r * 0.7, y - 1.4 * r, u + r * 0.7, y))


def _person(
    painter: _Painter, draws: _Draws, foot: tuple[float, float], unit: float, name: str
) -> None:
    x, y = foot
    legs, shirt = draws.colour((0.55, 0.7), 0.5, 0.35), draws.colour((0.0, 1.0), 0.8, 0.85)
    stride = draws.between(0.03, 0.16) * unit
    for side in (-1, 1):
        points = [(x - 0.08 * unit, y - 0.6 * unit), (x + 0.08 * unit, y - 0.6 * unit)]
        points += [(x + side * stride + 0.06 * unit, y), (x + side * stride - 0.06 * unit, y)]
        painter.polygon(name, legs, points)
    painter.box(name, shirt, (x - 0.17 * unit, y - 1.1 * unit, x + 0.17 * unit, y - 0.55 * unit))
    painter.disc(
        name,
        draws.colour((0.05, 0.08), 0.45, 0.75),
        (x - 0.11 * unit, y - 1.36 * unit, x + 0.11 * unit, y - 1.1 * unit),
    )
