"""PASCAL VOC 2010's images and lists, which PASCAL-Context and PASCAL-Part are drawn on.

    VOCdevkit/VOC2010/{JPEGImages/ID.jpg, ImageSets/Main/{train,val}.txt}

Their lists are those of VOC's main task, 4,998 and 5,105 images, not those of its segmentation.
"""

from collections.abc import Mapping
from pathlib import Path

from replication.data.canonical import IMAGE_SUFFIXES, files_by_id, read_ids
from replication.data.voc import IMAGES, find_tree
from replication.errors import ReplicationError

LISTS = "ImageSets/Main"
SKIPPED = ("Annotations", "SegmentationClass", "SegmentationObject", "Action", "Layout")
"""Folders of the archive that nothing here reads."""


def find_voc2010(root: Path) -> Path:
    """Return the folder of `JPEGImages` and `ImageSets/Main` at or below ``root``."""
    return find_tree(root, (IMAGES, LISTS), what="VOC 2010 tree", prefer="VOC2010")


def main_ids(tree: Path, split: str) -> list[str]:
    """Return the ids of the main task's train or val, in the list's order.

    Raises:
        ReplicationError: the list is missing, empty, or lists an id twice.
    """
    path = tree / LISTS / f"{split}.txt"
    if not path.is_file():
        raise ReplicationError(f"{path}: the list is missing; unpack VOC 2010's archive again")
    return read_ids(path)


def voc2010_images(tree: Path) -> dict[str, Path]:
    """Return the images by id."""
    return files_by_id(tree / IMAGES, IMAGE_SUFFIXES)


def image_of(images: Mapping[str, Path], name: str) -> Path:
    """Return the image of a listed id.

    Raises:
        ReplicationError: there is none.
    """
    if name not in images:
        raise ReplicationError(
            f"VOC 2010's JPEGImages: no image for listed id `{name}`; unpack its archive again"
        )
    return images[name]
