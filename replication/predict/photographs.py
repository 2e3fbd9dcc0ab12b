"""The images that a person names: found, told apart by name, and read as the eye sees them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import ImageOps

from replication.data.decoding import FORMATS, opened
from replication.data.labels import to_rgb
from replication.errors import ReplicationError

SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif"),
    *(".ppm", ".pgm", ".jp2", ".avif"),
)
_DEEP = ("PNG", "PPM")  # have 16 bits at most, though Pillow opens some of them as 32


def find_images(given: Sequence[Path]) -> list[Path]:
    """Return the images among files and folders, in the order given, a folder's by name.

    Of a folder, files with an image's suffix are taken, hidden ones and folders inside it are not;
    a file that is named is taken whatever its suffix. One that comes up twice is taken once.

    Raises:
        ReplicationError: something named does not exist, a folder holds no image, or two images
            have the same name but for folder and suffix: their results would be one file.
    """
    found: dict[Path, Path] = {}
    for path in given:
        for image in _inside(path) if path.is_dir() else [path]:
            if not image.exists():
                raise ReplicationError(f"{image} does not exist; name images, or folders of them")
            found.setdefault(image.resolve(), image)
    images = list(found.values())
    names: dict[str, Path] = {}
    for image in images:
        other = names.setdefault(image.stem, image)
        if other != image:
            raise ReplicationError(
                f"{other} and {image} would both become {image.stem}.png; rename one, or predict "
                "them into two folders"
            )
    return images


def _inside(folder: Path) -> list[Path]:
    try:
        files = sorted(
            file
            for file in folder.iterdir()
            if file.suffix.lower() in SUFFIXES and not file.name.startswith(".") and file.is_file()
        )
    except OSError as error:
        raise ReplicationError(f"{folder}: can't be read ({error.strerror})") from None
    if not files:
        raise ReplicationError(
            f"{folder} holds no image ({', '.join(SUFFIXES)}); folders inside it are not looked "
            "into: name one that does"
        )
    return files


def read_photograph(path: Path) -> UInt8[np.ndarray, "H W 3"]:
    """Read an image as uint8 RGB (H, W, 3), 0..255, turned upright as its EXIF data say.

    Grey, CMYK and palette images are converted; of 16 bits a channel the upper 8 count; alpha is
    dropped; of an animation the first picture is taken.

    Raises:
        ReplicationError: the file is missing, broken, cut short, no image, of more pixels than are
            decoded, or of 32 bits or floating point a channel, whose white nobody knows.
    """
    said = "image is missing, broken, cut short or of no known format"
    cure = "get it again, or save it as JPEG or PNG"
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ReplicationError(f"{path}: the {said} ({error.strerror}); {cure}") from None
    with opened(path, raw, what="image", said=said, cure=cure, formats=FORMATS) as image:
        image.load()
        upright = ImageOps.exif_transpose(image)
        if upright.mode.startswith("I;16") or (upright.mode == "I" and image.format in _DEEP):
            grey = (np.asarray(upright).astype(np.uint32) >> 8).astype(np.uint8)  # (H, W)
            return np.stack([grey] * 3, axis=2)
        if upright.mode in ("I", "F"):
            raise ReplicationError(f"{path}: the image has 32 bits a channel; save it with 8 or 16")
        return to_rgb(upright)
