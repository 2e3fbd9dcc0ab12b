"""Archives that were cut or garbled, or never were any: noticed, also where tarfile is content."""

import io
import os
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replication.data.unpack import unpack
from replication.errors import ReplicationError

PACKERS = ("tar", "gnu", "tgz", "tbz", "txz", "zip")  # as conftest.py has them


@settings(max_examples=150, deadline=None)
@given(data=st.data(), packer=st.sampled_from(sorted(PACKERS)))
def test_any_cut_is_noticed(data: st.DataObject, packer: str, archives: Any) -> None:
    tree = {"a/one.txt": b"1" * 700, "b.txt": b"2" * 512, "c.bin": bytes(range(256))}
    content = archives.packers[packer](tree)
    # a tar's padding after its end mark carries nothing
    meaningful = len(content.rstrip(b"\0")) if packer in ("tar", "gnu") else len(content)
    cut = data.draw(st.integers(0, meaningful - 1))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        archive = archives.put(folder, content[:cut])
        with pytest.raises(ReplicationError, match=r"damaged or cut short .*delete it and fetch"):
            unpack(archive, folder / "out", progress=False)
        assert not (folder / "out").exists()


def test_tar_cut_between_members_is_noticed(tmp_path: Path, archives: Any) -> None:
    content = archives.packers["tar"]({"a": b"1" * 512, "b": b"2" * 512})
    with tarfile.open(fileobj=io.BytesIO(content[:1024])) as tar:
        assert tar.getnames() == ["a"], "the standard library is content"
    archives.refused(tmp_path, content[:1024], "it ends before its end mark")


def test_garbled_header_is_noticed(tmp_path: Path, archives: Any) -> None:
    content = bytearray(archives.packers["tar"]({"a": b"1" * 512, "b": b"2" * 512}))
    content[1024 + 150] ^= 0xFF  # in the second member's checksum
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        assert tar.getnames() == ["a"], "the standard library is content"
    archives.refused(tmp_path, bytes(content), "no header at byte 1,024")


@pytest.mark.parametrize("packer", ["tgz", "txz", "tbz", "zip"])
def test_flipped_bit_is_noticed(tmp_path: Path, packer: str, archives: Any) -> None:
    content = bytearray(archives.packers[packer]({"a": os.urandom(5000)}))
    content[len(content) // 2] ^= 1
    archives.refused(tmp_path, bytes(content), "damaged or cut short")


@pytest.mark.parametrize("content", [b"", b"<html>Not found</html>", b"PK\x03\x04", b"\0" * 100])
def test_what_is_no_archive(tmp_path: Path, content: bytes, archives: Any) -> None:
    archives.refused(tmp_path, content, "damaged or cut short")


def test_absent_archive(tmp_path: Path) -> None:
    with pytest.raises(ReplicationError, match=r"no\.tar` is not there"):
        unpack(tmp_path / "no.tar", tmp_path / "out", progress=False)


def test_encrypted_zip(tmp_path: Path, archives: Any) -> None:
    content = bytearray(archives.zip_with())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    archives.refused(tmp_path, bytes(content), "encrypted file, 'bad'")


def test_zip_packed_in_an_unknown_way(tmp_path: Path, archives: Any) -> None:
    content = bytearray(archives.zip_with())
    content[content.index(b"PK\x01\x02") + 10] = 77
    archives.refused(tmp_path, bytes(content), "packed in an unknown way")


def test_zip_that_lies_about_a_size(tmp_path: Path, archives: Any) -> None:
    content = bytearray(archives.packers["zip"]({"bad": b"x" * 1000}))
    at = content.index(b"PK\x01\x02") + 24
    assert int.from_bytes(content[at : at + 4], "little") == 1000
    for size in (10, 2000):
        content[at : at + 4] = size.to_bytes(4, "little")
        archives.refused(tmp_path, bytes(content), "damaged or cut short")
