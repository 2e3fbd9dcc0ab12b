"""Folders that are whole or not there: unpack, build beside the final folder, rename.

Everything is built in a sibling of the final folder and renamed whole, so that a data set that
can be opened is a data set that passed every check.
"""

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from replication.errors import ReplicationError

_FULL = (errno.ENOSPC, errno.EDQUOT)


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
