"""PASCAL VOC 2012 as it unpacks, and the folder layout that many data sets borrowed from it.

    JPEGImages/ID.jpg   SegmentationClass/ID.png   ImageSets/Segmentation/SPLIT.txt

Everingham et al., The PASCAL Visual Object Classes Challenge 2012: 1,464 train and 1,449 val
images with labels, 21 classes.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from replication.data.canonical import IMAGE_SUFFIXES, files_by_id, ids_sha256, read_ids
from replication.data.convert import Item
from replication.data.labels import read_label
from replication.errors import ReplicationError

IMAGES = "JPEGImages"
LABELS = "SegmentationClass"
LISTS = "ImageSets/Segmentation"
_DEEPEST = 5


@dataclass(frozen=True)
class Expected:
    """What a list of ids must be: how many, and their hash (`canonical.ids_sha256`)."""

    count: int
    sha256: str


# Of the lists in VOCdevkit, and of train_aug as users of SBD exchange it; 10,582 as in the paper.
EXPECTED: dict[str, Expected] = {
    "train": Expected(1_464, "aa623bd2c8ce4443a8aaae51c524c0eb165e8e44caf6aa9e3ad33d7b75a3ef20"),
    "val": Expected(1_449, "cdc1326d12f69ce5153aa5da04a4d8783e146868d42d19f82f44e74b97ac907d"),
    "trainaug": Expected(
        10_582, "d1326bd532648d73bc4b1bd275434eba81930982dc7401a65a8cecb26c028e24"
    ),
}


def check_expected(split: str, ids: list[str], expected: Expected | None) -> None:
    """Refuse a split whose ids are not the official ones; None (a sample) is not checked.

    Raises:
        ReplicationError: gives count and hash of both.
    """
    if expected is None:
        return
    found = Expected(len(ids), ids_sha256(ids))
    if found != expected:
        raise ReplicationError(
            f"split `{split}` has {found.count} ids (hash {found.sha256[:12]}), the official one"
            f" {expected.count} ({expected.sha256[:12]}); fetch the official archives again, or"
            " declare the source as not official"
        )


def find_tree(root: Path, marks: tuple[str, ...], *, what: str, prefer: str = "") -> Path:
    """Return the one folder at or below ``root`` that holds all of ``marks`` (relative paths).

    Archives nest their trees in various ways (`VOCdevkit/VOC2012`, `TrainVal/VOCdevkit/VOC2012`).
    The shallowest match is taken; among several, the one whose name is ``prefer``.

    Raises:
        ReplicationError: none, or several of the same depth, were found.
    """
    level = [root]
    for _ in range(_DEEPEST):
        found = [folder for folder in level if all((folder / mark).exists() for mark in marks)]
        preferred = [folder for folder in found if folder.name == prefer] or found
        if len(preferred) > 1:
            names = ", ".join(folder.name for folder in preferred[:3])
            raise ReplicationError(f"{root}: several folders hold {what} ({names}); name one")
        if preferred:
            return preferred[0]
        level = [Path(entry) for folder in level for entry in _subfolders(folder)]
    raise ReplicationError(
        f"{root}: no {what} here; expected a folder that holds {', '.join(marks)}"
    )


def _subfolders(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.path for entry in entries if entry.is_dir())
    except OSError:
        return []  # what can't be listed can't be meant


def find_voc(root: Path, *, what: str = "VOC tree") -> Path:
    """Return the folder of `JPEGImages`, `SegmentationClass` and lists at or below ``root``."""
    return find_tree(root, (IMAGES, LABELS, LISTS), what=what, prefer="VOC2012")


def voc_ids(tree: Path, split: str) -> list[str]:
    """Return a split's ids in the list's order: train, val or trainval; errors as `read_ids`."""
    path = tree / LISTS / f"{split}.txt"
    if not path.is_file():
        raise ReplicationError(f"{path}: the list is missing; write one id a line")
    return read_ids(path)


def voc_items(tree: Path, ids: Iterable[str]) -> dict[str, Item]:
    """Return image and label of each id.

    Raises:
        ReplicationError: names the first id without image or label, or with two images.
    """
    images = files_by_id(tree / IMAGES, IMAGE_SUFFIXES)
    labels = files_by_id(tree / LABELS, (".png",))
    items = {}
    for name in ids:
        if name not in images:
            raise ReplicationError(
                f"{tree / IMAGES}: no image for listed id `{name}`; add {name}.jpg (or .png), or"
                f" take the id off the lists in {LISTS}"
            )
        if name not in labels:
            raise ReplicationError(
                f"{tree / LABELS}: no label for listed id `{name}`; add {name}.png (a palette"
                f" PNG), or take the id off the lists in {LISTS}"
            )
        items[name] = Item(name, images[name], labels[name], read_label)
    return items
