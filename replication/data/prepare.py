"""From archives to the canonical layout: what preparing has in common for every data set.

An adaptor (`sbd`, `folder`, `context`, `person_part`, `cityscapes`, `coco`) only reads: it unpacks
what it needs and says what is there (`Found`). `prepare` checks, converts and writes.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from replication.data.building import building, unpacked
from replication.data.canonical import DataSet
from replication.data.convert import Item, class_names, convert_all, write_lists
from replication.data.guard import refuse_overlap
from replication.errors import ReplicationError

_log = logging.getLogger(__name__)

Splits = dict[str, list[str]]


@dataclass(frozen=True)
class Work:
    """What an adaptor works with.

    Attributes:
        folder: for what it unpacks; thrown away afterwards.
        official: the sources are the real archives, whose splits have known lengths.
        progress: show a bar.
    """

    folder: Path
    official: bool
    progress: bool

    def unpacked(
        self, source: Path, name: str, wanted: Callable[[str], bool] | None = None
    ) -> Path:
        """Return ``source`` if it is a folder, or where its archive was unpacked, as ``name``.

        Members that ``wanted`` is false for are left packed.

        Raises:
            ReplicationError: there is no such archive or folder, or the archive is damaged.
        """
        return unpacked(source, self.folder / name, self.progress, wanted)

    def check_count(self, split: str, ids: list[str], expected: int, *, cure: str = "") -> None:
        """Refuse a split of another length than the official one; a sample's is not checked.

        ``cure`` is one more thing to do about it.

        Raises:
            ReplicationError: gives both lengths.
        """
        if self.official and len(ids) != expected:
            raise ReplicationError(
                f"split `{split}` has {len(ids):,} ids, the official one {expected:,}; fetch the"
                f" official archives again, {cure}or declare the source as not official"
            )


@dataclass(frozen=True)
class Found:
    """A data set as its archives hold it, nothing of it opened yet.

    Attributes:
        splits: ids by split, in order.
        items: image and label by id, of those splits that it is given.
        classes: names; None names them by the labels that are seen.
        palette: uint8 (256, 3), the labels' colours; VOC's if None.
        name: what the data set calls itself.
    """

    splits: Splits
    items: Callable[[Splits], dict[str, Item]]
    classes: tuple[str, ...] | None
    palette: UInt8[np.ndarray, "256 3"] | None = None
    name: str | None = None


def prepare(
    read: Callable[[Work], Found],
    into: Path,
    *,
    official: bool,
    sources: list[dict[str, Any]],
    name: str | None = None,
    limits: Mapping[str, int] | None = None,
    progress: bool = True,
) -> DataSet:
    """Bring a data set into the canonical layout.

    Args:
        read: an adaptor's reader, given its archives or the folders that they unpack to.
        into: the data set's folder; an earlier data set there is replaced once this one is whole.
        official: the sources are the real archives: splits must have the official lengths.
        sources: records of where the data is from (name, sha256, ...), kept in meta.json.
        name: the data set's name in results and tables; None: what it calls itself.
        limits: by split, take only so many ids from the start of its list.
        progress: show a bar.

    Raises:
        ReplicationError: names the file that is wrong, with its cure.
    """
    with building(into) as (target, work):
        found = read(Work(work, official, progress))
        for split, ids in found.splits.items():
            if split != "val":
                val = found.splits.get("val", [])
                refuse_overlap(ids, val, train_name=split, eval_name="val")
        splits = {split: ids[: (limits or {}).get(split)] for split, ids in found.splits.items()}
        seen = convert_all(
            found.items(splits).values(),
            target,
            None if found.classes is None else len(found.classes),
            links=work,  # images of our own unpacking are linked in place of copied
            progress=progress,
            palette=found.palette,
        )
        meta = write_lists(
            target,
            name=name or found.name or into.name,
            classes=found.classes or class_names(seen),
            splits=splits,
            seen=seen,
            sources=sources,
            palette=found.palette,
        )
        if shared := meta["shared_images"]:
            _log.warning(
                "%s: %d training images are also in val under another id (%s is %s)",
                meta["name"],
                len(shared),
                *shared[0],
            )
    return DataSet.open(into)


def ids_of(splits: Splits) -> list[str]:
    """Return the ids of all splits, each once."""
    return list(dict.fromkeys(name for ids in splits.values() for name in ids))
