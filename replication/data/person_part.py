"""PASCAL-Person-Part as it unpacks: VOC 2010's images, masks of 24 parts merged to six.

    VOCdevkit/VOC2010/{JPEGImages/ID.jpg, ImageSets/Main/{train,val}.txt}
    Annotations_Part/ID.mat (anno)

Chen et al., Detect What You Can, CVPR 2014, for the masks; Chen et al., Attention to Scale, CVPR
2016, section 4.1, for the six parts. `anno.objects` is a struct array of `class`, `class_ind`,
`mask` and `parts`; `parts` one of `part_name` and `mask`. The splits are 1,716 train and 1,817 val
images: those of VOC 2010's main lists on which a part of a person is drawn, or as listed in the
authors' pascal_person_part.zip where one has it (pascal_person_part_trainval_list/train_id.txt).
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import UInt8

from replication.data.building import without
from replication.data.canonical import read_ids
from replication.data.classes import PERSON_PART
from replication.data.convert import Item
from replication.data.mat import read_mat
from replication.data.prepare import Found, Splits, Work, ids_of
from replication.data.voc import find_tree
from replication.data.voc2010 import (
    SKIPPED,
    find_voc2010,
    image_of,
    main_ids,
    voc2010_images,
)
from replication.errors import ReplicationError

COUNTS = {"train": 1_716, "val": 1_817}
ANNOTATIONS = "Annotations_Part"
LISTS = "pascal_person_part_trainval_list"
Neck = Literal["torso", "head"]

_BY_PART = {
    "head": ("head", "hair", "leye", "reye", "lear", "rear", "lebrow", "rebrow", "nose", "mouth"),
    "torso": ("torso", "neck"),
    "upper arms": ("luarm", "ruarm"),
    "lower arms": ("llarm", "rlarm", "lhand", "rhand"),
    "upper legs": ("luleg", "ruleg"),
    "lower legs": ("llleg", "rlleg", "lfoot", "rfoot"),
}
PARTS: dict[str, int] = {
    fine: PERSON_PART.names.index(part) for part, fines in _BY_PART.items() for fine in fines
}
"""Our id by name of PASCAL-Part's 24 parts of a person (part2ind.m): hands go with the lower arms,
feet with the lower legs, the neck with the torso."""

_WHAT = "PASCAL-Part annotation"
_AGAIN = "unpack PASCAL-Part's archive again"


def find_parts(root: Path) -> Path:
    """Return the folder of `Annotations_Part` at or below ``root``."""
    return find_tree(root, (ANNOTATIONS,), what="PASCAL-Part")


def _structs(path: Path, value: Any, fields: tuple[str, ...]) -> list[Any]:
    """Return the elements of a MATLAB struct array, or none for an empty matrix."""
    if value.size == 0:
        return []
    if value.dtype.names is None or not set(fields) <= set(value.dtype.names):
        raise ReplicationError(
            f"{path}: a struct array without the fields {', '.join(fields)}; {_AGAIN}"
        )
    return list(value.ravel())


def _text(value: Any) -> str:
    return str(value.ravel()[0]) if value.size else ""


def _mask(path: Path, value: Any, what: str) -> UInt8[np.ndarray, "H W"]:
    if value.ndim != 2 or value.dtype.kind not in "buif" or value.size == 0:
        raise ReplicationError(f"{path}: the mask of {what} is {value.dtype} {value.shape}")
    if not np.isin(value, (0, 1)).all():
        raise ReplicationError(f"{path}: the mask of {what} holds other values than 0 and 1")
    mask: UInt8[np.ndarray, "H W"] = value.astype(np.uint8)
    return mask


def read_parts(path: Path, *, neck: Neck = "torso") -> UInt8[np.ndarray, "H W"]:
    """Read the parts of all persons in one PASCAL-Part annotation.

    Objects come in the file's order, in which later ones lie in front (mat2map.m); a part is
    painted over what is there. Persons without parts, and all other objects, are background.

    Args:
        path: MATLAB 5 file with the struct `anno`.
        neck: which part the neck goes with. The paper doesn't say; the mergers that others
            published differ.

    Returns:
        uint8 (H, W), 0..6.

    Raises:
        ReplicationError: the file is missing, broken or of another structure, names an unknown
            part, or has masks of several sizes.
    """
    label = _read(path, neck)
    if label is None:
        raise ReplicationError(f"{path}: the {_WHAT} has no objects; {_AGAIN}")
    return label


def _read(path: Path, neck: Neck) -> UInt8[np.ndarray, "H W"] | None:
    """As `read_parts`; None if there are no objects, whose masks tell the image's size."""
    anno = read_mat(path, "anno", what=_WHAT)
    label: UInt8[np.ndarray, "H W"] | None = None
    for scene in _structs(path, anno, ("objects",)):
        for thing in _structs(path, scene["objects"], ("class", "mask", "parts")):
            kind = _text(thing["class"])
            silhouette = _mask(path, thing["mask"], f"an object `{kind}`")
            if label is None:
                label = np.zeros_like(silhouette)
            if silhouette.shape != label.shape:
                raise ReplicationError(
                    f"{path}: masks of {silhouette.shape} and {label.shape} in one image; {_AGAIN}"
                )
            if kind == "person":
                _paint(path, label, thing["parts"], neck)
    return label


def _paint(path: Path, label: UInt8[np.ndarray, "H W"], parts: Any, neck: Neck) -> None:
    for part in _structs(path, parts, ("part_name", "mask")):
        name = _text(part["part_name"])
        if name not in PARTS:
            raise ReplicationError(
                f"{path}: `{name}` is not one of the {len(PARTS)} parts of a person; {_AGAIN}"
            )
        mask = _mask(path, part["mask"], f"the part `{name}`")
        if mask.shape != label.shape:
            raise ReplicationError(
                f"{path}: masks of {mask.shape} and {label.shape} in one image; {_AGAIN}"
            )
        label[mask == 1] = PERSON_PART.names.index(neck) if name == "neck" else PARTS[name]


def part_ids(tree: Path, ids: Iterable[str], *, progress: bool = False) -> list[str]:
    """Return those ids, in their order, on which a part of a person is drawn.

    Reads every annotation: some ten thousand files, minutes.

    Raises:
        ReplicationError: as `read_parts`.
    """
    from tqdm import tqdm

    found = []
    for name in tqdm(list(ids), desc="find parts", unit="image", disable=not progress):
        label = _read(tree / ANNOTATIONS / f"{name}.mat", "torso")
        if label is not None and label.any():
            found.append(name)
    return found


def derive_splits(voc: Path, tree: Path, *, progress: bool = False) -> dict[str, list[str]]:
    """Return the ids of train and val: those of VOC 2010's main lists that show a person's parts.

    Raises:
        ReplicationError: a split has none, or as `part_ids`.
    """
    splits = {}
    for split in COUNTS:
        splits[split] = part_ids(tree, main_ids(voc, split), progress=progress)
        if not splits[split]:
            raise ReplicationError(
                f"{tree / ANNOTATIONS}: no part of a person in any image of `{split}`; {_AGAIN}"
            )
    return splits


def listed_splits(root: Path) -> dict[str, list[str]]:
    """Return the ids of train and val as the authors list them, at or below ``root``.

    Raises:
        ReplicationError: a list is missing, empty, or lists an id twice.
    """
    folder = find_tree(root, (LISTS,), what="authors' lists") / LISTS
    return {split: read_ids(folder / f"{split}_id.txt") for split in COUNTS}


def part_items(
    tree: Path, ids: Iterable[str], images: Mapping[str, Path], *, neck: Neck = "torso"
) -> dict[str, Item]:
    """Return image and .mat annotation of each id.

    Raises:
        ReplicationError: names the first id without image.
    """

    def read(path: Path, _: int | None) -> UInt8[np.ndarray, "H W"]:
        return read_parts(path, neck=neck)

    items = {}
    for name in ids:
        items[name] = Item(name, image_of(images, name), tree / ANNOTATIONS / f"{name}.mat", read)
    return items


def read_person_part(
    voc: Path,
    parts: Path,
    work: Work,
    *,
    neck: Neck = "torso",
    lists: Path | None = None,
) -> Found:
    """Read PASCAL-Person-Part: splits train and val, six parts and background.

    Args:
        voc: VOC 2010's trainval archive, or the folder that it unpacks to.
        parts: PASCAL-Part's archive or folder, likewise.
        work: as `prepare` gives it.
        neck: as `read_parts`.
        lists: the authors' pascal_person_part.zip, or its folder; None derives the splits, which
            reads every annotation.

    Raises:
        ReplicationError: names the file that is wrong, with its cure.
    """
    voc_tree = find_voc2010(work.unpacked(voc, "voc", without(*SKIPPED)))
    tree = find_parts(work.unpacked(parts, "parts", without("examples")))
    if lists is None:
        splits = derive_splits(voc_tree, tree, progress=work.progress)
    else:
        splits = listed_splits(work.unpacked(lists, "lists", lambda member: LISTS in member))
    cure = "" if lists else "give the authors' pascal_person_part.zip as `lists`, "
    for split, ids in splits.items():
        work.check_count(split, ids, COUNTS[split], cure=cure)

    def items(wanted: Splits) -> dict[str, Item]:
        return part_items(tree, ids_of(wanted), voc2010_images(voc_tree), neck=neck)

    return Found(splits, items, PERSON_PART.names, PERSON_PART.palette)
