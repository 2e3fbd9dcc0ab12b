"""Tar and zip archives as one stream of members, read once from front to back.

Only plain files and folders pass. Damage that the standard library overlooks is found: a tar that
ends early at a member's border, or whose next header is garbage, looks whole to :mod:`tarfile`.
"""

import bz2
import gzip
import lzma
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO, cast

_LARGEST_HEADER = 1 << 24
_BLOCK = tarfile.BLOCKSIZE
_BROKEN = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    gzip.BadGzipFile,
    EOFError,
    # what tarfile and zipfile let through of headers that make no sense
    ValueError,
    OverflowError,
    IndexError,
    NotImplementedError,
    RecursionError,
    struct.error,
)


class Damaged(Exception):
    """The archive's bytes can't be right: it was cut short or garbled."""


class Refused(Exception):
    """The archive is readable, but holds what no data set needs."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file or folder of an archive; ``position`` is how far into the archive (bytes) it lies.

    ``open`` gives the content and must be called, if at all, before the next entry is asked for.
    """

    name: str
    size: int
    folder: bool
    position: int
    open: Callable[[], AbstractContextManager[BinaryIO]]


@contextmanager
def reading() -> Iterator[None]:
    """Turn what the standard library raises over bad bytes into Damaged, within the block.

    Goes around the use of :func:`read_entries`, since contents are read there.
    """
    try:
        yield
    except _BROKEN as error:
        raise Damaged(f"{type(error).__name__}: {error}") from None
    except OSError as error:
        if error.errno is None:  # bz2 and gzip raise bare OSErrors for bad bytes
            raise Damaged(str(error)) from None
        raise


def read_entries(archive: Path, room: int) -> Iterator[Entry]:
    """Yield the members of ``archive``; ``room`` is the most bytes that may come out of it.

    Raises:
        Refused: a member is neither file nor folder, or is sparse or encrypted, or the compressed
            stream is longer than ``room`` allows.
        Damaged: the archive can't be read to its end; most kinds of damage only within `reading`.
        OSError: the disk can't be read.
    """
    with archive.open("rb") as stream:
        magic = stream.read(6)
        stream.seek(0)
        if magic.startswith((b"PK\x03\x04", b"PK\x05\x06")):
            yield from _zip_entries(stream)
        else:
            yield from _tar_entries(stream, _plain(stream, magic), room)


def _plain(stream: BinaryIO, magic: bytes) -> BinaryIO:
    """Return the decompressed stream that the first bytes call for."""
    if magic.startswith(b"\x1f\x8b"):
        return cast(BinaryIO, gzip.GzipFile(fileobj=stream, mode="rb"))
    if magic.startswith(b"BZh"):
        return cast(BinaryIO, bz2.BZ2File(stream))
    if magic == b"\xfd7zXZ\x00":
        return cast(BinaryIO, lzma.LZMAFile(stream))
    return stream


class _Bounded:
    """A stream of which no single read is huge and no more than ``room`` bytes are taken.

    tarfile reads extended headers whole, however long they say that they are.
    """

    def __init__(self, stream: BinaryIO, room: int) -> None:
        self._stream = stream
        # headers and padding come on top of the contents
        self._room = 2 * room + (1 << 26)

    def read(self, size: int = -1) -> bytes:
        """Read ``size`` bytes; Refused if that is more than any header has."""
        if size < 0 or size > _LARGEST_HEADER:
            raise Refused(f"a header asks for {size:,} bytes")
        self._within(self._stream.tell() + size)
        return self._stream.read(size)

    def tell(self) -> int:
        """Return the position in the decompressed stream."""
        return self._stream.tell()

    def seek(self, position: int, whence: int = 0) -> int:
        """Move to ``position``; Refused if it is further than the archive may be long."""
        self._within(position)
        return self._stream.seek(position, whence)

    def _within(self, position: int) -> None:
        if position > self._room:
            raise Refused("it unpacks to far more than an archive of its size should")


def _tar_entries(raw: BinaryIO, plain: BinaryIO, room: int) -> Iterator[Entry]:
    bounded = _Bounded(plain, room)
    with tarfile.open(fileobj=cast(IO[bytes], bounded), mode="r:") as tar:
        while (member := tar.next()) is not None:
            tar.members.clear()  # type: ignore[attr-defined]  # else memory grows with the archive
            _refuse_special(member)
            yield Entry(
                member.name,
                0 if member.isdir() else member.size,
                member.isdir(),
                raw.tell(),
                lambda member=member: _tar_content(tar, member),  # type: ignore[misc]
            )
        _check_end(bounded, tar.offset)


def _refuse_special(member: tarfile.TarInfo) -> None:
    """Refuse all but plain files and folders, by our own rules and by the standard library's."""
    if not (member.isfile() or member.isdir()) or member.issparse():
        kind = "link" if member.issym() or member.islnk() else "device, pipe or sparse file"
        raise Refused(f"it holds a {kind}, {member.name!a}")
    if member.size < 0:
        raise Refused(f"it holds {member.name!a} with a negative size")
    data_filter = getattr(tarfile, "data_filter", None)  # from Python 3.11.4 on
    if data_filter is not None:
        try:
            data_filter(member, "/nowhere")
        except tarfile.FilterError as error:
            raise Refused(f"it holds {member.name!a} ({error})") from None


@contextmanager
def _tar_content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> Iterator[BinaryIO]:
    content = tar.extractfile(member)
    if content is None:
        raise Refused(f"it holds {member.name!a}, which has no content")
    with content:
        yield cast(BinaryIO, content)


def _check_end(stream: _Bounded, offset: int) -> None:
    """Demand the block of zeros that ends a tar, then read on so that gzip checks its sum."""
    stream.seek(offset)
    block = stream.read(_BLOCK)
    if len(block) < _BLOCK:
        raise Damaged("it ends before its end mark")
    if block.strip(b"\0"):
        raise Damaged(f"no header at byte {offset:,}")
    while stream.read(1 << 20):
        pass


def _zip_entries(raw: BinaryIO) -> Iterator[Entry]:
    with zipfile.ZipFile(raw) as archive:
        for member in archive.infolist():
            kind = stat.S_IFMT(member.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                what = "link" if kind == stat.S_IFLNK else "device or pipe"
                raise Refused(f"it holds a {what}, {member.filename!a}")
            if member.flag_bits & 1:
                raise Refused(f"it holds an encrypted file, {member.filename!a}")
            yield Entry(
                member.filename,
                member.file_size,
                member.is_dir(),
                member.header_offset,
                lambda member=member: _zip_content(archive, member),  # type: ignore[misc]
            )


@contextmanager
def _zip_content(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Iterator[BinaryIO]:
    try:
        content = archive.open(member)
    except NotImplementedError as error:
        raise Refused(f"it holds {member.filename!a}, packed in an unknown way ({error})") from None
    except RuntimeError as error:
        raise Refused(f"it holds {member.filename!a}, which can't be opened ({error})") from None
    with content:
        yield cast(BinaryIO, content)
