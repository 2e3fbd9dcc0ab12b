"""Anyone's folder, with every fault that the adaptor must name, and the prepared set it becomes."""

import errno
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from replication.data import convert
from replication.data.canonical import DataSet
from replication.data.folder import prepare_folder, read_classes, read_folder
from replication.data.labels import VOID, read_image, read_label, write_label
from replication.data.palette import voc_palette
from replication.errors import ReplicationError

SIZE = (12, 16)  # H, W
IDS = {"train": ["one", "two.x", "three"], "val": ["four", "five"]}
SOURCES = [{"name": "mine", "sha256": "0" * 64}]


def photograph(seed: int, size: tuple[int, int] = SIZE) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3))
    return Image.fromarray(pixels.astype(np.uint8))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "mine"
    lists = root / "ImageSets" / "Segmentation"
    for part in (lists, root / "JPEGImages", root / "SegmentationClass"):
        part.mkdir(parents=True)
    suffixes = iter((".jpg", ".jpeg", ".JPG", ".png", ".jpg"))
    seed = 0
    for split, ids in IDS.items():
        (lists / f"{split}.txt").write_text("\n".join(ids) + "\n")
        for name in ids:
            photograph(seed).save(root / "JPEGImages" / f"{name}{next(suffixes)}")
            label = np.full(SIZE, seed % 3, np.uint8)
            label[0] = VOID
            write_label(root / "SegmentationClass" / f"{name}.png", label)
            seed += 1
    (root / "classes.txt").write_text("ground\nsheep\ntree\n")
    return root


def prepared(folder: Path, **options: Any) -> DataSet:
    return prepare_folder(
        folder, folder.parent / "data" / "mine", sources=SOURCES, progress=False, **options
    )


def refused(folder: Path, message: str) -> None:
    """Preparing fails with one line that matches, and leaves nothing behind."""
    with pytest.raises(ReplicationError, match=message) as caught:
        prepared(folder)
    assert "\n" not in str(caught.value)
    assert list((folder.parent / "data").iterdir()) == []


def test_a_prepared_folder(folder: Path) -> None:
    data = prepared(folder)
    assert data.classes == ("ground", "sheep", "tree")
    assert data.name == "mine"
    assert {split: data.ids(split) for split in IDS} == IDS
    assert data.image_path("two.x").name == "two.x.jpg"
    assert data.image_path("four").name == "four.png"
    for name in IDS["train"] + IDS["val"]:
        source = next((folder / "JPEGImages").glob(f"{name}.*"))
        assert data.image_path(name).read_bytes() == source.read_bytes()
        assert data.image_path(name).stat().st_nlink == 1  # the user's files stay the user's
        np.testing.assert_array_equal(
            read_label(data.label_path(name), 3),
            read_label(folder / "SegmentationClass" / f"{name}.png", 3),
        )
        with Image.open(data.label_path(name)) as image:
            assert image.getpalette() == voc_palette().ravel().tolist()
    meta = data.meta
    assert meta["sources"] == SOURCES
    assert meta["largest"] == {"height": 12, "width": 16}
    train = meta["splits"]["train"]
    assert (train["count"], train["void_pixels"]) == (3, 3 * 16)
    assert train["class_pixels"] == [11 * 16] * 3
    assert meta["splits"]["val"]["class_pixels"] == [11 * 16, 11 * 16, 0]
    assert meta["shared_images"] == []
    assert sorted(p.name for p in data.root.iterdir()) == [
        "images", "labels", "meta.json", "splits",
    ]  # fmt: skip
    assert [p.name for p in data.root.parent.iterdir()] == ["mine"]


def test_prepared_twice_is_the_same_bytes(folder: Path) -> None:
    first = {p: p.read_bytes() for p in prepared(folder).root.rglob("*") if p.is_file()}
    assert {p: p.read_bytes() for p in prepared(folder).root.rglob("*") if p.is_file()} == first


def test_content_is_in_the_hash(folder: Path) -> None:
    before = prepared(folder).meta["splits"]
    write_label(folder / "SegmentationClass" / "four.png", np.ones(SIZE, np.uint8))
    after = prepared(folder).meta["splits"]
    assert after["train"] == before["train"]
    assert after["val"]["sha256"] == before["val"]["sha256"]
    assert after["val"]["content_sha256"] != before["val"]["content_sha256"]


def test_without_names_the_labels_count_the_classes(folder: Path) -> None:
    (folder / "classes.txt").unlink()
    assert prepared(folder).classes == ("class_0", "class_1", "class_2")
    label = np.full(SIZE, 6, np.uint8)
    write_label(folder / "SegmentationClass" / "four.png", label)
    assert prepared(folder).classes[-1] == "class_6"
    for path in (folder / "SegmentationClass").iterdir():
        write_label(path, np.full(SIZE, VOID, np.uint8))
    with pytest.raises(ReplicationError, match="every label is void"):
        prepared(folder)


def test_value_outside_the_classes(folder: Path) -> None:
    write_label(folder / "SegmentationClass" / "two.x.png", np.full(SIZE, 3, np.uint8))
    refused(folder, r"two\.x\.png: the label holds the value 3 .*3 classes; .*0\.\.2")


def test_coloured_label(folder: Path) -> None:
    photograph(0).save(folder / "SegmentationClass" / "one.png")
    refused(folder, r"one\.png: the label is RGB")


def test_sizes_differ(folder: Path) -> None:
    write_label(folder / "SegmentationClass" / "one.png", np.zeros((12, 15), np.uint8))
    refused(folder, r"one\.png: the label is 15x12 pixels, its image one\.jpg 16x12; draw")
    write_label(folder / "SegmentationClass" / "one.png", np.zeros((16, 12), np.uint8))
    refused(folder, r"one\.png: .*EXIF")


def test_unreadable_image(folder: Path) -> None:
    path = folder / "JPEGImages" / "one.jpg"
    path.write_bytes(path.read_bytes()[:300])
    refused(folder, r"one\.jpg: the image is broken, cut short")


def test_cut_label(folder: Path) -> None:
    path = folder / "SegmentationClass" / "one.png"
    path.write_bytes(path.read_bytes()[:-30])
    refused(folder, r"one\.png: the label PNG is broken or cut short")


def test_all_bad_files_are_counted(folder: Path) -> None:
    for name in ("one", "three", "four"):
        photograph(0).save(folder / "SegmentationClass" / f"{name}.png")
    refused(folder, r"one\.png: .*\(2 more bad files: three\.png, four\.png\)")


def test_missing_label(folder: Path) -> None:
    (folder / "SegmentationClass" / "four.png").rename(folder / "SegmentationClass" / "four.bmp")
    refused(folder, "SegmentationClass: no label for listed id `four`")


def test_missing_image(folder: Path) -> None:
    (folder / "JPEGImages" / "four.png").unlink()
    refused(folder, "JPEGImages: no image for listed id `four`")


def test_two_images_of_one_id(folder: Path) -> None:
    photograph(0).save(folder / "JPEGImages" / "four.jpg")
    refused(folder, r"`four` has two files, four\.jpg and four\.png")


def test_duplicate_id(folder: Path) -> None:
    (folder / "ImageSets" / "Segmentation" / "train.txt").write_text("one\nthree\none\n")
    refused(folder, r"train\.txt: id `one` is listed 2 times")


def test_id_on_both_sides(folder: Path) -> None:
    (folder / "ImageSets" / "Segmentation" / "train.txt").write_text("one\nfour\n")
    refused(folder, r"`train` holds 1 of the images that `val` is scored on \(four\)")


def test_missing_list(folder: Path) -> None:
    (folder / "ImageSets" / "Segmentation" / "val.txt").unlink()
    refused(folder, r"val\.txt: the list is missing")


def test_missing_folder(folder: Path) -> None:
    (folder / "SegmentationClass").rename(folder / "Labels")
    refused(folder, "no VOC-style folder here; expected .*SegmentationClass")


def test_no_source(tmp_path: Path) -> None:
    with pytest.raises(ReplicationError, match="absent: no such archive or folder"):
        prepare_folder(tmp_path / "absent", tmp_path / "data", sources=[])


def test_one_image_under_two_ids_is_told(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder / "JPEGImages" / "five.jpg").write_bytes(
        (folder / "JPEGImages" / "one.jpg").read_bytes()
    )
    assert prepared(folder).meta["shared_images"] == [["one", "five"]]
    assert "mine: 1 training images are also in val" in caplog.text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("a\n\nb\n", "line 2 is empty"),
        ("a\nb\na\n", "`a` is named twice"),
        ("\n".join(f"c{i}" for i in range(256)), "256 classes"),
    ],
)
def test_bad_class_names(folder: Path, text: str, message: str) -> None:
    (folder / "classes.txt").write_text(text)
    refused(folder, rf"classes\.txt: .*{message}")


def test_class_names_of_other_editors(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_bytes("\ufeffwater\r\ntraffic light\r\n\r\n".encode())
    assert read_classes(tmp_path / "classes.txt") == ("water", "traffic light")
    (tmp_path / "classes.txt").write_bytes(b"\xff\n")
    with pytest.raises(ReplicationError, match="UTF-8"):
        read_classes(tmp_path / "classes.txt")


def test_a_failure_leaves_the_earlier_set(folder: Path) -> None:
    data = prepared(folder)
    before = (data.root / "meta.json").read_bytes()
    (folder / "JPEGImages" / "one.jpg").write_bytes(b"")
    with pytest.raises(ReplicationError, match=r"one\.jpg"):
        prepared(folder)
    assert (data.root / "meta.json").read_bytes() == before
    assert data.ids("train") == IDS["train"]


def test_other_peoples_folders_are_not_replaced(folder: Path) -> None:
    with pytest.raises(ReplicationError, match="holds something else than a data set"):
        prepare_folder(folder, folder, sources=[], progress=False)
    assert (folder / "classes.txt").is_file()


def test_full_disk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> bytes:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(convert, "encode_label", full)
    refused(folder, "mine: the disk is full")


def test_leftovers_of_a_killed_process_are_removed(folder: Path) -> None:
    data = folder.parent / "data"
    dead = data / ".mine.building-99999999" / "data"  # beyond the largest process id
    dead.mkdir(parents=True)
    living = data / f".mine.building-{os.getppid()}"
    living.mkdir()
    prepared(folder)
    assert sorted(p.name for p in data.iterdir()) == [living.name, "mine"]


def test_real_photographs(shared: Path, tmp_path: Path) -> None:
    data = prepare_folder(
        shared / "data" / "msrc21", tmp_path / "msrc21", sources=[], progress=False
    )
    assert (len(data.ids("train")), len(data.ids("val"))) == (335, 256)
    assert data.num_classes == 21
    assert (data.classes[0], data.classes[20]) == ("building", "boat")
    name = data.ids("val")[0]
    assert (
        read_image(data.image_path(name)).shape[:2] == read_label(data.label_path(name), 21).shape
    )
    pixels = [data.meta["splits"][s]["void_pixels"] for s in ("train", "val")]
    everything = sum(pixels) + sum(
        sum(data.meta["splits"][s]["class_pixels"]) for s in ("train", "val")
    )
    assert 0.19 < sum(pixels) / everything < 0.23  # "20 % of pixels" are void, says its README
    assert data.meta["shared_images"] == [["1_27_s", "9_15_s"], ["9_10_s", "1_26_s"]]
    assert json.loads((data.root / "meta.json").read_text()) == data.meta


def test_a_folder_above_is_enough(folder: Path) -> None:
    assert read_folder(folder.parent).tree == folder
