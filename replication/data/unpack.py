"""An archive to a folder: whole or not at all, and never outside it.

An archive is data from a stranger, even when its checksum is right. So nothing but plain files and
folders is made, under names that stay inside, each once, within limits of number and size; and the
folder gets its name only when the last byte is in it. How an archive is packed (tar, tar.gz,
tar.bz2, tar.xz or zip) is read from its first bytes, since people rename archives.
"""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from replication.data.archive_readers import Damaged, Entry, Refused, read_entries, reading
from replication.data.locks import exclusive
from replication.errors import FULL, ReplicationError

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """How much an archive may unpack to, against archives made to fill a disk.

    ``ratio`` is unpacked bytes per archive byte (over ``floor`` bytes only, below which any ratio
    is harmless); label images shrink by 10 to 50, archives made to harm by 1,000 and more.
    """

    members: int = 500_000
    ratio: float = 200.0
    floor: int = 1 << 28

    def bytes(self, archive: int) -> int:
        """Return the most bytes that an archive of ``archive`` bytes may unpack to."""
        return max(self.floor, int(self.ratio * archive))


def unpack(
    archive: Path,
    into: Path,
    *,
    progress: bool = True,
    wanted: Callable[[str], bool] | None = None,
    limits: Limits | None = None,
) -> Path:
    """Unpack ``archive`` to the new folder ``into`` and return ``into``.

    Args:
        archive: a tar (plain or compressed) or zip file.
        into: the folder to make; it must be absent or empty. It appears only when all is unpacked,
            so that a folder of that name, once there, is whole. Other processes that unpack to the
            same folder wait, and then take it as it is.
        progress: whether to draw a progress bar, where there is a terminal.
        wanted: told a member's name (``a/b.png``, folders without a slash at the end), says whether
            to unpack it; everything by default. Members left out must be harmless too.
        limits: the most members and bytes.

    Raises:
        ReplicationError: the archive is absent, damaged or cut short, holds a link, a device, a
            sparse or an encrypted file, a name that is absolute, leaves the folder or comes twice,
            or is over the limits; ``into`` holds something already; nothing is wanted; or the disk
            is full. Nothing is left behind.
    """
    if not archive.is_file():
        raise ReplicationError(f"`{archive}` is not there: fetch it, or correct the path")
    with exclusive(into) as waited:
        if into.exists() and (not into.is_dir() or next(into.iterdir(), None) is not None):
            if waited:
                return into
            raise ReplicationError(
                f"`{into}` exists already: delete it to unpack `{archive.name}` there again"
            )
        part = into.with_name(f".{into.name}.unpacking")
        shutil.rmtree(part, ignore_errors=True)  # what a killed process left
        try:
            part.mkdir()
            with reading():
                count = _unpack(archive, part, progress, wanted, limits or Limits())
            if count == 0:
                raise ReplicationError(f"`{archive}` holds nothing that is wanted: check the file")
            if into.exists():
                into.rmdir()
            part.rename(into)
        except Damaged as error:
            raise ReplicationError(
                f"`{archive}` is damaged or cut short ({error}): delete it and fetch it again"
            ) from None
        except Refused as error:
            raise ReplicationError(
                f"`{archive}` is not unpacked: {error}; take the archive from its official address"
            ) from None
        except OSError as error:
            shutil.rmtree(part, ignore_errors=True)  # before free room is counted
            raise _cannot_write(archive, into, error) from None
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return into


def _unpack(
    archive: Path,
    folder: Path,
    progress: bool,
    wanted: Callable[[str], bool] | None,
    limits: Limits,
) -> int:
    """Write the wanted members under ``folder``; return how many files that are."""
    from tqdm import tqdm

    size = archive.stat().st_size
    room = limits.bytes(size)
    unpacked = files = 0
    seen: set[str] = set()
    with tqdm(
        total=size,
        desc=f"unpack {archive.name}",
        unit="B",
        unit_scale=True,
        disable=None if progress else True,
    ) as bar:
        for number, entry in enumerate(read_entries(archive, room), start=1):
            unpacked += entry.size
            if number > limits.members:
                raise Refused(f"it has more than {limits.members:,} members")
            if unpacked > room:
                raise Refused(f"it unpacks to more than {room:,} bytes, from {size:,}")
            name = safe_name(entry.name)
            bar.update(entry.position - bar.n)
            if wanted is not None and not wanted(name):
                continue
            path = folder / name
            if entry.folder:
                _make_folder(path, entry.name)
                continue
            if name in seen:
                raise Refused(f"it holds `{entry.name!a}` twice")
            seen.add(name)
            _make_folder(path.parent, entry.name)
            _write(path, entry)
            files += 1
        bar.update(size - bar.n)
    return files


def safe_name(name: str) -> str:
    """Return a member's name without ``.`` parts, as ``a/b/c``.

    Raises:
        Refused: the name is empty, absolute, leaves the folder, or means one thing here and another
            elsewhere (backslashes, drive letters, NUL).
    """
    if not name or "\0" in name or "\\" in name:
        raise Refused(f"it holds a member with the name {name!a}")
    path = PurePosixPath(name)
    if path.is_absolute() or (len(name) > 1 and name[1] == ":"):
        raise Refused(f"it holds the absolute path {name!a}")
    if ".." in path.parts:
        raise Refused(f"it holds {name!a}, which leaves the folder")
    return path.as_posix()


def _make_folder(path: Path, name: str) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise Refused(f"it holds a file and a folder of one name at {name!a}") from None


def _write(path: Path, entry: Entry) -> None:
    """Write one member; its size must be the declared one."""
    written = 0
    try:
        stream = path.open("xb")
    except (FileExistsError, IsADirectoryError):
        raise Refused(f"it holds {entry.name!a} twice, or as a file and a folder") from None
    with stream, entry.open() as content:
        for chunk in _chunks(content):
            written += len(chunk)
            if written > entry.size:
                break
            stream.write(chunk)
    if written != entry.size:
        raise Damaged(f"{entry.name!a} has {written:,} bytes instead of {entry.size:,}")


def _chunks(stream: BinaryIO) -> Iterator[bytes]:
    while chunk := stream.read(_CHUNK):
        yield chunk


def _cannot_write(archive: Path, into: Path, error: OSError) -> ReplicationError:
    if error.errno not in FULL:
        return ReplicationError(f"can't unpack `{archive}` to `{into}`: {error}")
    free = shutil.disk_usage(into.parent).free
    return ReplicationError(
        f"no room in `{into.parent.absolute()}` to unpack `{archive}`: it needs more "
        f"than the {free:,} bytes that are free: make room and run again"
    )
