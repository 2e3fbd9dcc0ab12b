"""The sample's VOC 2010 with PASCAL-Context and PASCAL-Part, packed as their archives are.

Half of the images are scenes of objects, half are of people. PASCAL-Context labels both: objects,
people, and the grounds behind them. As in the official archives, every image has a file in all
three, and those without a person's parts are no part of Person-Part's splits.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import UInt8, UInt16

from replication.data.classes import CONTEXT, CONTEXT_ALIASES
from replication.data.palette import VOC_CLASSES
from replication.data.sample.archives import Archive, write_tar, write_tgz
from replication.data.sample.encode import encode_jpeg, mat_bytes
from replication.data.sample.people import Group, render_group
from replication.data.sample.scenes import Scene
from replication.data.sample.scenes import render as render_scene

VOC_FILE = "VOCtrainval_2010_sample.tar"
CONTEXT_FILE = "pascal_context_sample.tar.gz"
PART_FILE = "pascal_part_sample.tar.gz"

_FIRST = 10_000  # scenes of objects that no other archive of the sample holds
_LABELS = 459
_PERSON = VOC_CLASSES.index("person")
_UNKNOWN = 431
# Where the 59 stand among the 459, in alphabetical order of the 459's names.
_PLACES = (
    *(2, 9, 18, 19, 22, 23, 25, 31, 33, 34, 44, 45, 46, 59, 65, 68, 72, 80, 85, 98, 104, 105, 113),
    *(115, 144, 158, 159, 162, 187, 189, 207, 220, 232, 258, 259, 260, 284, 295, 296, 308, 324),
    *(326, 347, 349, 354, 355, 360, 366, 368, 397, 415, 416, 420, 424, 427, 440, 445, 454, 458),
)
NUMBERS: dict[str, int] = dict(
    zip(sorted(CONTEXT_ALIASES.get(name, name) for name in CONTEXT.names[1:]), _PLACES, strict=True)
)
"""The number among the 459 of each of the 59, by the name that the 459 have for it."""
# What a ground of `Scene.stuff` is called: clouds, grass, planks, tiles, ripples, near and far.
_GROUNDS = (
    *("snow", "grass", "floor", "sidewalk", "water"),
    *("sky", "tree", "wall", "building", "mountain"),
)


@dataclass(frozen=True)
class Counts:
    """How many images of each kind each split holds."""

    train: int = 50
    val: int = 30
    people_train: int = 50
    people_val: int = 30


def image_id(index: int) -> str:
    """Return the id of an image in VOC's pattern, year and number; distinct below 10,007."""
    return f"{2008 + index % 3}_{(index * 41 + 7) % 10_007:06d}"


def archives(counts: Counts, jobs: int) -> dict[str, Archive]:
    """Render all images and return the three archives by name."""
    from joblib import Parallel, delayed

    objects, people = counts.train + counts.val, counts.people_train + counts.people_val
    made: list[_Files] = Parallel(n_jobs=jobs)(
        [delayed(_of_scene)(k) for k in range(objects)]
        + [delayed(_of_group)(k, objects + k) for k in range(people)]
    )
    train = [f.name for f in made[: counts.train] + made[objects : objects + counts.people_train]]
    val = [f.name for f in made if f.name not in train]
    root = "VOCdevkit/VOC2010"
    voc = {f"{root}/JPEGImages/{f.name}.jpg": f.jpeg for f in made}
    for split, ids in {"train": train, "val": val, "trainval": train + val}.items():
        voc[f"{root}/ImageSets/Main/{split}.txt"] = _lines(sorted(ids))
    return {
        VOC_FILE: Archive(write_tar, voc),
        CONTEXT_FILE: Archive(
            write_tgz,
            {f"trainval/{f.name}.mat": f.context for f in made}
            | {"labels.txt": _lines(f"{k}: {name}" for k, name in label_names().items())},
        ),
        PART_FILE: Archive(
            write_tgz, {f"Annotations_Part/{f.name}.mat": f.annotation for f in made}
        ),
    }


def label_names() -> dict[int, str]:
    """Return the 459 names by number: the 59 at their places, the others without a real name."""
    names = {number: f"unnamed {number}" for number in range(1, _LABELS + 1)}
    return names | {number: name for name, number in NUMBERS.items()} | {_UNKNOWN: "unknown"}


@dataclass(frozen=True)
class _Files:
    """One image's files, as bytes."""

    name: str
    jpeg: bytes
    context: bytes
    annotation: bytes


def _of_scene(index: int) -> _Files:
    scene = render_scene("sample", _FIRST + index)
    things = [
        _object(VOC_CLASSES[kind], kind, scene.objects == number, {})
        for number, kind in enumerate(scene.kinds, start=1)
        if (scene.objects == number).any()
    ]
    return _files(image_id(index), scene, scene.classes, things)


def _of_group(index: int, place: int) -> _Files:
    group = render_group(index)
    classes = np.zeros(group.stuff.shape, dtype=np.uint8)
    things = []
    for person in group.people:
        silhouette = np.any([*person.values()], axis=0)
        classes[silhouette] = _PERSON
        things.append(_object("person", _PERSON, silhouette, person))
    return _files(image_id(place), group, classes, things)


def _files(
    name: str, made: Scene | Group, classes: UInt8[np.ndarray, "H W"], things: list[dict[str, Any]]
) -> _Files:
    context = {"LabelMap": context_map(made.stuff, classes)}
    objects = _structs(things, ("class", "class_ind", "mask", "parts"))
    return _Files(
        name,
        encode_jpeg(made.image),
        mat_bytes(context, "PASCAL-Context"),
        mat_bytes({"anno": {"imname": name, "objects": objects}}, "PASCAL-Part", compress=True),
    )


def context_map(
    stuff: UInt8[np.ndarray, "H W"], classes: UInt8[np.ndarray, "H W"]
) -> UInt16[np.ndarray, "H W"]:
    """Return the numbers among the 459: those of objects, else of what is behind them."""
    grounds = np.array([*(NUMBERS[name] for name in _GROUNDS), _UNKNOWN], dtype=np.uint16)
    voc = [NUMBERS[CONTEXT_ALIASES.get(name, name)] for name in VOC_CLASSES[1:]]
    objects = np.array([0, *voc], dtype=np.uint16)
    numbers: UInt16[np.ndarray, "H W"] = np.where(classes > 0, objects[classes], grounds[stuff])
    return numbers


def _object(kind: str, number: int, mask: Any, parts: dict[str, Any]) -> dict[str, Any]:
    listed = [{"part_name": name, "mask": drawn.astype(np.uint8)} for name, drawn in parts.items()]
    return {
        "class": kind,
        "class_ind": float(number),
        "mask": mask.astype(np.uint8),
        "parts": _structs(listed, ("part_name", "mask")),
    }


def _structs(elements: list[dict[str, Any]], fields: tuple[str, ...]) -> Any:
    """Return a 1 x N struct array, or the 0 x 0 matrix that MATLAB has in place of none."""
    if not elements:
        return np.zeros((0, 0))
    array = np.empty((1, len(elements)), dtype=[(field, object) for field in fields])
    for k, element in enumerate(elements):
        array[0, k] = tuple(element[field] for field in fields)
    return array


def _lines(lines: Iterable[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()
