"""What the sample's objects stand before and behind: ground, clutter, occluders, light, noise.

All of it is background to the labels. Its colours are muted, so that an object's edge is also an
edge of colour: what the CRF needs. Half of the grounds go with the material of the scene's first
object, as boats go with water.
"""

import colorsys
import math

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image

from replication.data.sample.materials import Grid, wave
from replication.data.sample.shapes import Outline, Placement, Polygon, Role, Stroke, extent, paint

Canvas = Float32[np.ndarray, "H W 3"]

_GROUNDS = 5
CLUTTER = 2 * _GROUNDS
"""What `Scene.stuff` says of things without a label; below it are the grounds, near and far."""
_HUES = {"sample": 0.0, "pretraining": 0.09}  # the two sets' grounds are tinted apart


def mesh(width: int, height: int) -> tuple[Grid, Grid]:
    """Return the x and y coordinates of the pixels, both of shape (height, width)."""
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return x, y


def smooth_noise(rng: np.random.Generator, width: int, height: int, cell: float) -> Grid:
    """Return noise in [0, 1] that varies over about ``cell`` pixels (Pillow's integer bicubic)."""
    grid = (max(2, round(width / cell) + 1), max(2, round(height / cell) + 1))
    seeds = Image.fromarray(rng.integers(0, 256, size=(grid[1], grid[0]), dtype=np.uint8))
    picture = seeds.resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(picture, dtype=np.float32) / np.float32(255)


def muted(
    rng: np.random.Generator, hue: float, low: float, high: float
) -> Float32[np.ndarray, "3"]:
    """Return a colour of low saturation, RGB on 0..255, its value between ``low`` and ``high``."""
    saturation, value = 0.06 + 0.2 * rng.random(), low + (high - low) * rng.random()
    rgb = colorsys.hsv_to_rgb((hue + 0.1 * (rng.random() - 0.5)) % 1.0, saturation, value)
    return np.asarray(rgb, dtype=np.float32) * np.float32(255)


def _ground(kind: int, rng: np.random.Generator, width: int, height: int) -> Grid:
    """Return how much of the ground's second colour shows, in [0, 1]."""
    x, y = mesh(width, height)
    slow = smooth_noise(rng, width, height, 40)
    if kind == 0:  # clouds
        clouds: Grid = (2 * slow + smooth_noise(rng, width, height, 15)) / 3
        return clouds
    if kind == 1:  # grass
        blades = smooth_noise(rng, width * 3, height, 4)[:, ::3]
        grass: Grid = (slow + 2 * blades) / 3
        return grass
    if kind == 2:  # planks
        pitch = np.float32(14 + 10 * rng.random())
        row = y / pitch - np.floor(y / pitch)
        return np.clip((row < np.float32(0.1)) * np.float32(0.7) + slow * np.float32(0.4), 0, 1)
    if kind == 3:  # tiles
        pitch = np.float32(16 + 12 * rng.random())
        column, row = x / pitch - np.floor(x / pitch), y / pitch - np.floor(y / pitch)
        joint = (column < np.float32(0.1)) | (row < np.float32(0.1))
        return np.clip(joint * np.float32(0.6) + slow * np.float32(0.4), 0, 1)
    return wave((y + 14 * slow) / np.float32(11)) * np.float32(0.5) + slow / 2  # ripples


def ground(
    set_name: str, theme: int, rng: np.random.Generator, stuff: UInt8[np.ndarray, "H W"]
) -> Canvas:
    """Paint the ground: one texture, or two that meet at a sloping horizon.

    ``stuff`` (H, W) is as large as the picture and told what is where: a texture's number, and
    beyond the horizon 5 more.
    """
    height, width = stuff.shape
    stuff[:] = theme
    hue = theme / _GROUNDS + _HUES[set_name]
    canvas = _paint_ground(theme, hue, rng, width, height)
    if rng.random() < 0.5:
        other = int(rng.integers(_GROUNDS))
        far = _paint_ground(other, hue + 0.35, rng, width, height)
        x, y = mesh(width, height)
        level = np.float32(height * (0.2 + 0.35 * rng.random()))
        slope = np.float32(0.3 * (rng.random() - 0.5))
        weight = np.clip(level + slope * (x - np.float32(width / 2)) - y, 0, 1)[..., None]
        canvas += (far - canvas) * weight
        stuff[weight[..., 0] >= np.float32(0.5)] = _GROUNDS + other
    return canvas


def _paint_ground(
    kind: int, hue: float, rng: np.random.Generator, width: int, height: int
) -> Canvas:
    mix = _ground(kind, rng, width, height)[..., None]
    first, second = muted(rng, hue, 0.55, 0.95), muted(rng, hue, 0.3, 0.6)
    canvas: Canvas = first + (second - first) * mix
    return canvas


def stick(rng: np.random.Generator, width: int, height: int) -> Outline:
    """Return a thin bent stick that crosses part of the image, in pixels."""
    start = (float(rng.random()) * width, float(rng.random()) * height)
    reach = (0.9 * width * (rng.random() - 0.5), 0.9 * height * (rng.random() - 0.5))
    end = (start[0] + float(reach[0]), start[1] + float(reach[1]))
    bend = 16 * (float(rng.random()) - 0.5)
    middle = ((start[0] + end[0]) / 2 + bend, (start[1] + end[1]) / 2 - bend)
    thick = 1.0 + 1.2 * float(rng.random())
    return [Stroke(Role.BODY, (start, middle, end), thick, thick * 0.6)]


def distractor(rng: np.random.Generator, width: int, height: int) -> Outline:
    """Return a plain box, disc, wedge or stick, in pixels: clutter without a label."""
    kind = int(rng.integers(4))
    if kind == 3:
        return stick(rng, width, height)
    x, y = float(rng.random()) * width, float(rng.random()) * height
    w, h = (4 + 22 * float(v) for v in rng.random(2))
    lean = 12 * (float(rng.random()) - 0.5)
    if kind == 0:
        return [Stroke(Role.BODY, ((x, y),), w / 2, w / 2)]
    corners = [(x, y), (x + w, y + lean), (x + w - lean, y + h + lean), (x - lean, y + h)]
    return [Polygon(Role.BODY, tuple(corners[: 5 - kind]))]


def add_plain(
    canvas: Canvas, outline: Outline, rng: np.random.Generator, low: float, high: float
) -> tuple[tuple[slice, slice], Float32[np.ndarray, "h w"]]:
    """Paint an outline given in pixels in one muted colour.

    Returns the window of the canvas that holds it and its coverage there, in [0, 1].
    """
    height, width = canvas.shape[:2]
    points = [p for part in outline for p in extent(part)]
    left, right = (min(max(math.floor(f(x for x, _ in points)), 0), width) for f in (min, max))
    top, bottom = (min(max(math.floor(f(y for _, y in points)), 0), height) for f in (min, max))
    box = (left, top, min(right + 1, width), min(bottom + 1, height))
    colour = muted(rng, float(rng.random()), low, high)
    window = (slice(box[1], box[3]), slice(box[0], box[2]))
    if box[2] <= box[0] or box[3] <= box[1]:
        return window, np.zeros(canvas[window].shape[:2], dtype=np.float32)
    whole, _ = paint(outline, Placement((0.0, 0.0), 1.0), box, 2)
    cover = whole.astype(np.float32) / np.float32(255)
    canvas[window] += (colour - canvas[window]) * cover[..., None]
    return window, cover


def develop(canvas: Canvas, rng: np.random.Generator) -> Canvas:
    """Apply a slanting light (factors about 0.72 to 1.15) and the grain of a camera."""
    height, width = canvas.shape[:2]
    x, y = mesh(width, height)
    slant = (rng.random(2) - 0.5).astype(np.float32) * np.float32(0.45)
    light = slant[0] * (x / np.float32(width) - np.float32(0.5))
    light = light + slant[1] * (y / np.float32(height) - np.float32(0.5))
    level = np.float32(0.88 + 0.14 * rng.random())
    lit: Canvas = canvas * (level + light)[..., None]
    # The sum of four bytes is nearly normal and, unlike a normal draw, made of integers alone.
    grain = rng.integers(0, 256, size=(4, height, width, 3), dtype=np.uint8).sum(0, dtype=np.int32)
    lit += (grain - 510).astype(np.float32) * np.float32(2.2 / 148.0)  # deviation 2.2
    return lit
