"""One process at a time: a lock beside what is written, freed even if its holder is killed."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from replication.errors import ReplicationError

_log = logging.getLogger(__name__)


@contextmanager
def exclusive(target: Path) -> Iterator[bool]:
    """Hold the lock of ``target`` for the block; yield whether another process had to be awaited.

    The lock is the operating system's, on the empty file ``.NAME.lock`` beside ``target``: a killed
    holder frees it. The file itself stays, since deleting it would let two processes lock two files
    of one name.

    Raises:
        ReplicationError: the folder can't be written, or its file system knows no locks.
    """
    from filelock import FileLock, Timeout  # 0.1 s to import

    waited = False
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(target.parent / f".{target.name}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            waited = True
            _log.warning("another process is at work on `%s`: waiting for it", target)
            lock.acquire()
    except (OSError, NotImplementedError) as error:
        raise ReplicationError(
            f"can't lock `{target}` ({error}): use a folder that can be written and locked"
        ) from None
    try:
        yield waited
    finally:
        lock.release()
