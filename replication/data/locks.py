"""One process at a time: a lock beside what is written, freed even if its holder is killed."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from replication.errors import ReplicationError

_log = logging.getLogger(__name__)


@contextmanager
def exclusive(target: Path) -> Iterator[bool]:
    """Hold the lock of ``target`` for the block; yield whether another process had to be awaited.

    The lock is the operating system's, on the file ``.NAME.lock`` beside ``target``, which holds
    the id of the process: a killed holder frees it. The file itself stays, since deleting it would
    let two processes lock two files of one name.

    Raises:
        ReplicationError: the folder can't be written, or its file system knows no locks.
    """
    with _locked(target, f"another process is at work on `{target}`: waiting for it") as waited:
        yield waited


@contextmanager
def alone(target: Path, what: str) -> Iterator[None]:
    """Hold the lock of ``target`` for the block, or refuse at once where another process does.

    Args:
        target: as `exclusive`'s.
        what: what the block does, in the error: "train run aspp_l".

    Raises:
        ReplicationError: another process, whose id is given, holds it; or as `exclusive`.
    """
    with _locked(target, None, what):
        yield


@contextmanager
def _locked(target: Path, waiting: str | None, what: str = "") -> Iterator[bool]:
    from filelock import FileLock, Timeout  # 0.1 s to import

    waited, file = False, target.parent / f".{target.name}.lock"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(file)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            if waiting is None:
                raise ReplicationError(_taken(file, what)) from None
            waited = True
            _log.warning(waiting)
            lock.acquire()
        with suppress(OSError):  # a full disk: the lock holds all the same
            file.write_text(f"{os.getpid()}\n", encoding="ascii")
    except (OSError, NotImplementedError) as error:
        raise ReplicationError(
            f"can't lock `{target}` ({error}): use a folder that can be written and locked"
        ) from None
    try:
        yield waited
    finally:
        lock.release()


def _taken(file: Path, what: str) -> str:
    try:
        holder = f"process {int(file.read_text(encoding='ascii'))}"
    except (OSError, ValueError):
        holder = "another process"
    return f"can't {what}: {holder} is at it already ({file}); wait until it ends, or stop it"
