"""Render scenes of people whose parts are known: PASCAL-Part's 24, as its annotators drew them.

One to three figures stand, sit or wave before a ground of the sample's. Each part is painted by
itself, so that its mask is exact; who is painted later hides who is behind.
"""

import colorsys
import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, UInt8

from replication.data.sample import backdrop
from replication.data.sample.shapes import Placement, Polygon, Role, Stroke, paint

SIZE = (193, 145)
_SEED = 20_10

Mask = Bool[np.ndarray, "H W"]
Part = tuple[str, str, Polygon | Stroke]  # PASCAL-Part's name, its colour's name, its outline


@dataclass(frozen=True)
class Group:
    """A rendered image of people: arrays are (H, W) but for the image."""

    image: UInt8[np.ndarray, "H W 3"]  # RGB
    stuff: UInt8[np.ndarray, "H W"]  # as `Scene.stuff`
    people: tuple[dict[str, Mask], ...]  # one mask by part's name, no two of which overlap


def _limb(start: tuple[float, float], angle: float, length: float) -> tuple[float, float]:
    return start[0] + length * math.sin(angle), start[1] + length * math.cos(angle)


def _figure(rng: np.random.Generator) -> list[Part]:
    """Return the parts of one person in object coordinates, the hindmost first."""

    def between(low: float, high: float) -> float:
        return low + (high - low) * float(rng.random())

    parts: list[Part] = []
    for side, sign in (("l", 1.0), ("r", -1.0)):
        hip = (0.1 * sign, 0.05)
        thigh = sign * between(0.0, 0.5)
        knee = _limb(hip, thigh, 0.42)
        ankle = _limb(knee, thigh - sign * between(0.0, 0.5), 0.4)
        parts += [
            (f"{side}uleg", "trousers", Stroke(Role.BODY, (hip, knee), 0.13, 0.1)),
            (f"{side}lleg", "socks", Stroke(Role.BODY, (knee, ankle), 0.09, 0.06)),
            (
                f"{side}foot",
                "shoes",
                Stroke(Role.BODY, (ankle, (ankle[0] + 0.12 * sign, ankle[1] + 0.02)), 0.06, 0.05),
            ),
        ]
    torso = ((-0.22, -0.56), (0.22, -0.56), (0.19, 0.1), (-0.19, 0.1))
    parts += [
        ("torso", "shirt", Polygon(Role.BODY, torso)),
        ("neck", "skin", Stroke(Role.BODY, ((0.0, -0.66), (0.0, -0.54)), 0.07, 0.08)),
    ]
    for side, sign in (("l", 1.0), ("r", -1.0)):
        shoulder = (0.22 * sign, -0.5)
        raised = sign * between(0.1, 2.4)
        elbow = _limb(shoulder, raised, 0.3)
        wrist = _limb(elbow, raised + sign * between(-0.4, 1.0), 0.28)
        parts += [
            (f"{side}uarm", "shirt", Stroke(Role.BODY, (shoulder, elbow), 0.085, 0.07)),
            (f"{side}larm", "skin", Stroke(Role.BODY, (elbow, wrist), 0.065, 0.05)),
            (f"{side}hand", "skin", Stroke(Role.BODY, (wrist,), 0.065, 0.065)),
        ]
    parts += [
        ("hair", "hair", Stroke(Role.BODY, ((0.0, -0.84),), 0.165, 0.165)),
        ("head", "skin", Stroke(Role.BODY, ((0.0, -0.79), (0.0, -0.75)), 0.125, 0.115)),
    ]
    return parts


def _wardrobe(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return a colour (RGB, 0..255, float32) for each of a figure's materials."""

    def colour(hue: float, saturation: float, value: float) -> np.ndarray:
        rgb = colorsys.hsv_to_rgb(hue % 1.0, saturation, value)
        return np.asarray(rgb, dtype=np.float32) * np.float32(255)

    h = [float(v) for v in rng.random(5)]
    return {
        "skin": colour(0.05 + 0.03 * h[0], 0.45, 0.45 + 0.5 * h[1]),
        "hair": colour(0.08, 0.5, 0.1 + 0.3 * h[2]),
        "shirt": colour(h[3], 0.8, 0.85),
        "trousers": colour(h[4], 0.6, 0.5),
        "socks": colour(h[4] + 0.06, 0.4, 0.75),
        "shoes": colour(h[3] + 0.5, 0.5, 0.3),
    }


def render_group(index: int, *, size: tuple[int, int] = SIZE) -> Group:
    """Render scene ``index`` of people; ``size`` is width, height in pixels."""
    rng = np.random.Generator(np.random.PCG64([_SEED, index]))
    width, height = size
    stuff = np.zeros((height, width), dtype=np.uint8)
    canvas = backdrop.ground("sample", int(rng.integers(5)), rng, stuff)
    for _ in range(int(rng.integers(2, 6))):
        outline = backdrop.distractor(rng, width, height)
        window, cover = backdrop.add_plain(canvas, outline, rng, 0.25, 0.95)
        stuff[window][cover >= np.float32(0.5)] = backdrop.CLUTTER
    count = int(rng.integers(1, 4))
    # In columns, so that nobody is hidden whole; the nearer, the larger and the later.
    columns = rng.permutation(count)
    owner = np.full((height, width), -1, dtype=np.int16)
    painted: list[tuple[int, str]] = []
    for k in range(count):
        radius = height * (0.22 + 0.22 * (k + float(rng.random())) / count)
        x = width * (columns[k] + 0.3 + 0.4 * float(rng.random())) / count
        y = height * (0.42 + 0.16 * float(rng.random()))
        place = Placement((float(x), y), radius, turn=0.3 * (float(rng.random()) - 0.5))
        colours = _wardrobe(rng)
        for name, material, part in _figure(rng):
            whole, _ = paint([part], place, (0, 0, width, height), 2)
            cover = whole.astype(np.float32) / np.float32(255)
            canvas += (colours[material] - canvas) * cover[..., None]
            owner[whole >= 128] = len(painted)
            painted.append((k, name))
    people: list[dict[str, Mask]] = [{} for _ in range(count)]
    for number, (k, name) in enumerate(painted):
        if (owner == number).any():
            people[k][name] = owner == number
    image = np.clip(np.rint(backdrop.develop(canvas, rng)), 0, 255).astype(np.uint8)
    return Group(image, stuff, tuple(person for person in people if person))
