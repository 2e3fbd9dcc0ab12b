"""Members that nobody packs in good faith: links, devices, names that leave the folder."""

import gzip
import io
import os
import shutil
import stat
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replication.data import unpack as unpack_module
from replication.data.unpack import safe_name, unpack


@pytest.mark.parametrize("packed", [lambda content: content, gzip.compress])
@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"type": tarfile.SYMTYPE, "linkname": "../../etc/passwd"}, "link"),
        ({"type": tarfile.SYMTYPE, "linkname": "good"}, "link"),
        ({"type": tarfile.LNKTYPE, "linkname": "good"}, "link"),
        ({"type": tarfile.CHRTYPE}, "device"),
        ({"type": tarfile.BLKTYPE}, "device"),
        ({"type": tarfile.FIFOTYPE}, "device, pipe"),
    ],
)
def test_special_tar_members(
    tmp_path: Path,
    packed: Callable[[bytes], bytes],
    changes: dict[str, Any],
    what: str,
    archives: Any,
) -> None:
    content = archives.tar_bytes(
        archives.member("good", b"good"), archives.member("bad", **changes)
    )
    archives.refused(tmp_path, packed(content), f"it holds a {what}.*'bad'")


def test_link_and_then_a_file_through_it(tmp_path: Path, archives: Any) -> None:
    victim = tmp_path.parent / f"{tmp_path.name}-victim"
    link = archives.member("door", type=tarfile.SYMTYPE, linkname=str(victim))
    archives.refused(tmp_path, archives.tar_bytes(link, archives.member("door/file", b"x")), "link")
    assert not victim.exists()


def test_sparse_member(tmp_path: Path, archives: Any) -> None:
    if shutil.which("tar") is None:
        pytest.skip("no tar program")
    with (tmp_path / "sparse").open("wb") as stream:
        stream.truncate(1 << 24)
        stream.write(b"x")
    made = subprocess.run(
        ["tar", "--sparse", "--format=gnu", "-cf", "-", "sparse"],
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    (tmp_path / "sparse").unlink()
    if made.returncode or len(made.stdout) > 1 << 20:
        pytest.skip("this tar program packs no sparse files")
    archives.refused(tmp_path, made.stdout, "sparse")


BAD_NAMES = [
    "/etc/passwd",
    "//etc/passwd",
    "../out-of-here",
    "a/../../out-of-here",
    "a/..",
    "..",
    "C:/windows",
    "C:stream",
    "..\\out-of-here",
    "a\\b",
]


@pytest.mark.parametrize("name", BAD_NAMES)
@pytest.mark.parametrize("packer", ["tar", "zip"])
def test_names_that_leave(tmp_path: Path, name: str, packer: str, archives: Any) -> None:
    archives.refused(
        tmp_path, archives.packers[packer]({"good": b"1", name: b"2"}), "it holds|outside"
    )
    assert not (tmp_path.parent / "out-of-here").exists()


@given(name=st.text())
def test_safe_name_never_leaves(name: str) -> None:
    try:
        safe = safe_name(name)
    except unpack_module.Refused:
        return
    folder = Path("/folder")
    assert folder in [*(folder / safe).parents, folder / safe]
    assert os.path.normpath(folder / safe) == str(folder / safe)


@pytest.mark.parametrize("packer", ["tar", "zip"])
@pytest.mark.parametrize("names", [("a", "a"), ("a", "./a"), ("a", "a/b"), ("a/b", "a")])
@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
def test_names_that_come_twice(
    tmp_path: Path, packer: str, names: tuple[str, str], archives: Any
) -> None:
    if packer == "tar":
        content = archives.tar_bytes(
            archives.member(names[0], b"1"), archives.member(names[1], b"2")
        )
    else:
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            archive.writestr(names[0], b"1")
            archive.writestr(names[1], b"2")
        content = out.getvalue()
    archives.refused(tmp_path, content, "twice|a file and a folder")


@pytest.mark.parametrize(
    ("mode", "what"), [(stat.S_IFLNK, "link"), (stat.S_IFCHR, "device"), (stat.S_IFIFO, "pipe")]
)
def test_special_zip_members(tmp_path: Path, mode: int, what: str, archives: Any) -> None:
    archives.refused(
        tmp_path, archives.zip_with(external_attr=(mode | 0o777) << 16), f"{what}.*'bad'"
    )


def test_old_python_without_filters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, archives: Any
) -> None:
    monkeypatch.delattr(tarfile, "data_filter", raising=False)  # Python 3.11.0 to 3.11.3
    archive = archives.put(tmp_path, archives.packers["tar"](archives.tree))
    assert archives.read_tree(unpack(archive, tmp_path / "out", progress=False)) == archives.tree
    shutil.rmtree(tmp_path / "out")
    for name in BAD_NAMES:
        archives.refused(tmp_path, archives.packers["tar"]({name: b"1"}), "it holds")
