"""Archives with the same bytes every time: fixed times, owners and order."""

import gzip
import io
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from replication.atomic import atomic_path

_TIME = 1_336_694_400  # 11 May 2012, 00:00 UTC: the day in the official VOC tar's name


@dataclass(frozen=True)
class Archive:
    """Contents by path, and how they are packed."""

    write: Callable[[Path, Mapping[str, bytes]], None]
    members: dict[str, bytes]


def write_tar(path: Path, members: Mapping[str, bytes]) -> None:
    """Write contents by path, and the folders that hold them, to a tar, in order of path."""
    with atomic_path(path) as part, part.open("wb") as stream:
        _write_tar(stream, members)


def write_tgz(path: Path, members: Mapping[str, bytes]) -> None:
    """Write a tar as `write_tar`, compressed by gzip."""
    with (
        atomic_path(path) as part,
        part.open("wb") as stream,
        # An empty name and time 0 keep the gzip header free of where and when.
        gzip.GzipFile("", "wb", compresslevel=9, fileobj=stream, mtime=0) as packed,
    ):
        _write_tar(packed, members)


def write_zip(path: Path, members: Mapping[str, bytes]) -> None:
    """Write contents by path to a zip, in order of path; what is compressed already is stored."""
    with atomic_path(path) as part, zipfile.ZipFile(part, "w") as archive:
        for name in sorted(members):
            info = zipfile.ZipInfo(name, (2012, 5, 11, 0, 0, 0))
            info.create_system = 3  # Unix, wherever it is made
            info.external_attr = 0o100644 << 16
            packed = name.endswith((".jpg", ".png"))
            info.compress_type = zipfile.ZIP_STORED if packed else zipfile.ZIP_DEFLATED
            archive.writestr(info, members[name], compresslevel=9)


def _write_tar(stream: BinaryIO | gzip.GzipFile, members: Mapping[str, bytes]) -> None:
    folders = {str(parent) for path in members for parent in Path(path).parents} - {"."}
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path in sorted({*members, *folders}):
            info = tarfile.TarInfo(path)
            info.mtime, info.uid, info.gid = _TIME, 0, 0
            if path in folders:
                info.type, info.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(info)
            else:
                info.size, info.mode = len(members[path]), 0o644
                tar.addfile(info, io.BytesIO(members[path]))
