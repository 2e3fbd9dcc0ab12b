"""COCO for pre-training: 80 categories to VOC's 20, small images of them left out.

    annotations/instances_train2014.json     train2014/COCO_train2014_000000000009.jpg

Paper, section 4.1.2 and table 4: networks marked COCO are trained on it first. What is kept it does
not say; the rule is the authors' next paper's (Chen et al., Rethinking Atrous Convolution, arXiv
1706.05587, where it pre-trains on COCO): images whose masks of VOC's classes cover more than 1,000
pixels. COCO's other categories are background; crowds count, as their class.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from replication.data.classes import VOC
from replication.data.coco_json import Photo, read_instances
from replication.data.convert import Item
from replication.data.labels import check_classes
from replication.data.prepare import Found, Splits, Work
from replication.data.voc import find_tree
from replication.errors import ReplicationError

SPLIT = "train2014"
COUNT = 82_783
"""Images of the official train2014, before small ones are left out."""
LEAST = 1_000


def keep_large(photos: Mapping[str, Photo], least: int = LEAST) -> dict[str, Photo]:
    """Return the photos whose masks cover more than ``least`` pixels, sorted by id."""
    return {name: photos[name] for name in sorted(photos) if photos[name].area() > least}


def coco_items(photos: Mapping[str, Photo], instances: Path, images: Path) -> dict[str, Item]:
    """Return image and label of each photo.

    Args:
        photos: by id.
        instances: the json, which holds all labels.
        images: the folder of images.

    Raises:
        ReplicationError: names the first id without image.
    """
    items = {}
    for name, photo in photos.items():
        image = images / photo.file
        if not image.is_file():
            raise ReplicationError(
                f"{image}: there is no such image, though {instances.name} lists it; unpack COCO's"
                f" {SPLIT} again"
            )
        items[name] = Item(name, image, instances, _drawing(photo))
    return items


def _drawing(photo: Photo) -> Any:
    def read(path: Path, num_classes: int | None) -> UInt8[np.ndarray, "H W"]:
        label = photo.draw()
        if num_classes is not None:
            check_classes(path, label, num_classes)
        return label

    return read


def read_coco(images: Path, annotations: Path, work: Work, *, least: int = LEAST) -> Found:
    """Read COCO as a VOC-style set with one split, train, for pre-training.

    Args:
        images: train2014.zip, or the folder that it unpacks to.
        annotations: annotations_trainval2014.zip or its folder.
        work: as `prepare` gives it.
        least: images whose masks cover no more than so many pixels are left out.

    Raises:
        ReplicationError: names the file that is wrong, with its cure.
    """
    file = f"annotations/instances_{SPLIT}.json"
    root = work.unpacked(annotations, "annotations", lambda member: member.endswith(file))
    instances = find_tree(root, (file,), what="COCO's annotations") / file
    listed = read_instances(instances)
    work.check_count(SPLIT, list(listed), COUNT)
    photos = keep_large(listed, least)
    if not photos:
        raise ReplicationError(
            f"{instances}: no image has more than {least:,} pixels of VOC's classes; lower `least`"
        )

    def items(wanted: Splits) -> dict[str, Item]:
        chosen = {name: photos[name] for name in wanted["train"]}
        files = {photo.file for photo in chosen.values()}
        packed = work.unpacked(images, "images", lambda member: member.rsplit("/", 1)[-1] in files)
        folder = find_tree(packed, (SPLIT,), what="COCO's images") / SPLIT
        return coco_items(chosen, instances, folder)

    return Found({"train": list(photos)}, items, VOC.names)
