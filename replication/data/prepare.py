"""VOC 2012 with SBD, and anyone's VOC-style folder, to the canonical layout.

The other data sets' adaptors (`context`, `person_part`, `cityscapes`, `coco`) each have their own
`prepare_...`, of the same form.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from replication.data.building import building, limited, unpacked, without, write_dataset
from replication.data.canonical import DataSet
from replication.data.folder import read_folder
from replication.data.guard import refuse_overlap
from replication.data.palette import VOC_CLASSES
from replication.data.sbd import derive_trainaug, find_sbd, sbd_ids, sbd_items
from replication.data.voc import EXPECTED, IMAGES, check_expected, find_voc, voc_ids, voc_items

# Instances, boxes and actions: no class labels, but tens of thousands of files.
_VOC_SKIPPED = ("Annotations", "SegmentationObject", "Action", "Layout", "Main")
_SBD_SKIPPED = ("inst",)


def prepare_voc(
    voc: Path,
    sbd: Path | None,
    into: Path,
    *,
    official: bool,
    sources: list[dict[str, Any]],
    name: str = "voc2012",
    limits: Mapping[str, int] | None = None,
    progress: bool = True,
) -> DataSet:
    """Prepare VOC 2012 with SBD: splits train, trainaug and val, 21 classes.

    trainaug is VOC's train and all of SBD without VOC's val; where both label an image, VOC's
    label is used (recipe.md, Data). Without ``sbd`` there is no trainaug.

    Args:
        voc: the trainval archive, or the folder that it unpacks to (or one above).
        sbd: SBD's archive or folder, likewise.
        into: the data set's folder; an earlier data set there is replaced once this one is whole.
        official: the sources are the real archives: the three lists must then be the official
            ones, by count and hash.
        sources: records of where the data is from (name, sha256, ...), kept in meta.json.
        name: the data set's name in results and tables.
        limits: by split, take only so many ids from the start of its list.
        progress: show a bar.

    Raises:
        ReplicationError: names the file that is wrong, with its cure.
    """
    with building(into) as (target, work):
        tree = find_voc(unpacked(voc, work / "voc", progress, without(*_VOC_SKIPPED)))
        splits = {split: voc_ids(tree, split) for split in ("train", "val")}
        sbd_tree, extra = None, []
        if sbd is not None:
            sbd_tree = find_sbd(unpacked(sbd, work / "sbd", progress, without(*_SBD_SKIPPED)))
            splits["trainaug"] = derive_trainaug(splits["train"], sbd_ids(sbd_tree), splits["val"])
        for split, ids in splits.items():
            check_expected(split, ids, EXPECTED[split] if official else None)
            if split != "val":
                refuse_overlap(ids, splits["val"], train_name=split, eval_name="val")
        by_voc = {*splits["train"], *splits["val"]}
        splits = limited(splits, limits)
        wanted = dict.fromkeys(i for ids in splits.values() for i in ids)
        items = voc_items(tree, (i for i in wanted if i in by_voc))
        if sbd_tree is not None:
            extra = [i for i in wanted if i not in by_voc]
            items |= sbd_items(sbd_tree, extra, tree / IMAGES)
        write_dataset(
            target,
            name=name,
            classes=VOC_CLASSES,
            splits=splits,
            items=items,
            sources=sources,
            work=work,
            progress=progress,
        )
    return DataSet.open(into)


def prepare_folder(
    folder: Path,
    into: Path,
    *,
    sources: list[dict[str, Any]],
    name: str | None = None,
    progress: bool = True,
) -> DataSet:
    """Prepare anyone's VOC-style folder: splits train and val, its own classes.

    Args:
        folder: the folder (see `replication.data.folder`), or an archive of it.
        into: as `prepare_voc`.
        sources: as `prepare_voc`.
        name: the data set's name; the folder's own name if None.
        progress: show a bar.

    Raises:
        ReplicationError: names the file that is wrong, with its cure.
    """
    with building(into) as (target, work):
        found = read_folder(unpacked(folder, work / "folder", progress))
        refuse_overlap(
            found.splits["train"], found.splits["val"], train_name="train", eval_name="val"
        )
        own_name = found.tree.resolve().name if folder.is_dir() else folder.name.split(".")[0]
        write_dataset(
            target,
            name=name or own_name,
            classes=found.classes,
            splits=found.splits,
            items=found.items,
            sources=sources,
            work=work,
            progress=progress,
        )
    return DataSet.open(into)
