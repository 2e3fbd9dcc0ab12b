"""COCO's instances json, checked: which images there are, and the masks of VOC's classes on each.

Lin et al., Microsoft COCO, ECCV 2014. A mask is a list of polygons, or a run-length code, which is
what crowds have; pycocotools, COCO's own program, rasterises both.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from replication.data.classes import COCO_CATEGORIES, COCO_TO_VOC
from replication.data.labels import VOID
from replication.errors import ReplicationError

_AGAIN = "unpack COCO's annotations again"


@dataclass
class Photo:
    """One image of the json: its file's name, size in pixels, and encoded masks by VOC class."""

    file: str
    height: int
    width: int
    masks: list[tuple[int, Any]] = field(default_factory=list)

    def area(self) -> int:
        """Return how many pixels the masks cover in all."""
        from pycocotools import mask

        return int(mask.area(mask.merge([m for _, m in self.masks]))) if self.masks else 0

    def draw(self) -> UInt8[np.ndarray, "H W"]:
        """Return the label: VOC's classes, void where masks of two classes overlap.

        COCO does not say which of two overlapping objects is in front.
        """
        from pycocotools import mask

        label = np.zeros((self.height, self.width), dtype=np.uint8)
        for number, encoded in self.masks:
            inside = mask.decode(encoded).astype(bool)  # (H, W)
            label[inside & (label != 0) & (label != number)] = VOID
            label[inside & (label == 0)] = number
        return label


def read_instances(path: Path) -> dict[str, Photo]:
    """Read all images of an instances json by id (the file's name without extension).

    Raises:
        ReplicationError: the file is missing, no JSON, or of another form; an image, a category or
            an annotation comes twice, is unknown, or its mask can't be.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ReplicationError(f"{path}: there is no such file; {_AGAIN}") from None
    except (OSError, ValueError) as error:
        raise ReplicationError(f"{path}: broken JSON ({error}); {_AGAIN}") from None
    lists = [content.get(k) if isinstance(content, dict) else None for k in _LISTS]
    if not all(isinstance(one, list) and one for one in lists):
        raise ReplicationError(f"{path}: must hold the lists {', '.join(_LISTS)}; {_AGAIN}")
    try:
        return _photos(path, *lists)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"{type(error).__name__}: {error}".splitlines()[0]
        raise ReplicationError(f"{path}: not of COCO's form ({what}); {_AGAIN}") from None


_LISTS = ("images", "categories", "annotations")


def _photos(path: Path, images: Any, categories: Any, annotations: Any) -> dict[str, Photo]:
    names = _by_id(path, "category", categories)
    unknown = sorted({one["name"] for one in names.values()} - set(COCO_CATEGORIES))
    if unknown:
        raise ReplicationError(
            f"{path}: `{unknown[0]}` is none of COCO's {len(COCO_CATEGORIES)} categories; {_AGAIN}"
        )
    photos: dict[int, Photo] = {}
    by_name: dict[str, Photo] = {}
    for number, one in _by_id(path, "image", images).items():
        file, height, width = str(one["file_name"]), int(one["height"]), int(one["width"])
        if Path(file).name != file or file.startswith(".") or height < 1 or width < 1:
            raise ReplicationError(
                f"{path}: image {number} is `{file}` of {width}x{height} pixels; {_AGAIN}"
            )
        stem = Path(file).stem
        if stem in by_name:
            raise ReplicationError(f"{path}: image `{stem}` comes twice; {_AGAIN}")
        photos[number] = by_name[stem] = Photo(file, height, width)
    for number, one in _by_id(path, "annotation", annotations).items():
        photo, category = photos.get(one["image_id"]), names.get(one["category_id"])
        if photo is None or category is None:
            what = f"image {one['image_id']}" if photo is None else f"category {one['category_id']}"
            raise ReplicationError(
                f"{path}: annotation {number} is of {what}, which isn't there; {_AGAIN}"
            )
        if category["name"] in COCO_TO_VOC:
            where = f"{path}: the mask of annotation {number} on `{photo.file}`"
            encoded = encode(one["segmentation"], photo.height, photo.width, where)
            photo.masks.append((COCO_TO_VOC[category["name"]], encoded))
    return by_name


def _by_id(path: Path, what: str, entries: Iterable[Any]) -> dict[int, Any]:
    found: dict[int, Any] = {}
    for one in entries:
        if one["id"] in found:
            raise ReplicationError(f"{path}: {what} {one['id']} comes twice; {_AGAIN}")
        found[one["id"]] = one
    return found


def encode(segmentation: Any, height: int, width: int, where: str) -> Any:
    """Return a mask as pycocotools' compressed code.

    Args:
        segmentation: polygons `[[x, y, x, y, ...], ...]`, or `{"size": [h, w], "counts": ...}`,
            with counts as a list of run lengths, column by column, or compressed as text.
        height, width: the image's size in pixels.
        where: the mask, for errors.

    Raises:
        ReplicationError: a polygon has under three points or is far outside the image, or a code is
            not of the image's size. pycocotools takes four numbers for a box and wrong run lengths
            for good, and ends the process over a polygon that is too large.
    """
    from pycocotools import mask

    if isinstance(segmentation, list):
        bad = [p for p in segmentation if not isinstance(p, list) or len(p) < 6 or len(p) % 2]
        if bad or not segmentation:
            raise ReplicationError(f"{where} has a polygon of under three points; {_AGAIN}")
        if not np.all(np.abs(np.concatenate(segmentation)) <= 2 * max(height, width)):
            raise ReplicationError(f"{where} has a polygon far outside its image; {_AGAIN}")
        return mask.merge(mask.frPyObjects(segmentation, height, width))
    counts = segmentation["counts"]
    counts = counts if isinstance(counts, list) else run_lengths(counts)
    if list(segmentation["size"]) != [height, width]:
        raise ReplicationError(
            f"{where} is of {segmentation['size']} pixels, its image of [{height}, {width}];"
            f" {_AGAIN}"
        )
    if min(counts, default=-1) < 0 or sum(counts) != height * width:
        raise ReplicationError(
            f"{where} has runs of {sum(counts):,} pixels in all, its image {height * width:,};"
            f" {_AGAIN}"
        )
    return mask.frPyObjects({"size": [height, width], "counts": counts}, height, width)


def run_lengths(text: str) -> list[int]:
    """Return the run lengths of a compressed code (COCO's `maskApi.c`, rleFrString).

    Six bits a character, from `0` on: five of the number, lowest first, and one that says that more
    follow; the number's last bit but that is its sign. From the fourth on, each is the difference
    to the length two before it.

    Raises:
        ValueError: the text ends within a number, or holds other characters.
    """
    lengths: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64:
            raise ValueError(f"{character!r} in a run-length code")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
        value = shift = 0
    if shift:
        raise ValueError("a run-length code that ends within a number")
    return lengths
