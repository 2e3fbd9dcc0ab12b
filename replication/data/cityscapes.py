"""Cityscapes as its two zips unpack: fine labelIds to 19 train ids, at full or half resolution.

    gtFine/SPLIT/CITY/ID_gtFine_labelIds.png
    leftImg8bit/SPLIT/CITY/ID_leftImg8bit.png       ID: CITY_sequence_frame

Cordts et al., The Cityscapes Dataset, CVPR 2016: 2,975 train and 500 val images of 2048 x 1024
pixels. The paper (section 4.4, table 9) trains on full and on half resolution. The folders are the
splits.
"""

import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from replication.data.classes import CITYSCAPES, CITYSCAPES_LABELS
from replication.data.convert import Item
from replication.data.labels import VOID, decode_image, read_label
from replication.data.prepare import Found, Splits, Work
from replication.data.voc import find_tree
from replication.errors import ReplicationError

COUNTS = {"train": 2_975, "val": 500}
LABELS, IMAGES = "gtFine", "leftImg8bit"
LABEL_END, IMAGE_END = "_gtFine_labelIds.png", "_leftImg8bit.png"
Resolution = Literal["full", "half"]

_ID = re.compile(r"([A-Za-z-]+)_\d+_\d+")


def train_ids() -> UInt8[np.ndarray, "34"]:
    """Return the train id of each labelId, 255 where it has none: uint8 (34,)."""
    table = np.full(len(CITYSCAPES_LABELS), VOID, dtype=np.uint8)
    for label in CITYSCAPES_LABELS:
        if label.train_id is not None:
            table[label.id] = label.train_id
    return table


def read_label_ids(path: Path) -> UInt8[np.ndarray, "H W"]:
    """Read a `_gtFine_labelIds.png` as train ids.

    Returns:
        uint8 (H, W), 0..18 and 255.

    Raises:
        ReplicationError: the file is missing, broken, no PNG of indices, or holds another value
            than 0..33. Train ids in place of labelIds hold 255, and are told by it.
    """
    label = read_label(path, None)
    highest = int(label.max(initial=0))
    if highest >= len(CITYSCAPES_LABELS):
        hint = "; are these train ids already?" if highest == VOID else ""
        raise ReplicationError(
            f"{path}: the label holds the value {highest} ({int((label == highest).sum())}"
            f" pixels), and labelIds are 0..{len(CITYSCAPES_LABELS) - 1}{hint}; unpack gtFine again"
        )
    classes: UInt8[np.ndarray, "H W"] = train_ids()[label]
    return classes


def halve_label(label: UInt8[np.ndarray, "H W"]) -> UInt8[np.ndarray, "h w"]:
    """Return every second pixel of every second row: class numbers can't be averaged."""
    return np.ascontiguousarray(label[::2, ::2])


def halve_image(path: Path, raw: bytes) -> bytes:
    """Return a PNG of half the width and height (rounded up), each pixel the mean of 2 x 2.

    Raises:
        ReplicationError: the image is broken.
    """
    image = Image.fromarray(decode_image(path, raw)).reduce(2)
    stream = io.BytesIO()
    image.save(stream, "PNG", compress_level=1)  # some 3,500 of 1024 x 512: time matters
    return stream.getvalue()


def city_ids(tree: Path, split: str) -> dict[str, Path]:
    """Return the label files of a split by id, sorted by id.

    Raises:
        ReplicationError: the split's folder is missing or holds no label, a file is not named
            after its city, or an id stands in two cities.
    """
    folder = tree / split
    if not folder.is_dir():
        raise ReplicationError(f"{folder}: the folder is missing; unpack gtFine again")
    found: dict[str, Path] = {}
    for path in sorted(folder.glob(f"*/*{LABEL_END}")):
        name = path.name.removesuffix(LABEL_END)
        known = _ID.fullmatch(name)
        if name in found:
            raise ReplicationError(
                f"{path}: id `{name}` is in {found[name].parent.name} too; keep one"
            )
        if known is None or known[1] != path.parent.name:
            raise ReplicationError(
                f"{path}: not named after its city, as {path.parent.name}_000000_000019{LABEL_END};"
                " unpack gtFine again"
            )
        found[name] = path
    if not found:
        raise ReplicationError(f"{folder}: no CITY/*{LABEL_END} in it; unpack gtFine again")
    return dict(sorted(found.items()))


def city_items(
    labels: Mapping[str, Path], images: Path, split: str, resolution: Resolution
) -> dict[str, Item]:
    """Return image and label of each id.

    Args:
        labels: label files by id, as `city_ids` returns them.
        images: the folder `leftImg8bit`.
        split: train or val.
        resolution: half makes both half as wide and high.

    Raises:
        ReplicationError: names the first id without image.
    """
    half = resolution == "half"

    def read(path: Path, _: int | None) -> UInt8[np.ndarray, "H W"]:
        label = read_label_ids(path)
        return halve_label(label) if half else label

    items = {}
    for name, label in labels.items():
        image = images / split / label.parent.name / f"{name}{IMAGE_END}"
        if not image.is_file():
            raise ReplicationError(
                f"{image}: there is no such image, though it has a label; unpack leftImg8bit again"
            )
        items[name] = Item(name, image, label, read, halve_image if half else None)
    return items


def wanted_member(name: str) -> bool:
    """Say whether to unpack a member: images and labelIds of train and val, nothing else."""
    parts = name.split("/")
    return parts[-1].endswith((LABEL_END, IMAGE_END)) and not {"test", "train_extra"} & set(parts)


def read_cityscapes(
    images: Path, labels: Path, work: Work, *, resolution: Resolution = "full"
) -> Found:
    """Read Cityscapes: splits train and val, 19 classes.

    Args:
        images: leftImg8bit_trainvaltest.zip, or the folder that it unpacks to.
        labels: gtFine_trainvaltest.zip or its folder; may be the same folder.
        work: as `prepare` gives it.
        resolution: half for images and labels of half the width and height (1024 x 512).

    Raises:
        ReplicationError: names the file that is wrong, with its cure.
    """
    trees = {}
    for what, source in ((IMAGES, images), (LABELS, labels)):
        root = work.unpacked(source, what, wanted_member)
        trees[what] = find_tree(root, (what,), what=f"Cityscapes ({what})") / what
    files = {split: city_ids(trees[LABELS], split) for split in COUNTS}
    for split, found in files.items():
        work.check_count(split, list(found), COUNTS[split])

    def items(wanted: Splits) -> dict[str, Item]:
        made: dict[str, Item] = {}
        for split, ids in wanted.items():
            made |= city_items(
                {name: files[split][name] for name in ids}, trees[IMAGES], split, resolution
            )
        return made

    splits = {split: list(found) for split, found in files.items()}
    return Found(splits, items, CITYSCAPES.names, CITYSCAPES.palette)
