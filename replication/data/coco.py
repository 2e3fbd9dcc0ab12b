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

from replication.data.building import building, unpacked, write_dataset
from replication.data.canonical import DataSet
from replication.data.classes import VOC
from replication.data.coco_json import Photo, read_instances
from replication.data.convert import Item
from replication.data.labels import check_classes
from replication.data.voc import find_tree
from replication.data.voc2010 import check_count
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


def prepare_coco(
    images: Path,
    annotations: Path,
    into: Path,
    *,
    official: bool,
    sources: list[dict[str, Any]],
    least: int = LEAST,
    name: str = "coco",
    limit: int | None = None,
    progress: bool = True,
) -> DataSet:
    """Prepare COCO as a VOC-style set with one split, train, for pre-training.

    Args:
        images: train2014.zip, or the folder that it unpacks to.
        annotations: annotations_trainval2014.zip or its folder.
        into: the data set's folder; an earlier data set there is replaced once this one is whole.
        official: the sources are the real archives: 82,783 images are listed then.
        sources: records of where the data is from, kept in meta.json.
        least: images whose masks cover no more than so many pixels are left out.
        name: the data set's name in results and tables.
        limit: take only so many images, in the order of their ids.
        progress: show a bar.

    Raises:
        ReplicationError: names the file that is wrong, with its cure.
    """
    file = f"annotations/instances_{SPLIT}.json"
    with building(into) as (target, work):
        root = unpacked(
            annotations, work / "annotations", progress, lambda member: member.endswith(file)
        )
        instances = find_tree(root, (file,), what="COCO's annotations") / file
        listed = read_instances(instances)
        check_count(SPLIT, list(listed), COUNT if official else None)
        photos = dict(list(keep_large(listed, least).items())[:limit])
        if not photos:
            raise ReplicationError(
                f"{instances}: no image has more than {least:,} pixels of VOC's classes; lower"
                " `least`"
            )
        files = {photo.file for photo in photos.values()}
        packed = unpacked(
            images, work / "images", progress, lambda member: member.rsplit("/", 1)[-1] in files
        )
        folder = find_tree(packed, (SPLIT,), what="COCO's images") / SPLIT
        write_dataset(
            target,
            name=name,
            classes=VOC.names,
            splits={"train": list(photos)},
            items=coco_items(photos, instances, folder),
            sources=sources,
            work=work,
            progress=progress,
        )
    return DataSet.open(into)
