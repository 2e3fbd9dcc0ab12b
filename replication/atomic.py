"""Files that are either whole or absent.

Every result is written beside its final name and renamed into place, so that a process killed at
any moment leaves either the old file, the new one, or none: never half of one. What it leaves under
a temporary name, the next process that writes into the folder takes away.
"""

import errno
import hashlib
import json
import os
import platform
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from replication.errors import FULL, ReplicationError

_PART = re.compile(r"\.(?P<machine>[0-9a-f]{8})-(?P<pid>\d+)\.[^.]*\.part(\.[^.]*)?$")
_UMASK = os.umask(0)  # can only be read by setting it, for all threads: so once, at import
os.umask(_UMASK)
_LONGEST = 40  # characters of the final name that the temporary one keeps


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it to ``path`` if the block succeeds.

    The temporary file keeps the suffix of ``path`` (writers that go by suffix work), is flushed to
    disk before the rename, and is removed if the block raises.

    Raises:
        OSError: names ``path``; the disk is full, whatever the writer in the block made of it, or
            the folder can't be written.
    """
    final = Path(path)
    with naming(final):
        final.parent.mkdir(parents=True, exist_ok=True)
        _sweep(final.parent)
        handle, name = tempfile.mkstemp(
            dir=final.parent,
            prefix=f".{final.name[:_LONGEST]}.{_machine()}-{os.getpid()}.",
            suffix=f".part{final.suffix}",
        )
        os.close(handle)
        part = Path(name)
        try:
            yield part
            with part.open("rb") as stream:
                os.fsync(stream.fileno())
            part.chmod(0o666 & ~_UMASK)  # mkstemp makes files private; results are for sharing
            part.replace(final)
        except (OSError, ReplicationError):
            raise
        except Exception as error:
            if os.strerror(errno.ENOSPC) not in str(error) and not _full(final.parent):
                raise
            # torch and safetensors raise types of their own where a write fails
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(final)) from error
        finally:
            part.unlink(missing_ok=True)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Have an OSError of the block name ``path``: a write that fails names no file by itself."""
    try:
        yield
    except OSError as error:
        if error.filename is None or _PART.search(str(error.filename)):
            error.filename = str(path)
        raise


@contextmanager
def scratch_beside(final: Path) -> Iterator[Path]:
    """Yield an empty folder beside ``final``, and delete it and those of killed processes."""
    final.parent.mkdir(parents=True, exist_ok=True)
    for stale in final.parent.glob(f".{final.name}.building-*"):
        pid = stale.name.rsplit("-", 1)[1]
        if not (pid.isdecimal() and alive(int(pid))):
            shutil.rmtree(stale, ignore_errors=True)
    scratch = final.parent / f".{final.name}.building-{os.getpid()}"
    shutil.rmtree(scratch, ignore_errors=True)  # of an earlier process of this id
    try:
        scratch.mkdir()
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def put_folder(made: Path, final: Path, scratch: Path) -> None:
    """Rename the folder ``made`` to ``final``; what stood there ends in ``scratch``.

    Deleting it in its place would leave half of it for a while.
    """
    if final.exists():
        final.rename(scratch / "old")
    made.rename(final)


def _full(folder: Path) -> bool:
    """Whether nothing more can be written into ``folder``; called while the part fills it."""
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(bytes(1 << 16))
    except OSError as error:
        return error.errno in FULL
    return False


@cache
def _machine() -> str:
    """Return 8 digits for where this process's id is one: the machine, or the container on it."""
    try:
        namespace = Path("/proc/self/ns/pid").readlink().name
    except OSError:
        namespace = ""
    return hashlib.sha256(f"{platform.node()}\0{namespace}".encode()).hexdigest()[:8]


@cache  # one look at each folder, not one for each of thousands of files
def _sweep(folder: Path) -> None:
    """Delete what killed processes of this machine were writing into ``folder``."""
    for stale in folder.glob(".*.part*"):
        made = _PART.search(stale.name)
        if made and made["machine"] == _machine() and not alive(int(made["pid"])):
            stale.unlink(missing_ok=True)


def alive(pid: int) -> bool:
    """Whether a process of this machine has the id ``pid``."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True  # somebody else's process
    return True


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write ``text`` as UTF-8 to ``path``, atomically."""
    with atomic_path(path) as part:
        part.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write ``value`` as JSON (indented, sorted as given, NaN refused) to ``path``, atomically."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False) + "\n")
