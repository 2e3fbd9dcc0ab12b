"""Unpacking: what is harmless comes out byte for byte, and nothing else comes out at all."""

import bz2
import errno
import gzip
import io
import lzma
import os
import shutil
import signal
import stat
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replication.data import unpack as unpack_module
from replication.data.unpack import Limits, safe_name, unpack
from replication.errors import ReplicationError

Tree = dict[str, bytes]
TREE: Tree = {
    "VOCdevkit/VOC2012/JPEGImages/a.jpg": os.urandom(3000),
    "VOCdevkit/VOC2012/SegmentationClass/a.png": bytes(range(256)) * 20,
    "VOCdevkit/VOC2012/Annotations/a.xml": b"<annotation/>",
    "VOCdevkit/empty.txt": b"",
}


def _member(name: str, content: bytes = b"", **changes: Any) -> tuple[tarfile.TarInfo, bytes]:
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
    return tar_bytes(*(_member(name, content) for name, content in tree.items()))


def pack_gnu(tree: Tree) -> bytes:
    members = [_member(f"./{name}", content) for name, content in tree.items()]
    return tar_bytes(_member("./", type=tarfile.DIRTYPE), *members, form=tarfile.GNU_FORMAT)


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


def read_tree(folder: Path) -> Tree:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def _put(folder: Path, content: bytes, name: str = "thing.tar") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def _refused(tmp_path: Path, content: bytes, match: str, **options: Any) -> None:
    """Unpacking must fail with one line that names the archive, and leave nothing behind."""
    archive = _put(tmp_path, content)
    with pytest.raises(ReplicationError, match=match) as caught:
        unpack(archive, tmp_path / "out", progress=False, **options)
    assert str(archive) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert {path.name for path in tmp_path.iterdir()} <= {"thing.tar", ".out.lock"}


@pytest.mark.parametrize("packer", PACKERS)
def test_round_trip(tmp_path: Path, packer: str) -> None:
    # the name says nothing: SBD's .tgz has been met as a plain tar
    archive = _put(tmp_path, PACKERS[packer](TREE), "named.anyhow")
    assert unpack(archive, tmp_path / "out", progress=False) == tmp_path / "out"
    assert read_tree(tmp_path / "out") == TREE
    assert {path.name for path in tmp_path.iterdir()} == {"named.anyhow", "out", ".out.lock"}


_PARTS = st.text(
    st.characters(codec="utf-8", exclude_characters="/\\:\0", exclude_categories=["Cs"]),
    min_size=1,
    max_size=20,
).filter(lambda part: part not in (".", ".."))


@st.composite
def _trees(draw: st.DrawFn) -> Tree:
    """Any tree of files in which no name is both a file and a folder."""
    tree: Tree = {}
    for parts in draw(st.lists(st.lists(_PARTS, min_size=1, max_size=4), min_size=1, max_size=8)):
        name = "/".join(parts)
        clash = any(
            name == other or other.startswith(f"{name}/") or name.startswith(f"{other}/")
            for other in tree
        )
        if not clash:
            tree[name] = draw(st.binary(max_size=600))
    return tree


@settings(max_examples=40, deadline=None)
@given(tree=_trees(), packer=st.sampled_from(sorted(PACKERS)))
def test_unpack_undoes_pack(tree: Tree, packer: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        archive = _put(folder, PACKERS[packer](tree))
        unpack(archive, folder / "out", progress=False)
        assert read_tree(folder / "out") == tree


@settings(max_examples=150, deadline=None)
@given(data=st.data(), packer=st.sampled_from(sorted(PACKERS)))
def test_any_cut_is_noticed(data: st.DataObject, packer: str) -> None:
    tree = {"a/one.txt": b"1" * 700, "b.txt": b"2" * 512, "c.bin": bytes(range(256))}
    content = PACKERS[packer](tree)
    # a tar's padding after its end mark carries nothing
    meaningful = len(content.rstrip(b"\0")) if packer in ("tar", "gnu") else len(content)
    cut = data.draw(st.integers(0, meaningful - 1))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        archive = _put(folder, content[:cut])
        with pytest.raises(ReplicationError, match=r"damaged or cut short .*delete it and fetch"):
            unpack(archive, folder / "out", progress=False)
        assert not (folder / "out").exists()


def test_tar_cut_between_members_is_noticed(tmp_path: Path) -> None:
    content = pack_tar({"a": b"1" * 512, "b": b"2" * 512})
    with tarfile.open(fileobj=io.BytesIO(content[:1024])) as tar:
        assert tar.getnames() == ["a"], "the standard library is content"
    _refused(tmp_path, content[:1024], "it ends before its end mark")


def test_garbled_header_is_noticed(tmp_path: Path) -> None:
    content = bytearray(pack_tar({"a": b"1" * 512, "b": b"2" * 512}))
    content[1024 + 150] ^= 0xFF  # in the second member's checksum
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        assert tar.getnames() == ["a"], "the standard library is content"
    _refused(tmp_path, bytes(content), "no header at byte 1,024")


@pytest.mark.parametrize("packer", ["tgz", "txz", "tbz", "zip"])
def test_flipped_bit_is_noticed(tmp_path: Path, packer: str) -> None:
    content = bytearray(PACKERS[packer]({"a": os.urandom(5000)}))
    content[len(content) // 2] ^= 1
    _refused(tmp_path, bytes(content), "damaged or cut short")


@pytest.mark.parametrize("content", [b"", b"<html>Not found</html>", b"PK\x03\x04", b"\0" * 100])
def test_what_is_no_archive(tmp_path: Path, content: bytes) -> None:
    _refused(tmp_path, content, "damaged or cut short")


def test_absent_archive(tmp_path: Path) -> None:
    with pytest.raises(ReplicationError, match=r"no\.tar` is not there"):
        unpack(tmp_path / "no.tar", tmp_path / "out", progress=False)


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
    tmp_path: Path, packed: Callable[[bytes], bytes], changes: dict[str, Any], what: str
) -> None:
    content = tar_bytes(_member("good", b"good"), _member("bad", **changes))
    _refused(tmp_path, packed(content), f"it holds a {what}.*'bad'")


def test_link_and_then_a_file_through_it(tmp_path: Path) -> None:
    victim = tmp_path.parent / f"{tmp_path.name}-victim"
    link = _member("door", type=tarfile.SYMTYPE, linkname=str(victim))
    _refused(tmp_path, tar_bytes(link, _member("door/file", b"x")), "link")
    assert not victim.exists()


def test_sparse_member(tmp_path: Path) -> None:
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
    _refused(tmp_path, made.stdout, "sparse")


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
def test_names_that_leave(tmp_path: Path, name: str, packer: str) -> None:
    _refused(tmp_path, PACKERS[packer]({"good": b"1", name: b"2"}), "it holds|outside")
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
def test_names_that_come_twice(tmp_path: Path, packer: str, names: tuple[str, str]) -> None:
    if packer == "tar":
        content = tar_bytes(_member(names[0], b"1"), _member(names[1], b"2"))
    else:
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            archive.writestr(names[0], b"1")
            archive.writestr(names[1], b"2")
        content = out.getvalue()
    _refused(tmp_path, content, "twice|a file and a folder")


def test_folder_may_come_twice(tmp_path: Path) -> None:
    folder = _member("a", type=tarfile.DIRTYPE)
    archive = _put(tmp_path, tar_bytes(folder, _member("a/b", b"1"), folder))
    assert read_tree(unpack(archive, tmp_path / "out", progress=False)) == {"a/b": b"1"}


def _zip_with(**changes: Any) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        info = zipfile.ZipInfo("bad")
        for key, value in changes.items():
            setattr(info, key, value)
        archive.writestr(info, b"target")
    return out.getvalue()


@pytest.mark.parametrize(
    ("mode", "what"), [(stat.S_IFLNK, "link"), (stat.S_IFCHR, "device"), (stat.S_IFIFO, "pipe")]
)
def test_special_zip_members(tmp_path: Path, mode: int, what: str) -> None:
    _refused(tmp_path, _zip_with(external_attr=(mode | 0o777) << 16), f"{what}.*'bad'")


def test_encrypted_zip(tmp_path: Path) -> None:
    content = bytearray(_zip_with())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    _refused(tmp_path, bytes(content), "encrypted file, 'bad'")


def test_zip_packed_in_an_unknown_way(tmp_path: Path) -> None:
    content = bytearray(_zip_with())
    content[content.index(b"PK\x01\x02") + 10] = 77
    _refused(tmp_path, bytes(content), "packed in an unknown way")


def test_zip_that_lies_about_a_size(tmp_path: Path) -> None:
    content = bytearray(pack_zip({"bad": b"x" * 1000}))
    at = content.index(b"PK\x01\x02") + 24
    assert int.from_bytes(content[at : at + 4], "little") == 1000
    for size in (10, 2000):
        content[at : at + 4] = size.to_bytes(4, "little")
        _refused(tmp_path, bytes(content), "damaged or cut short")


@pytest.mark.parametrize("packer", ["tgz", "zip"])
def test_bomb_by_size(tmp_path: Path, packer: str) -> None:
    content = PACKERS[packer]({f"{i}": bytes(1 << 20) for i in range(4)})
    _refused(
        tmp_path, content, r"unpacks to more than 3,145,728 bytes", limits=Limits(floor=3 << 20)
    )


def test_bomb_in_members_that_are_not_wanted(tmp_path: Path) -> None:
    content = PACKERS["tgz"]({"good": b"1", "bad": bytes(4 << 20)})
    _refused(
        tmp_path,
        content,
        "unpacks to more than",
        limits=Limits(floor=1 << 20),
        wanted=lambda name: name == "good",
    )


def test_bomb_by_number(tmp_path: Path) -> None:
    _refused(
        tmp_path,
        pack_tar({f"{i}": b"" for i in range(11)}),
        "more than 10 members",
        limits=Limits(members=10),
    )


def test_bomb_in_a_header(tmp_path: Path) -> None:
    # a pax header of 64 MiB, which tarfile would read whole
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, 1 << 26
    content = header.tobuf(tarfile.USTAR_FORMAT) + bytes(1 << 26) + pack_tar({"a": b"1"})
    _refused(tmp_path, gzip.compress(content, 1), "a header asks for 67,108,864 bytes")


def test_bomb_behind_the_end(tmp_path: Path) -> None:
    content = pack_tar({"a": b"1"}) + bytes(80 << 20)
    _refused(
        tmp_path, gzip.compress(content, 1), "far more than", limits=Limits(floor=1 << 20, ratio=1)
    )


def test_declared_size_alone_is_enough_to_refuse(tmp_path: Path) -> None:
    header = tarfile.TarInfo("huge")
    header.size = 1 << 40
    _refused(tmp_path, header.tobuf(tarfile.GNU_FORMAT), "unpacks to more than")


def test_wanted_members_only(tmp_path: Path) -> None:
    asked: list[str] = []

    def wanted(name: str) -> bool:
        asked.append(name)
        return "/Annotations/" not in name

    archive = _put(tmp_path, pack_gnu(TREE))
    unpack(archive, tmp_path / "out", progress=False, wanted=wanted)
    assert read_tree(tmp_path / "out") == {
        k: v for k, v in TREE.items() if "/Annotations/" not in k
    }
    assert set(asked) == {".", *TREE}
    assert not (tmp_path / "out/VOCdevkit/VOC2012/Annotations").exists()


def test_nothing_wanted(tmp_path: Path) -> None:
    _refused(tmp_path, pack_tar(TREE), "nothing that is wanted", wanted=lambda name: False)


def test_target_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    archive = _put(tmp_path, pack_tar(TREE))
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine").write_text("precious")
    with pytest.raises(ReplicationError, match=r"out` exists already: delete it"):
        unpack(archive, out, progress=False)
    assert read_tree(out) == {"mine": b"precious"}
    (out / "mine").unlink()
    assert read_tree(unpack(archive, out, progress=False)) == TREE  # an empty folder is fine


def test_permissions_are_this_machine_s(tmp_path: Path) -> None:
    archive = _put(tmp_path, tar_bytes(_member("a", b"1", mode=0o6777, uid=12345)))
    file = unpack(archive, tmp_path / "out", progress=False) / "a"
    assert stat.S_IMODE(file.stat().st_mode) & 0o7111 == 0
    assert file.stat().st_uid == os.getuid()


def test_old_python_without_filters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(tarfile, "data_filter", raising=False)  # Python 3.11.0 to 3.11.3
    archive = _put(tmp_path, pack_tar(TREE))
    assert read_tree(unpack(archive, tmp_path / "out", progress=False)) == TREE
    shutil.rmtree(tmp_path / "out")
    for name in BAD_NAMES:
        _refused(tmp_path, pack_tar({name: b"1"}), "it holds")


def test_disk_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(unpack_module, "_write", full)
    _refused(tmp_path, pack_tar(TREE), r"no room in .* to unpack `.*thing\.tar`")


def test_really_full_disk(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(small)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("may not mount a small file system here")
    try:
        archive = _put(tmp_path, pack_tar({f"{i}": os.urandom(100_000) for i in range(5)}))
        with pytest.raises(ReplicationError, match=r"no room in .* to unpack `.*thing\.tar`"):
            unpack(archive, small / "out", progress=False)
        assert {path.name for path in small.iterdir()} == {".out.lock"}
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)


def test_killed_half_way_leaves_nothing_under_the_name(tmp_path: Path) -> None:
    archive = _put(tmp_path, gzip.compress(pack_tar({f"{i}": bytes(500) for i in range(2000)}), 1))
    code = (
        "import sys, time; from pathlib import Path; from replication.data.unpack import unpack;"
        "unpack(Path(sys.argv[1]), Path(sys.argv[2]), progress=False,"
        " wanted=lambda name: name != '50' or time.sleep(60) is None)"
    )
    repository = Path(unpack_module.__file__).parents[2]
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(archive), str(tmp_path / "out")],
        env=os.environ | {"PYTHONPATH": str(repository)},
    )
    half = tmp_path / ".out.unpacking"
    until = time.monotonic() + 120
    while len(list(half.glob("*"))) < 50:
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert not (tmp_path / "out").exists()
    unpack(archive, tmp_path / "out", progress=False)
    assert len(read_tree(tmp_path / "out")) == 2000
    assert not half.exists()


def test_second_process_takes_what_the_first_unpacked(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    import threading

    archive = _put(tmp_path, pack_tar(TREE))
    begun, release = threading.Event(), threading.Event()

    def slow(name: str) -> bool:
        begun.set()
        return release.wait(30)

    def later() -> None:
        while "another process" not in caplog.text:
            time.sleep(0.01)
        release.set()

    options: dict[str, Any] = {"progress": False}
    first = threading.Thread(
        target=unpack, args=(archive, tmp_path / "out"), kwargs=options | {"wanted": slow}
    )
    helper = threading.Thread(target=later)
    first.start()
    begun.wait(30)
    helper.start()
    assert read_tree(unpack(archive, tmp_path / "out", **options)) == TREE
    first.join()
    helper.join()
