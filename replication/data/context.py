"""PASCAL-Context as it unpacks: VOC 2010's images, 459 labels in .mat, mapped to 59 by name.

    VOCdevkit/VOC2010/{JPEGImages/ID.jpg, ImageSets/Main/{train,val}.txt}
    labels.txt    trainval/ID.mat (LabelMap)

Mottaghi et al., The Role of Context, CVPR 2014: every pixel of VOC 2010's 4,998 train and 5,105 val
images. The paper (section 4.2) trains and tests on the 59 most frequent classes; all else is
background, a class of its own, so that nothing is void.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from replication.data.building import without
from replication.data.classes import CONTEXT, CONTEXT_ALIASES
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

COUNTS = {"train": 4_998, "val": 5_105}
NAMES, LABELS = "labels.txt", "trainval"
_LINE = re.compile(r"\s*(\d+)\s*:\s*(\S.*?)\s*")


def find_context(root: Path) -> Path:
    """Return the folder of `labels.txt` and `trainval` at or below ``root``."""
    return find_tree(root, (NAMES, LABELS), what="PASCAL-Context")


def read_names(path: Path) -> dict[int, str]:
    """Read the names of the labels by number, from lines like `2: aeroplane`.

    Raises:
        ReplicationError: the file is missing, a line is no number and name, or a number comes
            twice.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ReplicationError(f"{path}: can't be read ({error}); unpack it again") from None
    names: dict[int, str] = {}
    for line in filter(str.strip, lines):
        found = _LINE.fullmatch(line)
        if found is None:
            raise ReplicationError(f"{path}: `{line}` is not `number: name`; unpack it again")
        number, name = int(found[1]), found[2]
        if number in names:
            raise ReplicationError(f"{path}: label {number} comes twice; unpack it again")
        names[number] = name
    if not names:
        raise ReplicationError(f"{path}: names no label; unpack it again")
    return names


def lookup_table(path: Path, names: Mapping[int, str]) -> UInt8[np.ndarray, " labels"]:
    """Return the class (0..59) of each label number, 0 (unlabelled) included: uint8 (labels,).

    Names are compared without spaces, three of them by the name that the 459 have for them
    (`classes.CONTEXT_ALIASES`). What is none of the 59 is background.

    Args:
        path: where the names are from, for errors.
        names: as `read_names` returns them.

    Raises:
        ReplicationError: one of the 59 is not among the names, or twice.
    """
    numbers: dict[str, list[int]] = {}
    for number, name in names.items():
        numbers.setdefault(name.replace(" ", ""), []).append(number)
    table = np.zeros(max(names) + 1, dtype=np.uint8)
    for one in CONTEXT.classes[1:]:
        name = CONTEXT_ALIASES.get(one.name, one.name)
        found = numbers.get(name, [])
        if len(found) != 1:
            raise ReplicationError(
                f"{path}: class `{one.name}` is {len(found)} times among its {len(names)} labels,"
                f" as `{name}`; take labels.txt from PASCAL-Context's own archive"
            )
        table[found[0]] = one.id
    return table


def read_context_label(path: Path, table: UInt8[np.ndarray, " labels"]) -> UInt8[np.ndarray, "H W"]:
    """Read `LabelMap` of a PASCAL-Context .mat file as classes 0..59.

    Args:
        path: MATLAB 5 file; LabelMap is (H, W), numbers 0..459.
        table: as `lookup_table` returns it.

    Returns:
        uint8 (H, W).

    Raises:
        ReplicationError: the file is missing, broken, of another structure, or holds a number
            without a name.
    """
    label = read_mat(path, "LabelMap", what="PASCAL-Context label")
    if label.ndim != 2 or label.dtype.kind not in "iuf" or label.size == 0:
        raise ReplicationError(
            f"{path}: LabelMap is {label.dtype} {label.shape}, not a map of labels; unpack its"
            " archive again"
        )
    wrong = label[~np.isin(label, np.arange(len(table)))]
    if wrong.size:
        raise ReplicationError(
            f"{path}: LabelMap holds the label {wrong[0]} ({wrong.size} pixels are outside"
            f" 0..{len(table) - 1}); unpack its archive again"
        )
    classes: UInt8[np.ndarray, "H W"] = table[label.astype(np.int64)]
    return classes


def context_items(
    tree: Path, ids: Iterable[str], images: Mapping[str, Path], table: UInt8[np.ndarray, " labels"]
) -> dict[str, Item]:
    """Return image and .mat label of each id.

    Args:
        tree: as `find_context` returns it.
        ids: ids of VOC 2010.
        images: VOC 2010's images by id.
        table: as `lookup_table` returns it.

    Raises:
        ReplicationError: names the first id without image or label.
    """

    def read(path: Path, _: int | None) -> UInt8[np.ndarray, "H W"]:
        return read_context_label(path, table)

    items = {}
    for name in ids:
        label = tree / LABELS / f"{name}.mat"
        if not label.is_file():
            raise ReplicationError(
                f"{label.parent}: no {name}.mat for a listed id; unpack PASCAL-Context's archive"
                " again"
            )
        items[name] = Item(name, image_of(images, name), label, read)
    return items


def read_context(voc: Path, context: Path, work: Work) -> Found:
    """Read PASCAL-Context: splits train and val, 59 classes and background.

    Args:
        voc: VOC 2010's trainval archive, or the folder that it unpacks to.
        context: PASCAL-Context's archive or folder, likewise.
        work: as `prepare` gives it.

    Raises:
        ReplicationError: names the file that is wrong, with its cure.
    """
    voc_tree = find_voc2010(work.unpacked(voc, "voc", without(*SKIPPED)))
    tree = find_context(work.unpacked(context, "context"))
    splits = {split: main_ids(voc_tree, split) for split in COUNTS}
    for split, ids in splits.items():
        work.check_count(split, ids, COUNTS[split])

    def items(wanted: Splits) -> dict[str, Item]:
        table = lookup_table(tree / NAMES, read_names(tree / NAMES))
        return context_items(tree, ids_of(wanted), voc2010_images(voc_tree), table)

    return Found(splits, items, CONTEXT.names, CONTEXT.palette)
