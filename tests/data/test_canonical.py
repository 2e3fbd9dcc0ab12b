"""A prepared data set: what opens, and what is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from replication.data.canonical import DataSet, files_by_id, ids_sha256, read_ids
from replication.data.labels import write_label
from replication.data.palette import voc_palette
from replication.errors import ReplicationError

IDS = {"train": ["b", "a.1"], "val": ["c"]}


def change_meta(root: Path, **changes: Any) -> None:
    path = root / "meta.json"
    meta = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in meta.items() if value is not None}))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for folder in ("images", "labels", "splits"):
        (tmp_path / folder).mkdir()
    for split, ids in IDS.items():
        (tmp_path / "splits" / f"{split}.txt").write_text("\n".join(ids) + "\n")
        for name in ids:
            suffix = "png" if name == "c" else "jpg"
            Image.new("RGB", (4, 3)).save(tmp_path / "images" / f"{name}.{suffix}")
            write_label(tmp_path / "labels" / f"{name}.png", np.zeros((3, 4), np.uint8))
    meta = {
        "name": "tiny",
        "classes": ["ground", "thing"],
        "palette": voc_palette().tolist(),
        "void": 255,
        "splits": {s: {"count": len(i), "sha256": ids_sha256(i)} for s, i in IDS.items()},
        "sources": [],
    }
    (tmp_path / "meta.json").write_text(json.dumps(meta))
    return tmp_path


def test_opens(root: Path) -> None:
    data = DataSet.open(root)
    assert (data.name, data.classes, data.num_classes) == ("tiny", ("ground", "thing"), 2)
    assert data.ids("train") == ["b", "a.1"]
    assert data.image_path("a.1") == root / "images" / "a.1.jpg"
    assert data.image_path("c") == root / "images" / "c.png"
    assert data.label_path("a.1") == root / "labels" / "a.1.png"
    assert data.palette.dtype == np.uint8
    np.testing.assert_array_equal(data.palette, voc_palette())
    assert data.meta["sources"] == []


def test_missing_split(root: Path) -> None:
    with pytest.raises(ReplicationError, match=r"no split `test`; this set has train, val"):
        DataSet.open(root).ids("test")
    (root / "splits" / "val.txt").unlink()
    with pytest.raises(ReplicationError, match=r"val\.txt: there is no split `val`"):
        DataSet.open(root).ids("val")


def test_changed_list(root: Path) -> None:
    (root / "splits" / "val.txt").write_text("c\nb\n")
    with pytest.raises(ReplicationError, match=r"val\.txt: the list was changed"):
        DataSet.open(root).ids("val")


def test_id_listed_twice(root: Path) -> None:
    (root / "splits" / "val.txt").write_text("c\nb\nc\n")
    with pytest.raises(ReplicationError, match=r"val\.txt: id `c` is listed 2 times"):
        DataSet.open(root).ids("val")


@pytest.mark.parametrize("folder", ["images", "labels"])
def test_id_without_file(root: Path, folder: str) -> None:
    (root / folder / "c.png").unlink()
    with pytest.raises(ReplicationError, match=rf"{folder}: no file for id `c`"):
        DataSet.open(root).ids("val")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": None}, "`classes` is missing"),
        ({"classes": []}, "`classes` must be"),
        ({"classes": ["a", "a"]}, "different names"),
        ({"classes": [f"c{i}" for i in range(256)]}, "at most 255"),
        ({"palette": [[0, 0, 0]]}, "`palette`"),
        ({"palette": [3] * 256}, "`palette`"),
        ({"void": 0}, "`void` is 0"),
        ({"splits": {"train": 3}}, "`splits`"),
    ],
)
def test_broken_meta(root: Path, changes: dict[str, Any], message: str) -> None:
    change_meta(root, **changes)
    with pytest.raises(ReplicationError, match=rf"meta\.json: .*{message}"):
        DataSet.open(root)


def test_no_meta(tmp_path: Path) -> None:
    with pytest.raises(ReplicationError, match="no prepared data set here"):
        DataSet.open(tmp_path)
    for text in ("{", "[]"):
        (tmp_path / "meta.json").write_text(text)
        with pytest.raises(ReplicationError, match=r"meta\.json: .*prepare"):
            DataSet.open(tmp_path)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "empty"),
        (b"\n \n", "empty"),
        (b"JPEGImages/a.jpg SegmentationClass/a.png\n", "is no id"),
        (b"..\\a\n", "is no id"),
        (b"..\n", "is no id"),
        (b"a\nb\na \n", "`a` is listed 2 times"),
        (b"\xff\xfe", "UTF-8"),
    ],
)
def test_bad_lists(tmp_path: Path, raw: bytes, message: str) -> None:
    path = tmp_path / "train.txt"
    path.write_bytes(raw)
    with pytest.raises(ReplicationError, match=rf"train\.txt: .*{message}"):
        read_ids(path)


def test_lists_of_other_editors(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_bytes(b"\xef\xbb\xbfb\r\n\r\na \r\n")
    assert read_ids(tmp_path / "train.txt") == ["b", "a"]
    with pytest.raises(ReplicationError, match=r"absent\.txt: the list of ids can't be read"):
        read_ids(tmp_path / "absent.txt")


def test_two_files_for_an_id(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.JPEG", ".hidden.jpg", "notes.txt"):
        (tmp_path / name).touch()
    assert set(files_by_id(tmp_path, (".jpg", ".jpeg"))) == {"a", "b"}
    (tmp_path / "a.jpeg").touch()
    with pytest.raises(ReplicationError, match=r"id `a` has two files, a\.jpeg and a\.jpg"):
        files_by_id(tmp_path, (".jpg", ".jpeg"))


@given(st.lists(st.text("ab_0", min_size=1), unique=True), st.randoms())
def test_the_hash_goes_by_the_set_of_ids(ids: list[str], random: Any) -> None:
    shuffled = random.sample(ids, len(ids))
    assert ids_sha256(shuffled) == ids_sha256(ids)
    assert not ids or ids_sha256(ids[1:]) != ids_sha256(ids)
