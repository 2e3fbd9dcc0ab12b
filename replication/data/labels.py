"""Label maps and photographs on disk: the only place where pixels are read or written.

A label is a palette PNG whose *indices* are the classes; the palette is there for the eye. Most
failed replications begin with colours read in place of indices, so everything else is refused.
"""

import io
import os
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from replication.atomic import atomic_path
from replication.data.decoding import FORMATS, opened
from replication.data.palette import voc_palette
from replication.errors import ReplicationError

VOID = 255
"""The label of pixels that neither training nor evaluation counts."""

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_KINDS = {2: "RGB", 4: "grey with alpha", 6: "RGBA"}
_GREY = 0

Name = str | os.PathLike[str]


def _read_bytes(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise ReplicationError(f"{path}: there is no such {what}; add the file") from None
    except OSError as error:
        reason = error.strerror or error
        raise ReplicationError(f"{path}: the {what} can't be read ({reason})") from None


def _png_kind(path: Path, raw: bytes) -> tuple[int, int]:
    """Return (bits per sample, colour type) from a PNG's header; refuse what is no label."""
    cure = "save it as an 8-bit palette or grey PNG whose values are class indices"
    if raw[:2] == b"\xff\xd8":
        raise ReplicationError(f"{path}: the label is a JPEG, which blurs class indices; {cure}")
    if raw[:8] != _PNG_SIGNATURE or len(raw) < 26 or raw[12:16] != b"IHDR":
        raise ReplicationError(f"{path}: the label is no PNG file; {cure}")
    bits, kind = raw[24], raw[25]
    if kind in _PNG_KINDS:
        raise ReplicationError(
            f"{path}: the label is {_PNG_KINDS[kind]}, colours in place of class indices; {cure}"
        )
    if bits == 16:
        raise ReplicationError(f"{path}: the label has 16 bits a pixel; {cure}")
    return bits, kind


def highest_class(label: UInt8[np.ndarray, "H W"]) -> int:
    """Return the largest value of a label (H, W) beside void, or -1 if all of it is void."""
    # 255 + 1 wraps to 0, which takes void out of the maximum without a copy of the valid pixels.
    return int((label + np.uint8(1)).max(initial=0)) - 1


def check_classes(name: Name, label: UInt8[np.ndarray, "H W"], num_classes: int) -> None:
    """Refuse a label (H, W) that holds a value outside 0..num_classes-1 which is not void.

    Raises:
        ReplicationError: names the file, the value and how many pixels hold it.
    """
    highest = highest_class(label)
    if highest >= num_classes:
        pixels = int((label == highest).sum())
        raise ReplicationError(
            f"{name}: the label holds the value {highest} ({pixels} pixels), but there are"
            f" {num_classes} classes; values must be 0..{num_classes - 1}, or {VOID} for void"
        )


def read_label(path: Name, num_classes: int | None) -> UInt8[np.ndarray, "H W"]:
    """Read a label map as class indices.

    Args:
        path: a palette or grey PNG of 1, 2, 4 or 8 bits; its stored indices are taken, never its
            colours.
        num_classes: values must be in 0..num_classes-1 or 255 (void); None leaves them unchecked.

    Returns:
        uint8 (H, W), classes and 255.

    Raises:
        ReplicationError: the file is missing, broken or cut short, a JPEG, an RGB(A) image, a
            16-bit PNG, has more pixels than are decoded, or holds a value outside the classes.
    """
    path = Path(path)
    raw = _read_bytes(path, "label")
    bits, kind = _png_kind(path, raw)
    said, cure = "label PNG is broken or cut short", "get or draw it again"
    with opened(path, raw, what="label", said=said, cure=cure, formats=["PNG"]) as checked:
        checked.verify()  # the checksum of every chunk, which decoding alone passes over
    with opened(path, raw, what="label", said=said, cure=cure, formats=["PNG"]) as image:
        label = np.array(image).astype(np.uint8)  # (H, W); bool for one bit of grey
    if kind == _GREY and bits in (2, 4):
        # Pillow stretches such greys to 0..255; the stored indices are wanted.
        label //= np.uint8(255 // (2**bits - 1))
    if num_classes is not None:
        check_classes(path, label, num_classes)
    return label


def encode_label(
    label: UInt8[np.ndarray, "H W"], palette: UInt8[np.ndarray, "256 3"] | None = None
) -> bytes:
    """Return the palette PNG of a label map.

    Args:
        label: uint8 (H, W), class indices and 255.
        palette: uint8 (256, 3), RGB in 0..255; VOC's colour map if None.

    Raises:
        ValueError: the label is not uint8 (H, W), or the palette not (256, 3).
    """
    if label.ndim != 2 or label.dtype != np.uint8:
        raise ValueError(f"`label` must be uint8 (H, W), not {label.dtype} {label.shape}")
    colours = voc_palette() if palette is None else palette
    if colours.shape != (256, 3):
        raise ValueError(f"`palette` must be (256, 3), not {colours.shape}")
    image = Image.fromarray(label)
    image.putpalette(colours.astype(np.uint8).tobytes(), "RGB")
    stream = io.BytesIO()
    image.save(stream, format="PNG")
    return stream.getvalue()


def write_label(
    path: Name,
    label: UInt8[np.ndarray, "H W"],
    palette: UInt8[np.ndarray, "256 3"] | None = None,
) -> None:
    """Write a label map as a palette PNG, whole or not at all; arguments as `encode_label`."""
    raw = encode_label(label, palette)
    with atomic_path(path) as part:
        part.write_bytes(raw)


def decode_image(path: Name, raw: bytes) -> UInt8[np.ndarray, "H W 3"]:
    """Decode a photograph's bytes as `read_image` does; ``path`` only names it in errors."""
    said = "image is broken, cut short or of no known format"
    name, cure = os.fspath(path), "get it again"
    with opened(name, raw, what="image", said=said, cure=cure, formats=FORMATS) as image:
        if image.mode.startswith(("I", "F")):
            raise ReplicationError(
                f"{path}: the image has more than 8 bits a channel; save it with 8"
            )
        image.load()
        return to_rgb(image)


def to_rgb(image: Image.Image) -> UInt8[np.ndarray, "H W 3"]:
    """Convert an opened image of 8 bits a channel: grey, CMYK, palette; alpha is dropped."""
    if image.mode in ("P", "PA", "LA"):  # Pillow warns of transparent palettes otherwise
        image = image.convert("RGBA")
    return np.array(image.convert("RGB"))


def read_image(path: Name) -> UInt8[np.ndarray, "H W 3"]:
    """Read a photograph as uint8 RGB (H, W, 3), 0..255.

    Grey, CMYK and palette images are converted, alpha is dropped. An EXIF orientation is *not*
    applied: labels are drawn on the stored pixels, and turning the image alone would part the two.

    Raises:
        ReplicationError: the file is missing, broken, cut short, no image of a format that
            photographs come in, has more than 8 bits a channel, or more pixels than are decoded.
    """
    path = Path(path)
    return decode_image(path, _read_bytes(path, "image"))
