"""The packed sample: official layouts, the same bytes every time, readable by others' readers."""

import hashlib
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import loadmat

from replication.data.palette import voc_palette
from replication.data.sample import pack_cityscapes, pack_coco, pack_pascal
from replication.data.sample.pack import (
    CHECKSUMS_FILE,
    SBD_FILE,
    VOC_FILE,
    Counts,
    encode_mat,
    image_id,
    render,
    split_indices,
)
from replication.data.sample.scenes import render as render_scene
from replication.data.sbd import derive_trainaug, find_sbd, read_sbd_label, sbd_ids
from replication.data.voc import find_voc, voc_ids, voc_items
from replication.errors import ReplicationError

OTHERS = [
    pack_pascal.VOC_FILE,
    pack_pascal.CONTEXT_FILE,
    pack_pascal.PART_FILE,
    pack_cityscapes.LABELS_FILE,
    pack_cityscapes.IMAGES_FILE,
    pack_coco.IMAGES_FILE,
    pack_coco.ANNOTATIONS_FILE,
]


@pytest.fixture(scope="module")
def unpacked(few_packed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unpacked")
    for name in (VOC_FILE, SBD_FILE):
        with tarfile.open(few_packed / name) as tar:
            tar.extractall(folder, filter="data")
    return folder


def test_packing_again_with_two_processes_gives_the_same_bytes(
    few: Counts, few_packed: Path, tmp_path: Path
) -> None:
    paths = render(tmp_path, jobs=2, counts=few)
    assert sorted(paths) == sorted([VOC_FILE, SBD_FILE, CHECKSUMS_FILE, *OTHERS])
    for name, path in paths.items():
        assert path.read_bytes() == (few_packed / name).read_bytes(), name


def test_checksums_describe_the_archives(few_packed: Path) -> None:
    checksums = json.loads((few_packed / CHECKSUMS_FILE).read_text())
    assert list(checksums) == [VOC_FILE, SBD_FILE, *OTHERS]
    for name in checksums:
        raw = (few_packed / name).read_bytes()
        assert checksums[name] == {"sha256": hashlib.sha256(raw).hexdigest(), "size": len(raw)}


@pytest.mark.parametrize("name", [VOC_FILE, SBD_FILE, *OTHERS[:3]])
def test_members_are_plain_files_in_order_without_owner_or_clock(
    few_packed: Path, name: str
) -> None:
    with tarfile.open(few_packed / name) as tar:
        members = tar.getmembers()
    assert [m.name for m in members] == sorted(m.name for m in members)
    assert {(m.uid, m.gid, m.uname, m.gname) for m in members} == {(0, 0, "", "")}
    assert len({m.mtime for m in members}) == 1
    assert all(m.isfile() or m.isdir() for m in members)


def test_voc_is_laid_out_as_voc(few: Counts, unpacked: Path) -> None:
    tree = find_voc(unpacked)
    assert tree.relative_to(unpacked) == Path("VOCdevkit/VOC2012")
    assert len(list((tree / "JPEGImages").iterdir())) == few.scenes
    train, val, both = (voc_ids(tree, split) for split in ("train", "val", "trainval"))
    assert (len(train), len(val)) == (few.train, few.val)
    assert both == sorted(train + val)
    assert sorted(voc_items(tree, both)) == both
    for name in both:
        with Image.open(tree / "SegmentationClass" / f"{name}.png") as label:
            assert label.mode == "P"
            assert np.array_equal(np.reshape(label.getpalette() or [], (-1, 3)), voc_palette())


def test_voc_holds_the_scenes_that_were_rendered(few: Counts, unpacked: Path) -> None:
    tree = find_voc(unpacked)
    for index in split_indices(few)["train"][:2]:
        scene = render_scene("sample", index)
        with Image.open(tree / "SegmentationClass" / f"{image_id(index)}.png") as label:
            np.testing.assert_array_equal(np.asarray(label), scene.label)
        with Image.open(tree / "JPEGImages" / f"{image_id(index)}.jpg") as jpeg:
            assert jpeg.mode == "RGB"
            error = np.asarray(jpeg).astype(float) - scene.image
        assert np.abs(error).mean() < 6  # what JPEG takes at this quality


def test_sbd_is_laid_out_as_sbd(few: Counts, unpacked: Path) -> None:
    tree = find_sbd(unpacked)
    assert tree.relative_to(unpacked) == Path("benchmark_RELEASE/dataset")
    splits = split_indices(few)
    assert len(sbd_ids(tree)) == len(splits["sbd_train"] + splits["sbd_val"]) == 9
    for index in splits["sbd_val"]:
        expected = render_scene("sample", index).classes
        path = tree / "cls" / f"{image_id(index)}.mat"
        np.testing.assert_array_equal(read_sbd_label(path), expected)
        struct = loadmat(path)["GTcls"]
        assert struct.dtype.names is not None
        assert set(struct.dtype.names) == {"Boundaries", "Segmentation", "CategoriesPresent"}
        present = struct[0, 0]["CategoriesPresent"]
        assert present.ravel().tolist() == sorted(set(np.unique(expected).tolist()) - {0})


def test_boundaries_are_sparse_maps_on_the_rim_of_each_class(tmp_path: Path) -> None:
    label = np.zeros((9, 8), dtype=np.uint8)
    label[2:7, 1:6] = 13
    (tmp_path / "a.mat").write_bytes(encode_mat(label))
    boundaries = loadmat(tmp_path / "a.mat")["GTcls"][0, 0]["Boundaries"]
    assert boundaries.shape == (20, 1)
    rim = label == 13
    rim[3:6, 2:5] = False
    for k in range(20):
        expected = rim if k == 12 else np.zeros_like(rim)
        np.testing.assert_array_equal(boundaries[k, 0].toarray().astype(bool), expected)


def test_train_aug_of_the_small_pack_leaves_val_out(few: Counts, unpacked: Path) -> None:
    voc = find_voc(unpacked)
    train, val = voc_ids(voc, "train"), voc_ids(voc, "val")
    sbd = sbd_ids(find_sbd(unpacked))
    assert len(set(sbd) & set(train)) == few.extra_in_train
    assert len(set(sbd) & set(val)) == few.extra_in_val
    assert len(derive_trainaug(train, sbd, val)) == few.train + few.extra


def test_the_whole_sample_has_600_in_train_aug_and_every_class_in_every_split() -> None:
    splits = split_indices(Counts())
    ids = {name: [image_id(k) for k in scenes] for name, scenes in splits.items()}
    sbd = ids["sbd_train"] + ids["sbd_val"]
    assert len(set(sbd)) == len(sbd) == 470
    assert len(derive_trainaug(ids["train"], sbd, ids["val"])) == 600
    assert (len(ids["train"]), len(ids["val"])) == (200, 200)
    assert len({image_id(k) for k in range(10_000)}) == 10_000
    for name, scenes in splits.items():
        found = {c for k in scenes[:50] for c in np.unique(render_scene("sample", k).label)}
        assert found == {*range(21), 255}, name


def test_the_embedded_archives_are_small_and_match_their_checksums() -> None:
    folder = Path(__file__).resolve().parents[2] / "data/sample/archives"
    if not (folder / CHECKSUMS_FILE).is_file():
        pytest.skip("the sample has not been pulled")
    checksums = json.loads((folder / CHECKSUMS_FILE).read_text())
    sizes = {}
    for name in checksums:
        raw = (folder / name).read_bytes()
        assert hashlib.sha256(raw).hexdigest() == checksums[name]["sha256"]
        sizes[name] = len(raw)
    assert sizes[VOC_FILE] + sizes[SBD_FILE] <= 8_000_000
    assert sum(sizes.values()) <= 14_000_000


def test_bad_arguments_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ReplicationError, match="file: a file is in the way"):
        render(tmp_path / "file")
    with pytest.raises(ReplicationError, match="jobs = 0"):
        render(tmp_path, jobs=0)
