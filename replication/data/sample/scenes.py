"""Render one labelled scene of the embedded sample, bit for bit the same every time.

Twenty classes are five materials times four outlines, each outline in a tone of its own. The set
`sample` carries the names of PASCAL VOC's classes, so that nothing downstream is special. The set
`pretraining` has those twenty, in three objects of four, and twenty others of other materials and
outlines, in scenes of its own: as ImageNet's classes hold VOC's among others.

A scene depends on its set's name and its index alone (a PCG64 stream of its own), so scenes can be
rendered in any order, one at a time, by any number of processes.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageFilter
from scipy import ndimage

from replication.data.palette import VOC_CLASSES
from replication.data.sample import backdrop
from replication.data.sample.materials import MATERIALS, Material
from replication.data.sample.shapes import OUTLINES, Outline, Placement, paint
from replication.errors import ReplicationError

VOID = 255
SIZE = (193, 145)  # 8 * 24 + 1 by 8 * 18 + 1: 25 x 19 scores at output stride 8
SMALLEST, LARGEST = 9.0, 72.0  # radius of an object in pixels, at SIZE

_SEEDS = {"sample": 20_12, "pretraining": 20_09}

Kind = tuple[Material, Callable[[np.random.Generator], Outline]]


# Each outline has a tone of its material: as it is, pale, dark, or of the next hue. So colour says
# much of a class (a small network has minutes to learn), and shape settles what noise leaves open.
TONES = ((0.0, 1.0, 1.0), (0.02, 0.45, 1.1), (-0.01, 1.05, 0.5), (0.07, 1.0, 0.9))


def _kinds(materials: str, outlines: str) -> list[Kind]:
    """Return every material of one set in every outline of another, material by material."""
    pairs = list(zip(OUTLINES[outlines], TONES, strict=True))
    return [(m.toned(tone), o) for m in MATERIALS[materials] for o, tone in pairs]


# Class 1 is kind 0.
KINDS: dict[str, list[Kind]] = {
    "sample": _kinds("sample", "sample"),
    "pretraining": _kinds("sample", "sample") + _kinds("pretraining", "pretraining"),
}
# What is drawn from, evenly: places in `KINDS`.
_DRAWN = {"sample": [*range(20)], "pretraining": [*range(20)] * 3 + [*range(20, 40)]}


@dataclass(frozen=True)
class Scene:
    """A rendered image and what is known of it; arrays are (H, W) but for the image."""

    image: UInt8[np.ndarray, "H W 3"]  # RGB
    label: UInt8[np.ndarray, "H W"]  # 0 background, 1.. classes, 255 on contours, as VOC labels
    objects: UInt8[np.ndarray, "H W"]  # 0 background, 1.. objects, 255 on contours
    classes: UInt8[np.ndarray, "H W"]  # 0.. without void, as SBD labels
    stuff: UInt8[np.ndarray, "H W"]  # under the objects: 0..4 near, 5..9 far grounds, 10 clutter
    radii: tuple[float, ...]  # of objects 1.., in pixels
    kinds: tuple[int, ...]  # classes of objects 1..


def classes(set_name: str) -> tuple[str, ...]:
    """Return the names of ``sample``'s 21 classes (VOC's) or ``pretraining``'s 41."""
    _check(set_name)
    if set_name == "sample":
        return VOC_CLASSES
    return ("background", *(f"{m.name} {o.__name__}" for m, o in KINDS[set_name]))


def render_scene(
    set_name: str, index: int, *, size: tuple[int, int] = SIZE
) -> tuple[UInt8[np.ndarray, "H W 3"], UInt8[np.ndarray, "H W"]]:
    """Return the image (RGB) and the label (0.., 255 void) of scene ``index`` of a set.

    ``size`` is width, height in pixels. Raises ReplicationError for an unknown set or a negative
    index.
    """
    scene = render(set_name, index, size=size)
    return scene.image, scene.label


def render(set_name: str, index: int, *, size: tuple[int, int] = SIZE) -> Scene:
    """Render scene ``index`` of a set with everything that is known of it."""
    _check(set_name)
    if index < 0:
        raise ReplicationError(f"sample scene index {index} is negative; give 0 or more")
    rng = np.random.Generator(np.random.PCG64([_SEEDS[set_name], index]))
    width, height = size
    known, drawn = KINDS[set_name], _DRAWN[set_name]
    kinds = [drawn[k] for k in rng.integers(len(drawn), size=_count(rng))]
    theme = kinds[0] // 4 % 5 if rng.random() < 0.5 else int(rng.integers(5))
    stuff = np.zeros((height, width), dtype=np.uint8)
    canvas = backdrop.ground(set_name, theme, rng, stuff)
    for _ in range(int(rng.integers(3, 8))):
        outline = backdrop.distractor(rng, width, height)
        window, cover = backdrop.add_plain(canvas, outline, rng, 0.25, 0.95)
        stuff[window][cover >= np.float32(0.5)] = backdrop.CLUTTER

    radii = _radii(len(kinds), rng, min(width / SIZE[0], height / SIZE[1]))
    objects = np.zeros((height, width), dtype=np.uint8)
    placed: list[tuple[float, float, float]] = []
    for number, (kind, radius) in enumerate(zip(kinds, radii, strict=True), start=1):
        centre = _place(radius, placed, rng, width, height)
        placed.append((*centre, radius))
        material, draw = known[kind]
        outline = draw(rng)
        place = Placement(
            centre,
            radius,
            turn=(float(rng.random()) - 0.5) * 1.2,
            mirror=bool(rng.random() < 0.5),
            stretch=0.92 + 0.16 * float(rng.random()),
        )
        _add_object(canvas, objects, number, outline, place, material, rng)
    for _ in range(int(rng.integers(0, 3))):
        twig = backdrop.stick(rng, width, height)
        window, cover = backdrop.add_plain(canvas, twig, rng, 0.1, 0.35)
        objects[window][cover >= np.float32(0.5)] = 0
        stuff[window][cover >= np.float32(0.5)] = backdrop.CLUTTER

    image = np.clip(np.rint(backdrop.develop(canvas, rng)), 0, 255).astype(np.uint8)
    names = np.array([0, *(k + 1 for k in kinds)], dtype=np.uint8)[objects]
    edge = ndimage.maximum_filter(objects, 3) != ndimage.minimum_filter(objects, 3)
    void = np.uint8(VOID)
    return Scene(
        image=image,
        label=np.where(edge, void, names),
        objects=np.where(edge, void, objects),
        classes=names,
        stuff=stuff,
        radii=tuple(radii),
        kinds=tuple(k + 1 for k in kinds),
    )


def _check(set_name: str) -> None:
    if set_name not in _SEEDS:
        raise ReplicationError(
            f"sample set `{set_name}` is unknown; choose one of {', '.join(_SEEDS)}"
        )


def _count(rng: np.random.Generator) -> int:
    """Two to five objects."""
    return int(rng.integers(2, 6))


def _radii(count: int, rng: np.random.Generator, scale: float) -> list[float]:
    """Return the objects' radii, largest (painted first) to smallest, evenly spread in logarithm.

    The first is large in three scenes of four: large objects hold most pixels and ask for the
    field of view; the others go from the smallest to the middling.
    """
    low, high = math.log(SMALLEST), math.log(LARGEST)
    middle = math.log(42.0)
    first = (middle, high) if rng.random() < 0.75 else (low, middle)
    spans = [first, *((low, math.log(56.0)),) * (count - 1)]
    # Rounded, since an exponential's last bit may differ between machines.
    sizes = [round(math.exp(a + (b - a) * float(rng.random())), 3) for a, b in spans]
    return [s * scale for s in sorted(sizes, reverse=True)]


def _place(
    radius: float,
    placed: list[tuple[float, float, float]],
    rng: np.random.Generator,
    width: int,
    height: int,
) -> tuple[float, float]:
    """Return the centre, of six drawn, that hides least of the objects already placed."""
    best, least = (0.0, 0.0), math.inf
    margin = (min(0.6 * radius, 0.35 * width), min(0.6 * radius, 0.35 * height))
    for _ in range(6):
        x = margin[0] + (width - 2 * margin[0]) * float(rng.random())
        y = margin[1] + (height - 2 * margin[1]) * float(rng.random())
        crowding = sum(
            max(0.0, 0.8 * (radius + r) - math.sqrt((x - px) ** 2 + (y - py) ** 2))
            for px, py, r in placed
        )
        if crowding < least - 1e-6:
            best, least = (x, y), crowding
    return best


def _add_object(  # noqa: PLR0917 (a painter's whole kit)
    canvas: backdrop.Canvas,
    objects: UInt8[np.ndarray, "H W"],
    number: int,
    outline: Outline,
    place: Placement,
    material: Material,
    rng: np.random.Generator,
) -> None:
    """Paint one object with its shadow, and write its number where it covers half a pixel."""
    height, width = objects.shape
    reach = 1.3 * place.radius + 6
    box = (
        max(0, math.floor(place.centre[0] - reach)),
        max(0, math.floor(place.centre[1] - reach)),
        min(width, math.ceil(place.centre[0] + reach)),
        min(height, math.ceil(place.centre[1] + reach)),
    )
    whole, marks = paint(outline, place, box)
    window = (slice(box[1], box[3]), slice(box[0], box[2]))
    below = canvas[window]

    blurred = Image.fromarray(whole).filter(ImageFilter.BoxBlur(2))
    shadow = np.roll(np.asarray(blurred, dtype=np.float32), (3, 2), axis=(0, 1))
    below *= (1 - shadow * np.float32(0.3 / 255))[..., None]

    x, y = backdrop.mesh(box[2] - box[0], box[3] - box[1])
    x, y = x - np.float32(place.centre[0] - box[0]), y - np.float32(place.centre[1] - box[1])
    grain = 0.8 + 0.5 * float(rng.random())  # texture scale goes its own way, not with the size
    angle = place.turn + 0.5 * (float(rng.random()) - 0.5)
    cos, sin = (np.float32(round(f(angle), 6) / grain) for f in (math.cos, math.sin))
    phase = (rng.random(2) * 1000).astype(np.float32)
    mix = material.texture(cos * x + sin * y + phase[0], cos * y - sin * x + phase[1], rng)
    first, second = material.colours(rng)
    colour = first + (second - first) * mix[..., None]  # (h, w, 3)
    pale = first + (np.float32(255) - first) * np.float32(0.75)
    colour += (pale - colour) * (marks.astype(np.float32) / np.float32(255))[..., None]
    side = (x + y * 2) / np.float32(3 * place.radius)
    colour *= (1 - np.float32(0.2) * np.clip(side, -1, 1))[..., None]
    below += (colour - below) * (whole.astype(np.float32) / np.float32(255))[..., None]
    objects[window][whole >= 128] = number
