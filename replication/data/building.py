"""What every adaptor does besides reading: unpack, build beside the final folder, write, rename.

Everything is built in a sibling of the final folder and renamed whole, so that a data set that
can be opened is a data set that passed every check.
"""

import errno
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from replication.data.convert import Item, class_names, convert_all, write_lists
from replication.errors import ReplicationError

_log = logging.getLogger(__name__)
_FULL = (errno.ENOSPC, errno.EDQUOT)


def write_dataset(
    target: Path,
    *,
    name: str,
    classes: tuple[str, ...] | None,
    splits: dict[str, list[str]],
    items: dict[str, Item],
    sources: list[dict[str, Any]],
    work: Path,
    progress: bool,
    palette: UInt8[np.ndarray, "256 3"] | None = None,
) -> None:
    """Check and write all items to ``target``, then lists and meta.json.

    Args:
        target: the folder to make, as `building` yields it.
        name: the data set's name in results and tables.
        classes: class names; None names them by the labels that are seen.
        splits: ids by split, each with an item.
        items: image and label by id.
        sources: records of where the data is from, kept in meta.json.
        work: our own unpacking, whose images are linked in place of copied.
        progress: show a bar.
        palette: uint8 (256, 3), the labels' colours; VOC's if None.

    Raises:
        ReplicationError: names the file that is wrong, with its cure.
    """
    num_classes = None if classes is None else len(classes)
    seen = convert_all(
        items.values(), target, num_classes, links=work, progress=progress, palette=palette
    )
    meta = write_lists(
        target,
        name=name,
        classes=classes or class_names(seen),
        splits=splits,
        seen=seen,
        sources=sources,
        palette=palette,
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


def without(*folders: str) -> Callable[[str], bool]:
    """Return a test for `unpacked`: no folder of these names is in a member's path."""
    return lambda member: not any(folder in member.split("/") for folder in folders)


def unpacked(
    source: Path, work: Path, progress: bool, wanted: Callable[[str], bool] | None = None
) -> Path:
    """Return a folder: ``source`` itself, or where its archive was unpacked, under ``work``.

    Members that ``wanted`` is false for are left packed.

    Raises:
        ReplicationError: there is no such archive or folder, or the archive is damaged.
    """
    if source.is_dir():
        return source
    if not source.is_file():
        raise ReplicationError(
            f"{source}: no such archive or folder; fetch it, or correct the path"
        )
    from replication.data.unpack import unpack

    return unpack(source, work, progress=progress, wanted=wanted)


@contextmanager
def building(into: Path) -> Iterator[tuple[Path, Path]]:
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


def limited(
    splits: Mapping[str, list[str]], limits: Mapping[str, int] | None
) -> dict[str, list[str]]:
    """Return the splits, of those that ``limits`` names only so many ids from the list's start."""
    return {split: ids[: (limits or {}).get(split)] for split, ids in splits.items()}
