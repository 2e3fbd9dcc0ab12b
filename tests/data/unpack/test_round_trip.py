"""What is harmless comes out byte for byte: any tree, packed anyhow, and what is wanted of it."""

import os
import stat
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replication.data.unpack import unpack
from replication.errors import ReplicationError

Tree = dict[str, bytes]
PACKERS = ("tar", "gnu", "tgz", "tbz", "txz", "zip")  # as conftest.py has them


@pytest.mark.parametrize("packer", PACKERS)
def test_round_trip(tmp_path: Path, packer: str, archives: Any) -> None:
    # the name says nothing: SBD's .tgz has been met as a plain tar
    archive = archives.put(tmp_path, archives.packers[packer](archives.tree), "named.anyhow")
    assert unpack(archive, tmp_path / "out", progress=False) == tmp_path / "out"
    assert archives.read_tree(tmp_path / "out") == archives.tree
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
def test_unpack_undoes_pack(tree: Tree, packer: str, archives: Any) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        archive = archives.put(folder, archives.packers[packer](tree))
        unpack(archive, folder / "out", progress=False)
        assert archives.read_tree(folder / "out") == tree


def test_wanted_members_only(tmp_path: Path, archives: Any) -> None:
    asked: list[str] = []

    def wanted(name: str) -> bool:
        asked.append(name)
        return "/Annotations/" not in name

    archive = archives.put(tmp_path, archives.packers["gnu"](archives.tree))
    unpack(archive, tmp_path / "out", progress=False, wanted=wanted)
    assert archives.read_tree(tmp_path / "out") == {
        k: v for k, v in archives.tree.items() if "/Annotations/" not in k
    }
    assert set(asked) == {".", *archives.tree}
    assert not (tmp_path / "out/VOCdevkit/VOC2012/Annotations").exists()


def test_nothing_wanted(tmp_path: Path, archives: Any) -> None:
    archives.refused(
        tmp_path,
        archives.packers["tar"](archives.tree),
        "nothing that is wanted",
        wanted=lambda name: False,
    )


def test_target_that_holds_something_is_left_alone(tmp_path: Path, archives: Any) -> None:
    archive = archives.put(tmp_path, archives.packers["tar"](archives.tree))
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine").write_text("precious")
    with pytest.raises(ReplicationError, match=r"out` exists already: delete it"):
        unpack(archive, out, progress=False)
    assert archives.read_tree(out) == {"mine": b"precious"}
    (out / "mine").unlink()
    assert (
        archives.read_tree(unpack(archive, out, progress=False)) == archives.tree
    )  # an empty folder is fine


def test_permissions_are_this_machine_s(tmp_path: Path, archives: Any) -> None:
    archive = archives.put(
        tmp_path, archives.tar_bytes(archives.member("a", b"1", mode=0o6777, uid=12345))
    )
    file = unpack(archive, tmp_path / "out", progress=False) / "a"
    assert stat.S_IMODE(file.stat().st_mode) & 0o7111 == 0
    assert file.stat().st_uid == os.getuid()


def test_folder_may_come_twice(tmp_path: Path, archives: Any) -> None:
    folder = archives.member("a", type=tarfile.DIRTYPE)
    archive = archives.put(
        tmp_path, archives.tar_bytes(folder, archives.member("a/b", b"1"), folder)
    )
    assert archives.read_tree(unpack(archive, tmp_path / "out", progress=False)) == {"a/b": b"1"}
