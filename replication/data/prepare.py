"""The stage `prepare`: archives or folders in, one data set in the canonical layout out.

Everything is built in a sibling of the final folder and renamed whole, so that a data set that
can be opened is a data set that passed every check.
"""

import errno
import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from replication.data.canonical import DataSet
from replication.data.convert import Item, class_names, convert_all, write_lists
from replication.data.folder import read_folder
from replication.data.guard import refuse_overlap
from replication.data.palette import VOC_CLASSES
from replication.data.sbd import derive_trainaug, find_sbd, sbd_ids, sbd_items
from replication.data.voc import EXPECTED, IMAGES, check_expected, find_voc, voc_ids, voc_items
from replication.errors import ReplicationError

_log = logging.getLogger(__name__)
# Instances, boxes and actions: no class labels, but tens of thousands of files.
_VOC_SKIPPED = ("Annotations", "SegmentationObject", "Action", "Layout", "Main")
_SBD_SKIPPED = ("inst",)
_FULL = (errno.ENOSPC, errno.EDQUOT)


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
    with _building(into) as (target, work):
        tree = find_voc(_unpacked(voc, work / "voc", progress, _VOC_SKIPPED))
        splits = {split: voc_ids(tree, split) for split in ("train", "val")}
        sbd_tree, extra = None, []
        if sbd is not None:
            sbd_tree = find_sbd(_unpacked(sbd, work / "sbd", progress, _SBD_SKIPPED))
            splits["trainaug"] = derive_trainaug(splits["train"], sbd_ids(sbd_tree), splits["val"])
        for split, ids in splits.items():
            check_expected(split, ids, EXPECTED[split] if official else None)
            if split != "val":
                refuse_overlap(ids, splits["val"], train_name=split, eval_name="val")
        by_voc = {*splits["train"], *splits["val"]}
        splits = {s: ids[: (limits or {}).get(s, len(ids))] for s, ids in splits.items()}
        wanted = dict.fromkeys(i for ids in splits.values() for i in ids)
        items = voc_items(tree, (i for i in wanted if i in by_voc))
        if sbd_tree is not None:
            extra = [i for i in wanted if i not in by_voc]
            items |= sbd_items(sbd_tree, extra, tree / IMAGES)
        _write(
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
    with _building(into) as (target, work):
        found = read_folder(_unpacked(folder, work / "folder", progress))
        refuse_overlap(
            found.splits["train"], found.splits["val"], train_name="train", eval_name="val"
        )
        own_name = found.tree.resolve().name if folder.is_dir() else folder.name.split(".")[0]
        _write(
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


def _write(
    target: Path,
    *,
    name: str,
    classes: tuple[str, ...] | None,
    splits: dict[str, list[str]],
    items: dict[str, Item],
    sources: list[dict[str, Any]],
    work: Path,
    progress: bool,
) -> None:
    num_classes = None if classes is None else len(classes)
    seen = convert_all(items.values(), target, num_classes, links=work, progress=progress)
    meta = write_lists(
        target,
        name=name,
        classes=classes or class_names(seen),
        splits=splits,
        seen=seen,
        sources=sources,
    )
    if meta["shared_images"]:
        one, other = meta["shared_images"][0]
        _log.warning(
            "%s: %d training images are also in val under another id (%s is %s)",
            name,
            len(meta["shared_images"]),
            one,
            other,
        )


def _unpacked(source: Path, work: Path, progress: bool, skipped: tuple[str, ...] = ()) -> Path:
    """Return a folder: ``source`` itself, or where its archive was unpacked.

    Members with a folder of ``skipped`` in their path are left packed.
    """
    if source.is_dir():
        return source
    if not source.is_file():
        raise ReplicationError(
            f"{source}: no such archive or folder; fetch it, or correct the path"
        )
    from replication.data.unpack import unpack

    return unpack(
        source,
        work,
        progress=progress,
        wanted=lambda member: not any(folder in member.split("/") for folder in skipped),
    )


@contextmanager
def _building(into: Path) -> Iterator[tuple[Path, Path]]:
    """Yield (target, work): a folder that becomes ``into``, and one that is thrown away."""
    into = Path(into)
    if into.exists() and not (into / "meta.json").is_file() and not _empty(into):
        raise ReplicationError(f"{into}: holds something else than a data set; name another folder")
    into.parent.mkdir(parents=True, exist_ok=True)
    for stale in into.parent.glob(f".{into.name}.building-*"):
        if not _alive(stale.name.rsplit("-", 1)[1]):
            shutil.rmtree(stale, ignore_errors=True)  # of a process that was killed
    temporary = into.parent / f".{into.name}.building-{os.getpid()}"
    target, work = temporary / "data", temporary / "work"
    try:
        work.mkdir(parents=True)
        yield target, work
        if into.exists():
            into.rename(temporary / "old")
        target.rename(into)
    except OSError as error:
        if error.errno in _FULL:
            raise ReplicationError(
                f"{into}: the disk is full; make room and run it again"
            ) from None
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _empty(folder: Path) -> bool:
    return folder.is_dir() and not any(folder.iterdir())


def _alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, ValueError):
        return False
    except OSError:
        return True  # somebody else's process
    return True
