"""Trees of files packed in every way that archives come in, and what refusing one must leave."""

import bz2
import gzip
import io
import lzma
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from replication.data.unpack import unpack
from replication.errors import ReplicationError

Tree = dict[str, bytes]
TREE: Tree = {
    "VOCdevkit/VOC2012/JPEGImages/a.jpg": os.urandom(3000),
    "VOCdevkit/VOC2012/SegmentationClass/a.png": bytes(range(256)) * 20,
    "VOCdevkit/VOC2012/Annotations/a.xml": b"<annotation/>",
    "VOCdevkit/empty.txt": b"",
}


def member(name: str, content: bytes = b"", **changes: Any) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in changes.items():
        setattr(info, key, value)
    return info, content


def tar_bytes(*members: tuple[tarfile.TarInfo, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def pack_tar(tree: Tree) -> bytes:
    return tar_bytes(*(member(name, content) for name, content in tree.items()))


def pack_gnu(tree: Tree) -> bytes:
    members = [member(f"./{name}", content) for name, content in tree.items()]
    return tar_bytes(member("./", type=tarfile.DIRTYPE), *members, form=tarfile.GNU_FORMAT)


def pack_zip(tree: Tree) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in tree.items():
            archive.writestr(name, content)
    return out.getvalue()


PACKERS: dict[str, Callable[[Tree], bytes]] = {
    "tar": pack_tar,
    "gnu": pack_gnu,
    "tgz": lambda tree: gzip.compress(pack_tar(tree)),
    "tbz": lambda tree: bz2.compress(pack_tar(tree)),
    "txz": lambda tree: lzma.compress(pack_tar(tree)),
    "zip": pack_zip,
}


def zip_with(**changes: Any) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        info = zipfile.ZipInfo("bad")
        for key, value in changes.items():
            setattr(info, key, value)
        archive.writestr(info, b"target")
    return out.getvalue()


def read_tree(folder: Path) -> Tree:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def put(folder: Path, content: bytes, name: str = "thing.tar") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def refused(tmp_path: Path, content: bytes, match: str, **options: Any) -> None:
    """Unpacking must fail with one line that names the archive, and leave nothing behind."""
    archive = put(tmp_path, content)
    with pytest.raises(ReplicationError, match=match) as caught:
        unpack(archive, tmp_path / "out", progress=False, **options)
    assert str(archive) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert {path.name for path in tmp_path.iterdir()} <= {"thing.tar", ".out.lock"}


@pytest.fixture(scope="session")
def archives() -> SimpleNamespace:
    """What is above: how archives are made, put into a folder, read back, and must be refused."""
    return SimpleNamespace(
        tree=TREE,
        packers=PACKERS,
        member=member,
        tar_bytes=tar_bytes,
        zip_with=zip_with,
        read_tree=read_tree,
        put=put,
        refused=refused,
    )
