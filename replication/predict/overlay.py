"""Labels blended over their photograph, and below it a legend of the classes that occur."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

BACKGROUND = "background"
_ALPHA = 0.55  # share of the class's colour
_GREY = (110, 110, 110)
_LONGEST = 60  # characters of a name that are drawn


def blend_labels(
    image: UInt8[np.ndarray, "H W 3"],
    label: UInt8[np.ndarray, "H W"],
    names: Sequence[str],
    palette: UInt8[np.ndarray, "256 3"],
) -> UInt8[np.ndarray, "H W 3"]:
    """Blend each class's colour over the photograph; a class called ``background`` stays as it is.

    Args:
        image: RGB, 0..255.
        label: class indices.
        names: of the classes, by index.
        palette: RGB colours, by index.
    """
    share = np.full(256, _ALPHA, np.float32)
    if BACKGROUND in names:
        share[names.index(BACKGROUND)] = 0
    alpha = share[label][..., None]  # (H, W, 1)
    blended = (1 - alpha) * image + alpha * palette[label]
    rounded: UInt8[np.ndarray, "H W 3"] = np.rint(blended).astype(np.uint8)
    return rounded


def draw_overlay(
    image: UInt8[np.ndarray, "H W 3"],
    label: UInt8[np.ndarray, "H W"],
    names: Sequence[str],
    palette: UInt8[np.ndarray, "256 3"],
) -> Image.Image:
    """Return `blend_labels` with the legend below, RGB; wider than the photograph if names need it.

    Arguments as `blend_labels`.
    """
    blended = blend_labels(image, label, names, palette)
    names = [" ".join(name.split())[:_LONGEST] for name in names]  # a legend's line holds no break
    height, width = label.shape
    size = int(np.clip(width // 36, 12, 40))  # of the letters, pixels
    font, gap, line = _font(size), size // 2, 2 * size
    shown = [(k, names[k], font.getlength(names[k])) for k in np.unique(label).tolist()]
    places, x, y = [], gap, 0
    for _, _, length in shown:
        needed = size + gap + length + 2 * gap
        if x > gap and x + needed > width:
            x, y = gap, y + line
        places.append((x, y))
        x += int(np.ceil(needed))
    widest = max(int(np.ceil(3 * gap + size + length)) for _, _, length in shown)
    canvas = Image.new("RGB", (max(width, widest), height + y + line), "white")
    canvas.paste(Image.fromarray(blended))
    draw = ImageDraw.Draw(canvas)
    for (k, name, _), (left, top) in zip(shown, places, strict=True):
        up = height + top + (line - size) // 2
        fill = None if name == BACKGROUND else tuple(palette[k].tolist())
        draw.rectangle((left, up, left + size, up + size), fill=fill, outline=_GREY)
        draw.text((left + size + gap, up + size / 2), name, fill="black", font=font, anchor="lm")
    return canvas


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which knows most alphabets; it comes with matplotlib."""
    import matplotlib as mpl

    return ImageFont.truetype(Path(mpl.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), size)
