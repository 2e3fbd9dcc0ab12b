"""Folders that are whole or not there: unpack, build beside the final folder, rename.

Everything is built in a sibling of the final folder and renamed whole, so that a data set that
can be opened is a data set that passed every check.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from replication.atomic import put_folder, scratch_beside
from replication.errors import FULL, ReplicationError


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
    try:
        with scratch_beside(into) as scratch:
            target, work = scratch / "data", scratch / "work"
            work.mkdir()
            yield target, work
            put_folder(target, into, scratch)
    except OSError as error:
        if error.errno in FULL:
            raise ReplicationError(
                f"{into}: the disk is full; make room and run it again"
            ) from None
        raise


def _empty(folder: Path) -> bool:
    return folder.is_dir() and not any(folder.iterdir())
