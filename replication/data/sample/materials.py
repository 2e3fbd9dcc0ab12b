"""Materials of the sample's objects: a pair of colours and a texture, five for each set.

A texture is a function of position in the object's own frame that returns how much of the second
colour shows, in [0, 1]. Textures use only +, -, x, / and rounding, which IEEE 754 fixes to the
last bit: no sine, no exponential, no library whose result depends on the processor.
"""

import colorsys
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float32

Grid = Float32[np.ndarray, "h w"]
Texture = Callable[[Grid, Grid, np.random.Generator], Grid]


def wave(x: Grid) -> Grid:
    """Return a smooth wave of period 1 through [0, 1], made of cubics."""
    t = np.abs(x - np.floor(x) - np.float32(0.5)) * np.float32(2)  # 1 at whole numbers, 0 between
    mix: Grid = t * t * (np.float32(3) - np.float32(2) * t)
    return mix


def _step(x: Grid, sharpness: float) -> Grid:
    """Return a soft threshold of ``x`` at 0.5, in [0, 1]."""
    mix: Grid = np.clip((x - np.float32(0.5)) * np.float32(sharpness) + np.float32(0.5), 0, 1)
    return mix


def _cells(u: Grid, v: Grid, rng: np.random.Generator) -> tuple[Grid, Grid]:
    """Return the distances (squared) to the nearest and second nearest point, one per unit cell."""
    jitter = rng.random((2, 16, 16), dtype=np.float32)
    cu, cv = np.floor(u), np.floor(v)
    iu, iv = cu.astype(np.int32), cv.astype(np.int32)
    near = np.full(u.shape, 9, dtype=np.float32)
    second = near.copy()
    for du in (-1, 0, 1):
        for dv in (-1, 0, 1):
            shift = jitter[:, (iv + dv) & 15, (iu + du) & 15]  # (2, h, w)
            x, y = cu + np.float32(du) + shift[0] - u, cv + np.float32(dv) + shift[1] - v
            distance = x * x + y * y
            second = np.minimum(second, np.maximum(near, distance))
            near = np.minimum(near, distance)
    return near, second


def bands(u: Grid, v: Grid, rng: np.random.Generator) -> Grid:
    """Straight stripes, 7 pixels apart."""
    mix: Grid = _step(wave(u / np.float32(7)), 2.5)
    return mix


def dots(u: Grid, v: Grid, rng: np.random.Generator) -> Grid:
    """Round dots on a staggered lattice, 9 pixels apart."""
    row = np.floor(v / np.float32(8))
    x = u / np.float32(9) + np.float32(0.5) * (row - 2 * np.floor(row / 2))
    x, y = x - np.floor(x) - np.float32(0.5), v / np.float32(8) - row - np.float32(0.5)
    mix: Grid = np.clip(
        (np.float32(0.105) - x * x - y * y) * np.float32(16) + np.float32(0.5), 0, 1
    )
    return mix


def plaid(u: Grid, v: Grid, rng: np.random.Generator) -> Grid:
    """Broad checks whose crossings are strongest."""
    mix: Grid = (_step(wave(u / np.float32(12)), 3) + _step(wave(v / np.float32(12)), 3)) / 2
    return mix


def cells(u: Grid, v: Grid, rng: np.random.Generator) -> Grid:
    """Irregular cells with thin borders, about 9 pixels across."""
    near, second = _cells(u / np.float32(9), v / np.float32(9), rng)
    mix: Grid = 1 - np.clip((second - near) * np.float32(4), 0, 1)
    return mix


def scales(u: Grid, v: Grid, rng: np.random.Generator) -> Grid:
    """Overlapping round scales, like a fish's."""
    row = np.floor(v / np.float32(6))
    x = u / np.float32(11) + np.float32(0.5) * (row - 2 * np.floor(row / 2))
    x, y = (x - np.floor(x) - np.float32(0.5)) * 2, v / np.float32(6) - row
    mix: Grid = np.clip((x * x + y * y - np.float32(0.45)) * np.float32(2.2), 0, 1)
    return mix


def zigzag(u: Grid, v: Grid, rng: np.random.Generator) -> Grid:
    """Chevrons."""
    fold = np.abs(u / np.float32(12) - np.floor(u / np.float32(12)) - np.float32(0.5))
    mix: Grid = _step(wave(v / np.float32(8) + fold * np.float32(1.5)), 2.5)
    return mix


def bricks(u: Grid, v: Grid, rng: np.random.Generator) -> Grid:
    """Courses of bricks; the mortar is the second colour."""
    row = np.floor(v / np.float32(6))
    x = u / np.float32(13) + np.float32(0.5) * (row - 2 * np.floor(row / 2))
    x, y = x - np.floor(x), v / np.float32(6) - row
    mix: Grid = ((y < np.float32(0.28)) | (x < np.float32(0.14))).astype(np.float32)
    return mix


def veins(u: Grid, v: Grid, rng: np.random.Generator) -> Grid:
    """Stripes bent by slow waves, as in marble."""
    bend = wave(v / np.float32(23)) * np.float32(1.3) + wave((u + v) / np.float32(31))
    ridge = wave(u / np.float32(13) + bend)
    mix: Grid = ridge * ridge * ridge
    return mix


def speckles(u: Grid, v: Grid, rng: np.random.Generator) -> Grid:
    """Small scattered grains."""
    near, _ = _cells(u / np.float32(4.5), v / np.float32(4.5), rng)
    mix: Grid = np.clip((np.float32(0.16) - near) * np.float32(8), 0, 1)
    return mix


def rings(u: Grid, v: Grid, rng: np.random.Generator) -> Grid:
    """Small concentric rings on a square lattice."""
    x = u / np.float32(15) - np.floor(u / np.float32(15)) - np.float32(0.5)
    y = v / np.float32(15) - np.floor(v / np.float32(15)) - np.float32(0.5)
    mix: Grid = wave((x * x + y * y) * np.float32(7))
    return mix


@dataclass(frozen=True)
class Material:
    """Two colours as (hue 0..1, saturation 0..1, value 0..1), and the texture that mixes them."""

    name: str
    first: tuple[float, float, float]
    second: tuple[float, float, float]
    texture: Texture

    def toned(self, tone: tuple[float, float, float]) -> "Material":
        """Return this material with its hue moved, its saturation and its value multiplied."""
        hue, saturation, value = tone

        def move(hsv: tuple[float, float, float]) -> tuple[float, float, float]:
            return (hsv[0] + hue) % 1.0, min(hsv[1] * saturation, 1.0), min(hsv[2] * value, 1.0)

        return replace(self, first=move(self.first), second=move(self.second))

    def colours(self, rng: np.random.Generator) -> Float32[np.ndarray, "2 3"]:
        """Return the two colours, RGB on 0..255, jittered alike for one object."""
        jitter = (rng.random(3) - 0.5) * np.array([0.035, 0.14, 0.16])
        pair = [
            colorsys.hsv_to_rgb(
                (hsv[0] + jitter[0]) % 1.0,
                min(max(hsv[1] + jitter[1], 0.0), 1.0),
                min(max(hsv[2] + jitter[2], 0.0), 1.0),
            )
            for hsv in (self.first, self.second)
        ]
        return np.asarray(pair, dtype=np.float32) * np.float32(255)


MATERIALS: dict[str, tuple[Material, ...]] = {
    "sample": (
        Material("banded red", (0.00, 0.85, 0.88), (0.03, 0.80, 0.50), bands),
        Material("dotted yellow", (0.135, 0.85, 0.95), (0.10, 0.90, 0.58), dots),
        Material("scaly green", (0.34, 0.75, 0.72), (0.36, 0.85, 0.36), scales),
        Material("checked blue", (0.60, 0.80, 0.90), (0.62, 0.85, 0.48), plaid),
        Material("cellular violet", (0.80, 0.65, 0.85), (0.79, 0.80, 0.42), cells),
    ),
    "pretraining": (
        Material("zigzag orange", (0.065, 0.90, 0.92), (0.055, 0.85, 0.55), zigzag),
        Material("speckled lime", (0.23, 0.80, 0.85), (0.24, 0.85, 0.45), speckles),
        Material("ringed teal", (0.48, 0.80, 0.78), (0.49, 0.85, 0.40), rings),
        Material("veined indigo", (0.70, 0.72, 0.85), (0.71, 0.80, 0.42), veins),
        Material("bricked pink", (0.92, 0.68, 0.92), (0.93, 0.80, 0.50), bricks),
    ),
}
