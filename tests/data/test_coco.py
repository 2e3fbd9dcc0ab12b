"""COCO: polygons and run-length codes against masks drawn by hand, categories, every bad input."""

import json
import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from replication.data.canonical import DataSet
from replication.data.classes import COCO_CATEGORIES, VOC
from replication.data.coco import LEAST, keep_large, read_coco
from replication.data.coco_json import encode, read_instances, run_lengths
from replication.data.labels import VOID, read_label
from replication.data.prepare import prepare
from replication.errors import ReplicationError

SIZE = (40, 60)  # H, W
FILES = {k: f"COCO_train2014_{k:012d}.jpg" for k in (9, 25, 30, 34)}
STEMS = {k: Path(file).stem for k, file in FILES.items()}
# COCO's own numbers have gaps: its 80 categories are 1..90
NUMBERS = {name: k for k, name in enumerate(COCO_CATEGORIES, start=5)}


def box(left: int, top: int, right: int, bottom: int) -> list[list[float]]:
    """A rectangle as a polygon: pixels left..right-1 by top..bottom-1."""
    return [[left, top, right, top, right, bottom, left, bottom]]


def filled(left: int, top: int, right: int, bottom: int) -> np.ndarray:
    drawn = np.zeros(SIZE, bool)
    drawn[top:bottom, left:right] = True
    return drawn


def runs(drawn: np.ndarray) -> dict[str, Any]:
    """The run-length code of a mask by brute force: column by column, zeros first."""
    counts, value, length = [], False, 0
    for pixel in drawn.T.ravel():
        if pixel != value:
            counts.append(length)
            value, length = pixel, 0
        length += 1
    return {"size": list(drawn.shape), "counts": [*counts, length]}


def annotation(number: int, image: int, category: str, segmentation: Any) -> dict[str, Any]:
    crowd = int(isinstance(segmentation, dict))
    return {
        "id": number,
        "image_id": image,
        "category_id": NUMBERS[category],
        "segmentation": segmentation,
        "iscrowd": crowd,
    }


def content() -> dict[str, Any]:
    return {
        "info": {"year": 2014},
        "images": [
            {"id": k, "file_name": file, "height": SIZE[0], "width": SIZE[1]}
            for k, file in FILES.items()
        ],
        "categories": [{"id": k, "name": name} for name, k in NUMBERS.items()],
        "annotations": [
            annotation(1, 25, "couch", box(0, 0, 40, 30)),  # 1,200 pixels of sofa
            annotation(2, 25, "cat", box(30, 20, 50, 40)),
            annotation(3, 25, "pizza", box(50, 0, 60, 10)),
            annotation(4, 9, "person", runs(filled(5, 5, 45, 35))),
            annotation(5, 9, "person", box(40, 30, 60, 40)),
            annotation(6, 30, "dog", box(0, 0, 40, 25)),  # 1,000: not more
            annotation(7, 34, "elephant", box(0, 0, 60, 40)),
        ],
    }


@pytest.fixture
def coco(tmp_path: Path, save_image: Any) -> Path:
    root = tmp_path / "coco"
    for folder in (root / "annotations", root / "train2014"):
        folder.mkdir(parents=True)
    instances(root).write_text(json.dumps(content()))
    for file in FILES.values():
        save_image(root / "train2014" / file, SIZE)
    return root


def instances(root: Path) -> Path:
    return root / "annotations/instances_train2014.json"


def prepared(
    images: Path, annotations: Path | None = None, *, least: int = LEAST, **options: Any
) -> DataSet:
    read = partial(read_coco, images, annotations or images, least=least)
    settings = {"official": False, "sources": [{"name": "COCO"}], "progress": False} | options
    return prepare(read, images.parent / "prepared", **settings)


def decoded(segmentation: Any) -> np.ndarray:
    from pycocotools import mask

    return mask.decode(encode(segmentation, *SIZE, "the mask")).astype(bool)


def test_polygons_are_masks_drawn_by_hand() -> None:
    np.testing.assert_array_equal(decoded(box(3, 4, 20, 9)), filled(3, 4, 20, 9))
    two = [*box(0, 0, 5, 5), *box(50, 30, 60, 40)]
    np.testing.assert_array_equal(decoded(two), filled(0, 0, 5, 5) | filled(50, 30, 60, 40))
    outside = decoded(box(50, 30, 90, 90))  # cut off at the image's edge
    np.testing.assert_array_equal(outside, filled(50, 30, 60, 40))
    # a right triangle with legs of 20 holds about half of 20 x 20 pixels
    assert abs(decoded([[10, 10, 30, 10, 10, 30]]).sum() - 200) <= 20


@pytest.mark.parametrize("seed", range(5))
def test_run_lengths_are_masks_drawn_by_hand(seed: int) -> None:
    from pycocotools import mask

    drawn = np.random.default_rng(seed).random(SIZE) < 0.5
    np.testing.assert_array_equal(decoded(runs(drawn)), drawn)
    packed = mask.encode(np.asfortranarray(drawn.astype(np.uint8)))
    text = {"size": packed["size"], "counts": packed["counts"].decode()}
    np.testing.assert_array_equal(decoded(text), drawn)
    assert run_lengths(text["counts"]) == runs(drawn)["counts"]


@pytest.mark.parametrize("share", [0.0, 0.001, 0.02, 0.999, 1.0])
def test_compressed_codes_of_long_runs(share: float) -> None:
    from pycocotools import mask

    drawn = np.random.default_rng(1).random((480, 640)) < share
    packed = mask.encode(np.asfortranarray(drawn.astype(np.uint8)))
    found = run_lengths(packed["counts"].decode())
    assert sum(found) == 480 * 640
    assert sum(found[1::2]) == drawn.sum()
    assert found == runs(drawn)["counts"]


def test_labels(coco: Path) -> None:
    data = prepared(coco)
    assert data.classes == VOC.names
    assert data.ids("train") == [STEMS[9], STEMS[25]]
    sofa, cat, person = (VOC.names.index(name) for name in ("sofa", "cat", "person"))
    expected = np.zeros(SIZE, np.uint8)
    expected[filled(0, 0, 40, 30)] = sofa
    expected[filled(30, 20, 50, 40)] = cat
    expected[filled(30, 20, 40, 30)] = VOID  # where they overlap
    label = read_label(data.label_path(STEMS[25]), 21)
    np.testing.assert_array_equal(label, expected)
    crowd = filled(5, 5, 45, 35) | filled(40, 30, 60, 40)  # of one class: no void
    np.testing.assert_array_equal(read_label(data.label_path(STEMS[9]), 21), crowd * person)


def test_small_images_are_left_out(coco: Path) -> None:
    photos = read_instances(instances(coco))
    areas = {name: photo.area() for name, photo in photos.items()}
    brute = {9: 1200 + 200 - 5 * 5, 25: 1200 + 400 - 100, 30: 1000, 34: 0}
    assert areas == {STEMS[k]: area for k, area in brute.items()}
    assert list(keep_large(photos)) == [STEMS[9], STEMS[25]]
    assert list(keep_large(photos, 999)) == [STEMS[9], STEMS[25], STEMS[30]]
    assert prepared(coco, least=999, limits={"train": 1}).ids("train") == [STEMS[9]]
    with pytest.raises(ReplicationError, match="no image has more than 9,000 pixels of VOC's"):
        prepared(coco, least=9_000)


def test_all_80_categories_are_told_by_name(coco: Path) -> None:
    every = content()
    every["images"] = [
        {"id": k, "file_name": f"{name.replace(' ', '_')}.jpg", "height": 4, "width": 4}
        for name, k in NUMBERS.items()
    ]
    every["annotations"] = [
        {"id": k, "image_id": k, "category_id": k, "segmentation": box(0, 0, 4, 4)}
        for k in NUMBERS.values()
    ]
    instances(coco).write_text(json.dumps(every))
    found = {
        name: int(photo.draw().max()) for name, photo in read_instances(instances(coco)).items()
    }
    # VOC's twenty as COCO calls them, in VOC's order
    names = [
        "airplane",
        "bicycle",
        "bird",
        "boat",
        "bottle",
        "bus",
        "car",
        "cat",
        "chair",
        "cow",
        "dining_table",
        "dog",
        "horse",
        "motorcycle",
        "person",
        "potted_plant",
        "sheep",
        "couch",
        "train",
        "tv",
    ]
    assert found == {
        name.replace(" ", "_"): names.index(key) + 1 if key in names else 0
        for name in NUMBERS
        for key in [name.replace(" ", "_")]
    }


def test_zips(coco: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "train2014.zip", "w") as archive:
        for path in sorted((coco / "train2014").iterdir()):
            archive.write(path, f"train2014/{path.name}")
    with zipfile.ZipFile(tmp_path / "annotations.zip", "w") as archive:
        archive.write(instances(coco), "annotations/instances_train2014.json")
        archive.writestr("annotations/captions_train2014.json", "{}")
    plain = prepared(coco).meta
    assert prepared(tmp_path / "train2014.zip", tmp_path / "annotations.zip").meta == plain


def test_official_count(coco: Path) -> None:
    with pytest.raises(ReplicationError, match=r"`train2014` has 4 ids, the official one 82,783"):
        prepared(coco, official=True)


def change(key: str, index: int, **changes: Any) -> Any:
    def apply(made: dict[str, Any]) -> None:
        made[key][index] |= changes

    return apply


BAD = [
    (change("images", 1, id=9), "image 9 comes twice"),
    (change("images", 1, file_name=FILES[9]), f"image `{STEMS[9]}` comes twice"),
    (change("images", 1, file_name="../x.jpg"), r"image 25 is `\.\./x\.jpg` of 60x40 pixels"),
    (change("images", 1, height=0), "image 25 is .* of 60x0 pixels"),
    (change("annotations", 1, id=1), "annotation 1 comes twice"),
    (change("annotations", 1, image_id=77), "annotation 2 is of image 77, which isn't there"),
    (change("annotations", 1, category_id=99), "annotation 2 is of category 99, which isn't"),
    (change("categories", 1, id=5), "category 5 comes twice"),
    (change("categories", 1, name="unicorn"), "`unicorn` is none of COCO's 80 categories"),
    (change("annotations", 1, segmentation=[[1, 2, 3, 4]]), "polygon of under three points"),
    (change("annotations", 1, segmentation=[[1, 2, 3, 4, 5, 6, 7]]), "under three points"),
    (change("annotations", 1, segmentation=[]), "polygon of under three points"),
    (change("annotations", 1, segmentation={"size": [60, 40], "counts": [2400]}), "its image of"),
    (change("annotations", 1, segmentation={"size": [40, 60], "counts": [2401]}), "runs of 2,401"),
    (change("annotations", 1, segmentation={"size": [40, 60], "counts": [-1, 2401]}), "runs of"),
    (change("annotations", 1, segmentation={"size": [40, 60]}), "not of COCO's form .KeyError"),
    (change("annotations", 1, segmentation={"size": [40, 60], "counts": "zzz"}), "in a run-length"),
    (change("annotations", 1, segmentation={"size": [40, 60], "counts": ""}), "runs of 0 pixels"),
    (change("annotations", 1, segmentation={"size": [40, 60], "counts": "0"}), "runs of 0 pixels"),
    (change("annotations", 1, segmentation={"size": [40, 60], "counts": "o"}), "ends within a num"),
    (change("annotations", 1, segmentation={"size": [40, 60], "counts": "!"}), "in a run-length"),
    (change("annotations", 1, segmentation=[[0, 0, 1e9, 0, 1e9, 1e9]]), "far outside its image"),
    (change("annotations", 1, segmentation=[[0, 0, float("nan"), 0, 9, 9]]), "far outside its"),
    (change("annotations", 1, segmentation=[["a", 1, 2, 3, 4, 5]]), "not of COCO's form"),
    (change("annotations", 1, segmentation=7), "not of COCO's form .TypeError"),
    (lambda made: made.pop("images"), "must hold the lists images, categories, annotations"),
    (lambda made: made["images"].clear(), "must hold the lists"),
    (lambda made: made["images"][0].pop("width"), "not of COCO's form .KeyError: 'width'"),
    (
        change("images", 1, height=60, width=40),
        r"the label is 40x60 pixels, its image .*000025\.jpg 60x40",
    ),
]


@pytest.mark.parametrize(("break_it", "message"), BAD)
def test_bad_json(coco: Path, break_it: Any, message: str) -> None:
    made = content()
    break_it(made)
    instances(coco).write_text(json.dumps(made))
    with pytest.raises(ReplicationError, match=message) as caught:
        prepared(coco)
    assert "\n" not in str(caught.value)
    assert "instances_train2014.json" in str(caught.value)


def test_bad_files(coco: Path) -> None:
    image = coco / "train2014" / FILES[25]
    image.write_bytes(b"cut")
    with pytest.raises(ReplicationError, match=r"000025\.jpg: the image is broken"):
        prepared(coco)
    image.unlink()
    with pytest.raises(ReplicationError, match=r"000025\.jpg: there is no such image, though inst"):
        prepared(coco)
    (coco / "train2014").rename(coco / "train2017")
    with pytest.raises(ReplicationError, match="no COCO's images here"):
        prepared(coco)
    instances(coco).write_text("{")
    with pytest.raises(ReplicationError, match=r"instances_train2014\.json: broken JSON"):
        prepared(coco)
    instances(coco).unlink()
    with pytest.raises(ReplicationError, match="no COCO's annotations here"):
        prepared(coco)
    with pytest.raises(ReplicationError, match="there is no such file"):
        read_instances(instances(coco))
