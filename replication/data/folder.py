"""Anyone's images: a folder in VOC's layout, as a data set of its own.

JPEGImages/ID.jpg|jpeg|png      photographs
SegmentationClass/ID.png        palette or grey PNG, class indices, 255 for void
ImageSets/Segmentation/{train,val}.txt
classes.txt                     optional: one name a line, the first is class 0
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from replication.data.canonical import DataSet
from replication.data.convert import Item
from replication.data.prepare import Found, Work, prepare
from replication.data.voc import find_voc, voc_ids, voc_items
from replication.errors import ReplicationError

SPLITS = ("train", "val")


@dataclass(frozen=True)
class Folder:
    """What a VOC-style folder lists: nothing of it is opened yet.

    Attributes:
        tree: the folder that holds `JPEGImages`.
        classes: names from classes.txt; None if there is no such file (then the labels decide).
        splits: ids of train and val, in their lists' order.
        items: image and label of each id.
    """

    tree: Path
    classes: tuple[str, ...] | None
    splits: dict[str, list[str]]
    items: dict[str, Item]


def read_classes(path: Path) -> tuple[str, ...]:
    """Read class names, one a line; the line's position is the label's value.

    Raises:
        ReplicationError: the file is empty, not UTF-8 text, has an empty line between names, a
            name twice, or more names than a label can hold.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").strip().splitlines()
    except UnicodeDecodeError:
        raise ReplicationError(f"{path}: not UTF-8 text; write one class name a line") from None
    names = [line.strip() for line in lines]
    if not names:
        raise ReplicationError(f"{path}: the file is empty; write one class name a line")
    if "" in names:
        raise ReplicationError(
            f"{path}: line {names.index('') + 1} is empty; a line's place is the label's value"
        )
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ReplicationError(f"{path}: class `{twice[0]}` is named twice; rename one")
    if len(names) > 255:
        raise ReplicationError(f"{path}: {len(names)} classes; a label can hold 255 and void")
    return tuple(names)


def read_folder(root: Path) -> Folder:
    """List a VOC-style folder.

    Args:
        root: the folder, or one above it.

    Raises:
        ReplicationError: something is missing, or listed twice; names the file and the cure.
    """
    tree = find_voc(root, what="VOC-style folder")
    splits = {split: voc_ids(tree, split) for split in SPLITS}
    names = tree / "classes.txt"
    return Folder(
        tree=tree,
        classes=read_classes(names) if names.is_file() else None,
        splits=splits,
        items=voc_items(tree, dict.fromkeys(i for ids in splits.values() for i in ids)),
    )


def prepare_folder(
    folder: Path,
    into: Path,
    *,
    sources: list[dict[str, Any]],
    name: str | None = None,
    progress: bool = True,
) -> DataSet:
    """Prepare anyone's VOC-style folder, or an archive of it: splits train and val.

    Args as `replication.data.prepare.prepare`; without ``name`` the folder's own is taken.

    Raises:
        ReplicationError: names the file that is wrong, with its cure.
    """

    def read(work: Work) -> Found:
        found = read_folder(work.unpacked(folder, "folder"))
        own = found.tree.resolve().name if folder.is_dir() else folder.name.split(".")[0]
        return Found(found.splits, lambda _: found.items, found.classes, name=own)

    return prepare(read, into, official=False, sources=sources, name=name, progress=progress)
