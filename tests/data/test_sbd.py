"""SBD's labels, train_aug, and VOC with SBD as one prepared set."""

import hashlib
import tarfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy.io import savemat

from replication.data.canonical import DataSet, ids_sha256, read_ids
from replication.data.labels import VOID, read_label, write_label
from replication.data.palette import VOC_CLASSES
from replication.data.prepare import prepare
from replication.data.sbd import (
    derive_trainaug,
    find_sbd,
    read_sbd_label,
    read_trainaug,
    sbd_ids,
)
from replication.data.voc import EXPECTED, Expected
from replication.errors import ReplicationError

SIZE = (9, 14)  # H, W
VOC = {"train": ["v2", "v1"], "val": ["w1", "w2"]}
SBD = {"train": ["v1", "s2", "w1"], "val": ["s1", "s3"]}  # v1: both label it; w1: VOC's val
SBD_VALUE, VOC_VALUE = 7, 12


def save_mat(path: Path, label: Any) -> None:
    boundaries = np.empty((20, 1), object)  # as in the archive: boundaries and classes beside it
    boundaries[:, 0] = [np.zeros((1, 1), np.uint8)] * 20
    fields = {"Boundaries": boundaries, "Segmentation": label, "CategoriesPresent": [[1.0]]}
    savemat(path, {"GTcls": fields}, do_compression=True)


def save_image(path: Path, size: tuple[int, int] = SIZE) -> None:
    """Draw a photograph that only its name decides."""
    seed = int(hashlib.sha256(path.name.encode()).hexdigest()[:8], 16)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    tree = tmp_path / "voc" / "VOCdevkit" / "VOC2012"
    lists = tree / "ImageSets" / "Segmentation"
    for folder in (lists, tree / "JPEGImages", tree / "SegmentationClass"):
        folder.mkdir(parents=True)
    for split, ids in VOC.items():
        (lists / f"{split}.txt").write_text("\n".join(ids) + "\n")
        for name in ids:
            save_image(tree / "JPEGImages" / f"{name}.jpg")
            label = np.full(SIZE, VOC_VALUE, np.uint8)
            label[0] = VOID
            write_label(tree / "SegmentationClass" / f"{name}.png", label)
    save_image(tree / "JPEGImages" / "s1.jpg")  # s1's photograph is in both archives, s2's in SBD's
    return tree


@pytest.fixture
def sbd(tmp_path: Path) -> Path:
    tree = tmp_path / "sbd" / "benchmark_RELEASE" / "dataset"
    for folder in (tree / "cls", tree / "img"):
        folder.mkdir(parents=True)
    for split, ids in SBD.items():
        (tree / f"{split}.txt").write_text("\n".join(ids) + "\n")
        for name in ids:
            save_image(tree / "img" / f"{name}.jpg")
            save_mat(tree / "cls" / f"{name}.mat", np.full(SIZE, SBD_VALUE, np.uint8))
    return tree


def prepared(voc: Path, sbd: Path | None, **options: Any) -> DataSet:
    into = voc.parents[2] / "data" / "voc"
    settings = {"official": False, "sources": [{"name": "VOC"}], "progress": False} | options
    return prepare(partial(read_trainaug, voc, sbd), settings.pop("into", into), **settings)


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float64])
def test_labels_are_read(tmp_path: Path, dtype: type) -> None:
    label = (np.arange(9 * 14) % 21).reshape(SIZE)
    save_mat(tmp_path / "a.mat", label.astype(dtype))
    read = read_sbd_label(tmp_path / "a.mat")
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, label)


@pytest.mark.parametrize("value", [21, 255, -1, 0.5, np.nan])
def test_other_values_are_refused(tmp_path: Path, value: float) -> None:
    label = np.zeros(SIZE)
    label[2, 3:5] = value
    save_mat(tmp_path / "a.mat", label)
    with pytest.raises(ReplicationError, match=rf"a\.mat: .*value {value}.*\(2 pixels .*0\.\.20"):
        read_sbd_label(tmp_path / "a.mat")


def test_broken_labels_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    save_mat(path, np.random.default_rng(0).integers(0, 21, (60, 70)).astype(np.uint8))
    whole = path.read_bytes()
    for share in (0.0, 0.02, 0.05, 0.1, 0.5, 0.9):
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(ReplicationError, match=r"a\.mat: the SBD label is broken") as caught:
            read_sbd_label(path)
        assert "\n" not in str(caught.value)
    path.write_bytes(b"no MATLAB file " * 40)
    with pytest.raises(ReplicationError, match=r"a\.mat: the SBD label is broken"):
        read_sbd_label(path)
    with pytest.raises(ReplicationError, match=r"b\.mat: there is no such SBD label"):
        read_sbd_label(tmp_path / "b.mat")


def test_other_structures_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    savemat(path, {"GTinst": {"Segmentation": np.zeros(SIZE, np.uint8)}})
    with pytest.raises(ReplicationError, match=r"a\.mat: the SBD label is broken \(KeyError"):
        read_sbd_label(path)
    savemat(path, {"GTcls": np.zeros(SIZE, np.uint8)})
    with pytest.raises(ReplicationError, match=r"a\.mat: the SBD label is broken"):
        read_sbd_label(path)
    for odd in (np.zeros((*SIZE, 3), np.uint8), "text", np.zeros((0, 4), np.uint8)):
        save_mat(path, odd)
        with pytest.raises(ReplicationError, match=r"a\.mat: .*not a map of classes"):
            read_sbd_label(path)


@given(st.sets(st.integers(0, 30)), st.sets(st.integers(0, 30)), st.sets(st.integers(0, 30)))
def test_trainaug_by_membership(train: set[int], sbd: set[int], val: set[int]) -> None:
    expected = [f"{i:02}" for i in range(31) if (i in train or i in sbd) and i not in val]
    names = [[f"{i:02}" for i in side] for side in (train, sbd, val)]
    assert derive_trainaug(*names) == expected


def test_trainaug_of_the_published_lists(shared: Path) -> None:
    train, val, published = (
        read_ids(shared / "paper" / "lists" / f"voc2012_{name}.txt")
        for name in ("train", "val", "train_aug")
    )
    # What SBD must hold for the published list to come out, with some of VOC's train and val.
    sbd = sorted(set(published) - set(train)) + train[::3] + val[::2]
    derived = derive_trainaug(train, sbd, val)
    assert derived == sorted(published)
    assert EXPECTED["trainaug"] == Expected(10_582, ids_sha256(derived))


def test_the_tree_is_found(sbd: Path, tmp_path: Path) -> None:
    for root in (tmp_path / "sbd", sbd.parent, sbd):
        assert find_sbd(root) == sbd
    assert sbd_ids(sbd) == ["v1", "s2", "w1", "s1", "s3"]
    with pytest.raises(ReplicationError, match=r"no SBD \(its benchmark_RELEASE/dataset\) here"):
        find_sbd(sbd / "img")
    (sbd / "val.txt").write_text("s1\nv1\n")
    with pytest.raises(ReplicationError, match=r"val\.txt: id `v1` is in train\.txt as well"):
        sbd_ids(sbd)


def test_prepared(voc: Path, sbd: Path) -> None:
    data = prepared(voc, sbd)
    assert data.classes == VOC_CLASSES
    assert data.ids("train") == VOC["train"]
    assert data.ids("val") == VOC["val"]
    assert data.ids("trainaug") == ["s1", "s2", "s3", "v1", "v2"]
    for name in data.ids("trainaug"):
        label = read_label(data.label_path(name), 21)
        if name.startswith("s"):
            assert (label == SBD_VALUE).all()
        else:  # VOC's label is used where both label an image
            assert (label[0] == VOID).all()
            assert (label[1:] == VOC_VALUE).all()
    splits = data.meta["splits"]
    assert {split: entry["count"] for split, entry in splits.items()} == {
        "train": 2, "val": 2, "trainaug": 5,
    }  # fmt: skip
    assert splits["trainaug"]["class_pixels"][SBD_VALUE] == 3 * 9 * 14
    assert splits["trainaug"]["class_pixels"][VOC_VALUE] == 2 * 8 * 14
    assert splits["trainaug"]["void_pixels"] == 2 * 14
    assert data.meta["images"] == 7


def test_without_sbd_there_is_no_trainaug(voc: Path) -> None:
    data = prepared(voc, None)
    assert sorted(data.meta["splits"]) == ["train", "val"]
    with pytest.raises(ReplicationError, match="no split `trainaug`; this set has train, val"):
        data.ids("trainaug")


def test_limits(voc: Path, sbd: Path) -> None:
    data = prepared(voc, sbd, limits={"val": 1, "trainaug": 3})
    assert data.ids("val") == ["w1"]
    assert data.ids("trainaug") == ["s1", "s2", "s3"]
    assert data.ids("train") == VOC["train"]
    assert not (data.root / "images" / "w2.jpg").exists()


def test_what_is_declared_official_must_be(voc: Path, sbd: Path) -> None:
    with pytest.raises(ReplicationError, match=r"`train` has 2 ids .* official one 1464"):
        prepared(voc, sbd, official=True)


def test_sizes_differ(voc: Path, sbd: Path) -> None:
    save_mat(sbd / "cls" / "s2.mat", np.zeros((14, 9), np.uint8))
    with pytest.raises(ReplicationError, match=r"s2\.mat: the label is 9x14 pixels"):
        prepared(voc, sbd)


def test_bad_mat(voc: Path, sbd: Path) -> None:
    (sbd / "cls" / "s3.mat").write_bytes(b"")
    with pytest.raises(ReplicationError, match=r"s3\.mat: the SBD label is broken"):
        prepared(voc, sbd)


def test_missing_files(voc: Path, sbd: Path) -> None:
    (sbd / "img" / "s3.jpg").unlink()
    with pytest.raises(ReplicationError, match="img: no image for listed id `s3`"):
        prepared(voc, sbd)
    (sbd / "cls" / "s1.mat").unlink()
    with pytest.raises(ReplicationError, match=r"cls: no s1\.mat"):
        prepared(voc, sbd)


def test_voc_train_with_val_inside(voc: Path, sbd: Path) -> None:
    (voc / "ImageSets" / "Segmentation" / "train.txt").write_text("v1\nw2\n")
    with pytest.raises(ReplicationError, match=r"`train` holds 1 of .*\(w2\)"):
        prepared(voc, sbd)


def test_archives(voc: Path, sbd: Path, tmp_path: Path) -> None:
    for other in (voc / "Annotations", sbd / "inst"):
        other.mkdir()
        (other / "s1.xml").write_text("not wanted")
    with tarfile.open(tmp_path / "VOCtrainval.tar", "w") as archive:
        archive.add(voc.parent, "VOCdevkit")
    with tarfile.open(tmp_path / "benchmark.tgz", "w:gz") as archive:
        archive.add(sbd.parent, "benchmark_RELEASE")
    plain = prepared(voc, sbd)
    into = tmp_path / "data" / "packed"
    data = prepared(tmp_path / "VOCtrainval.tar", tmp_path / "benchmark.tgz", into=into, name="voc")
    assert data.meta == plain.meta
    assert data.image_path("s2").stat().st_nlink == 1  # the work folder is gone
    assert sorted(p.name for p in data.root.parent.iterdir()) == ["packed", "voc"]
