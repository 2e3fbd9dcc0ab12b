"""The ``.part`` file: what has come of an archive so far, and how bytes are added to it.

It only ever grows by bytes that follow those it holds, or starts again from nothing, so that it can
be continued after any interruption, a kill included. Whether the bytes are the right ones is for
the caller to check: nothing here renames a file.
"""

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from replication.errors import FULL, ReplicationError

_PAGE = (b"<!doctype html", b"<html", b"<?xml")


class Bar(Protocol):
    """The part of a tqdm bar that a download moves: ``n`` counts the bytes held."""

    total: float | None
    n: float

    def refresh(self) -> object:
        """Draw the bar again."""

    def update(self, n: float, /) -> object:
        """Move the bar on by ``n`` bytes."""


class AddressFailed(Exception):
    """This address won't give the file; ``login`` where it wants to know who is asking."""

    def __init__(self, reason: str, *, login: bool = False) -> None:
        super().__init__(reason)
        self.login = login


@dataclass(frozen=True, slots=True)
class Target:
    """What is being downloaded: the part file, its declared size, and the name of its setting.

    ``checked`` says that a checksum will tell wrong bytes, so that a part that another address
    began may be continued here.
    """

    part: Path
    size: int | None
    setting: str
    checked: bool = True

    @property
    def held(self) -> int:
        """Bytes that the part file has."""
        return self.part.stat().st_size if self.part.exists() else 0

    @property
    def notes(self) -> Path:
        """The file that remembers which address and which version of its file the part is of."""
        return self.part.with_name(self.part.name + ".json")

    def discard(self) -> None:
        """Delete the part file and what is remembered about it."""
        self.part.unlink(missing_ok=True)
        self.notes.unlink(missing_ok=True)


def no_room(target: Target, missing: int | None) -> ReplicationError:
    """Word the error of a full disk; ``missing`` is in bytes, None where no size is known."""
    folder = target.part.parent
    need = "an unknown number of" if missing is None else f"{missing:,}"
    free = shutil.disk_usage(folder).free
    return ReplicationError(
        f"no room in `{folder.absolute()}` for `{target.part.name.removesuffix('.part')}`: it needs"
        f" {need} bytes more and {free:,} are free: make room and run again (what is there already "
        f"is kept), or set {target.setting} in params.yaml to a copy on another disk"
    )


def cannot_write(target: Target, error: OSError) -> ReplicationError:
    """Word the error of a write that failed, a full disk or a used-up quota above all."""
    if error.errno in FULL:
        return no_room(target, None if target.size is None else target.size - target.held)
    return ReplicationError(
        f"can't write in `{target.part.parent.absolute()}` ({error}): mend the folder, or set "
        f"{target.setting} in params.yaml to a copy elsewhere"
    )


def write(target: Target, chunks: Iterable[bytes], start: int, total: int | None, bar: Bar) -> None:
    """Write ``chunks`` to the part file from byte ``start`` on; what it holds before is kept.

    Raises:
        AddressFailed: the first bytes are a web page's, or there are more than ``total`` bytes.
        ReplicationError: the disk has less room than is needed.
        OSError: the disk is full or can't be written all the same; see `cannot_write`.
    """
    if total is not None and shutil.disk_usage(target.part.parent).free < total - start:
        raise no_room(target, total - start)
    bar.total, bar.n = total, start
    bar.refresh()
    position = start
    with target.part.open("r+b" if target.part.exists() else "wb", buffering=0) as stream:
        stream.seek(start)
        stream.truncate()
        for chunk in chunks:
            if position == 0 and chunk.lstrip().lower().startswith(_PAGE):
                raise AddressFailed("sent a web page (a login or error page?), not the archive")
            if total is not None and position + len(chunk) > total:
                target.discard()
                raise AddressFailed(f"sends more than the {total:,} bytes that the file has")
            rest = memoryview(chunk)
            while rest:  # an unbuffered write may be short: a filling disk takes what it can
                rest = rest[stream.write(rest) :]
            position += len(chunk)
            bar.update(len(chunk))
