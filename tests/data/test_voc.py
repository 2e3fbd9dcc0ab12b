"""VOC's tree, wherever it is nested, and the hashes of its official lists."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from replication.data.canonical import read_ids
from replication.data.labels import read_label, write_label
from replication.data.voc import EXPECTED, Expected, check_expected, find_voc, voc_ids, voc_items
from replication.errors import ReplicationError

LISTS = {"train": ["2007_000002", "2007_000001"], "val": ["2007_000003"]}


@pytest.fixture(params=["VOC2012", "VOCdevkit/VOC2012", "TrainVal/VOCdevkit/VOC2012", "."])
def tree(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    tree = tmp_path / request.param
    lists = tree / "ImageSets" / "Segmentation"
    for folder in (lists, tree / "JPEGImages", tree / "SegmentationClass"):
        folder.mkdir(parents=True)
    for split, ids in (LISTS | {"trainval": sorted(LISTS["train"] + LISTS["val"])}).items():
        (lists / f"{split}.txt").write_text("\n".join(ids) + "\n")
        for name in ids:
            Image.new("RGB", (5, 4)).save(tree / "JPEGImages" / f"{name}.jpg")
            write_label(tree / "SegmentationClass" / f"{name}.png", np.full((4, 5), 20, np.uint8))
    Image.new("RGB", (5, 4)).save(tree / "JPEGImages" / "2007_000009.jpg")  # not for segmentation
    return tree


def test_the_tree_is_found_where_it_is_nested(tree: Path, tmp_path: Path) -> None:
    assert find_voc(tmp_path).resolve() == tree.resolve()


def test_splits_and_files(tree: Path) -> None:
    assert voc_ids(tree, "train") == ["2007_000002", "2007_000001"]
    assert voc_ids(tree, "trainval") == ["2007_000001", "2007_000002", "2007_000003"]
    items = voc_items(tree, voc_ids(tree, "val"))
    assert list(items) == ["2007_000003"]
    item = items["2007_000003"]
    assert item.image == tree / "JPEGImages" / "2007_000003.jpg"
    assert item.read is read_label
    assert (item.read(item.label, 21) == 20).all()
    with pytest.raises(ReplicationError, match=r"test\.txt: the list is missing"):
        voc_ids(tree, "test")


def test_missing_files(tree: Path) -> None:
    (tree / "SegmentationClass" / "2007_000003.png").unlink()
    with pytest.raises(ReplicationError, match=r"SegmentationClass: no label .* `2007_000003`"):
        voc_items(tree, ["2007_000003"])
    with pytest.raises(ReplicationError, match=r"JPEGImages: no image .* `2007_000004`"):
        voc_items(tree, ["2007_000004"])


def test_of_several_devkits_2012_is_taken(tmp_path: Path) -> None:
    for year in (2007, 2012):
        for mark in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
            (tmp_path / "VOCdevkit" / f"VOC{year}" / mark).mkdir(parents=True)
    assert find_voc(tmp_path).name == "VOC2012"
    (tmp_path / "VOCdevkit" / "VOC2012").rename(tmp_path / "VOCdevkit" / "VOC2010")
    with pytest.raises(ReplicationError, match="several folders hold VOC tree"):
        find_voc(tmp_path)


def test_no_tree(tmp_path: Path) -> None:
    with pytest.raises(ReplicationError, match=r"no VOC tree here; expected .* JPEGImages"):
        find_voc(tmp_path)


def test_expected_lists() -> None:
    ids = ["b", "a"]
    expected = Expected(2, hashlib.sha256(b"a\nb\n").hexdigest())
    check_expected("train", ids, expected)
    check_expected("train", ["a"], None)
    for wrong in (["a"], ["a", "c"]):
        with pytest.raises(ReplicationError, match=rf"`train` has {len(wrong)} ids"):
            check_expected("train", wrong, expected)


def test_official_lists_have_the_expected_hashes(shared: Path) -> None:
    lists = shared / "paper" / "lists"
    files = {"train": "voc2012_train", "val": "voc2012_val", "trainaug": "voc2012_train_aug"}
    for split, name in files.items():
        check_expected(split, read_ids(lists / f"{name}.txt"), EXPECTED[split])
