"""The sample's PASCAL-Context, PASCAL-Part, Cityscapes and COCO, through the official adaptors."""

import json
import zipfile
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from replication.data.canonical import DataSet
from replication.data.cityscapes import read_cityscapes, train_ids
from replication.data.classes import CITYSCAPES, COCO_TO_VOC, CONTEXT, PERSON_PART, VOC
from replication.data.coco import read_coco
from replication.data.coco_json import encode
from replication.data.context import read_context
from replication.data.labels import VOID, read_image, read_label
from replication.data.person_part import PARTS, read_person_part
from replication.data.prepare import prepare
from replication.data.sample import pack_cityscapes, pack_coco, pack_pascal
from replication.data.sample.people import render_group
from replication.data.sample.scenes import render as render_scene
from replication.data.sample.street import render_street

PASCAL = pack_pascal.Counts(train=4, val=3, people_train=4, people_val=2)
STREETS = pack_cityscapes.Counts(train=4, val=3)
PHOTOS = 6


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archives")
    made = pack_pascal.archives(PASCAL, 1) | pack_cityscapes.archives(STREETS, 1)
    for name, archive in (made | pack_coco.archives(PHOTOS, 1)).items():
        archive.write(folder / name, archive.members)
    return folder


READERS = {
    "context": (read_context, pack_pascal.VOC_FILE, pack_pascal.CONTEXT_FILE),
    "part": (read_person_part, pack_pascal.VOC_FILE, pack_pascal.PART_FILE),
    "cityscapes": (read_cityscapes, pack_cityscapes.IMAGES_FILE, pack_cityscapes.LABELS_FILE),
    "coco": (read_coco, pack_coco.IMAGES_FILE, pack_coco.ANNOTATIONS_FILE),
}


def prepared(packed: Path, into: Path, name: str, **options: object) -> DataSet:
    reader, *archives = READERS[name]
    read = partial(reader, *(packed / archive for archive in archives), **options)
    return prepare(read, into / name, official=False, sources=[], progress=False)


def test_context(packed: Path, tmp_path: Path) -> None:
    data = prepared(packed, tmp_path, "context")
    assert data.classes == CONTEXT.names
    assert (len(data.ids("train")), len(data.ids("val"))) == (8, 5)
    scene = render_scene("sample", 10_000)  # the first: objects are VOC's classes, and Context's
    label = read_label(data.label_path(pack_pascal.image_id(0)), 60)
    np.testing.assert_array_equal(label[scene.classes > 0], scene.classes[scene.classes > 0])
    # behind them no object of VOC's: ground, or clutter, which is background
    names = {CONTEXT.names[value] for value in np.unique(label[scene.classes == 0])}
    assert not names & set(VOC.names[1:])
    assert names <= {
        *("background", "snow", "grass", "floor", "sidewalk", "water"),
        *("sky", "tree", "wall", "building", "mountain"),
    }
    near = set(np.unique(label[(scene.classes == 0) & (scene.stuff < 5)]).tolist())
    far = set(np.unique(label[(scene.classes == 0) & (scene.stuff >= 5)]).tolist())
    assert near.isdisjoint(far)


def test_person_part(packed: Path, tmp_path: Path) -> None:
    data = prepared(packed, tmp_path, "part")
    assert data.classes == PERSON_PART.names
    assert (len(data.ids("train")), len(data.ids("val"))) == (4, 2)  # those of people alone
    group = render_group(1)
    expected = np.zeros(group.stuff.shape, np.uint8)
    for person in group.people:
        for name, mask in person.items():
            expected[mask] = PARTS[name]
    label = read_label(data.label_path(pack_pascal.image_id(8)), 7)
    np.testing.assert_array_equal(label, expected)
    assert set(np.unique(expected)) == set(range(7))


@pytest.mark.parametrize("index", range(6))
def test_parts_do_not_overlap_and_are_where_they_seem(index: int) -> None:
    group = render_group(index)
    assert 1 <= len(group.people) <= 3
    count = np.zeros(group.stuff.shape, int)
    for person in group.people:
        assert set(person) <= set(PARTS)
        for mask in person.values():
            count += mask
    assert count.max() == 1
    again = render_group(index)
    np.testing.assert_array_equal(group.image, again.image)
    # skin is redder than blue wherever a hand or a head is
    skin = np.any([p[n] for p in group.people for n in ("head", "lhand") if n in p], axis=0)
    red, blue = (group.image[skin][:, channel].astype(float).mean() for channel in (0, 2))
    assert red > blue + 20


@pytest.mark.parametrize("resolution", ["full", "half"])
def test_cityscapes(packed: Path, tmp_path: Path, resolution: str) -> None:
    data = prepared(packed, tmp_path, "cityscapes", resolution=resolution)
    assert data.classes == CITYSCAPES.names
    assert (len(data.ids("train")), len(data.ids("val"))) == (4, 3)
    name = "bochum_000001_000019"
    image, ids = render_street(1)
    label = read_label(data.label_path(name), 19)
    if resolution == "full":
        np.testing.assert_array_equal(read_image(data.image_path(name)), image)
        np.testing.assert_array_equal(label, train_ids()[ids])
    else:
        assert label.shape == (64, 128)
        np.testing.assert_array_equal(label, train_ids()[ids][::2, ::2])
    assert VOID not in label or 1 in ids  # the car that carries the camera


def test_streets_hold_every_class() -> None:
    seen = {int(v) for k in range(60) for v in np.unique(render_street(k)[1])}
    assert seen == {*np.flatnonzero(train_ids() != VOID).tolist(), 1}


def test_coco(packed: Path, tmp_path: Path) -> None:
    data = prepared(packed, tmp_path, "coco")
    assert data.ids("train") == [f"COCO_train2014_{k:012d}" for k in range(1, PHOTOS + 1)]
    for k, name in enumerate(data.ids("train")):
        scene = render_scene("sample", 20_000 + k)
        label = read_label(data.label_path(name), 21)
        inside = (scene.label != VOID) & (label != VOID)
        # polygons of every second contour point are good to about a pixel
        assert (label == scene.label)[inside].mean() > 0.97


def test_coco_masks_are_what_was_drawn(packed: Path) -> None:
    from pycocotools import mask

    with zipfile.ZipFile(packed / pack_coco.ANNOTATIONS_FILE) as archive:
        made = json.loads(archive.read("annotations/instances_train2014.json"))
    kinds = {isinstance(one["segmentation"], dict) for one in made["annotations"]}
    assert kinds == {True, False}
    for one in made["annotations"]:
        scene = render_scene("sample", 20_000 + one["image_id"] - 1)
        drawn = mask.decode(encode(one["segmentation"], 145, 193, "it")).astype(bool)
        names = {c["id"]: c["name"] for c in made["categories"]}
        kind = COCO_TO_VOC[names[one["category_id"]]]
        numbers = [n for n, k in enumerate(scene.kinds, start=1) if k == kind]
        best = max(_iou(drawn, scene.objects == n) for n in numbers)
        assert one["iscrowd"] == isinstance(one["segmentation"], dict)
        assert best == 1 if one["iscrowd"] else best > (0.8 if one["area"] > 400 else 0.4)


def _iou(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())


@pytest.mark.parametrize("seed", range(4))
def test_run_lengths_decode_to_the_mask(seed: int) -> None:
    from pycocotools import mask

    inside = np.random.default_rng(seed).random((7, 11)) < (0.0, 1.0, 0.5, 0.5)[seed]
    code = mask.frPyObjects(pack_coco.run_lengths(inside), 7, 11)
    np.testing.assert_array_equal(mask.decode(code).astype(bool), inside)


def test_zips_hold_no_clock(packed: Path) -> None:
    for name in (pack_cityscapes.IMAGES_FILE, pack_coco.ANNOTATIONS_FILE):
        with zipfile.ZipFile(packed / name) as archive:
            members = archive.infolist()
            assert {m.date_time for m in members} == {(2012, 5, 11, 0, 0, 0)}
            assert [m.filename for m in members] == sorted(m.filename for m in members)
            assert archive.testzip() is None


def test_label_files_are_grey_as_official_ones_are(packed: Path) -> None:
    with zipfile.ZipFile(packed / pack_cityscapes.LABELS_FILE) as archive:
        first = archive.namelist()[0]
        with archive.open(first) as stream, Image.open(stream) as image:
            assert (image.mode, image.size) == ("L", (256, 128))
    assert first.startswith("gtFine/train/aachen/aachen_")
