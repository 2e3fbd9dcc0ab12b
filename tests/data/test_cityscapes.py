"""Cityscapes: labelIds to train ids, both resolutions, both zips, every kind of bad input."""

import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from replication.data.canonical import DataSet
from replication.data.cityscapes import (
    Resolution,
    halve_label,
    read_cityscapes,
    read_label_ids,
    train_ids,
)
from replication.data.labels import read_image, read_label
from replication.data.prepare import prepare
from replication.errors import ReplicationError

IDS = {
    "train": ["aachen_000000_000019", "aachen_000001_000019", "zurich_000000_000019"],
    "val": ["frankfurt_000000_000294"],
    "test": ["berlin_000000_000019"],
}
SIZE = (8, 16)  # H, W


def pixels(name: str) -> np.ndarray:
    seed = sum(map(ord, name))
    return np.random.default_rng(seed).integers(0, 256, (*SIZE, 3)).astype(np.uint8)


def label_of(name: str) -> np.ndarray:
    return (np.arange(SIZE[0] * SIZE[1]).reshape(SIZE) % 34).astype(np.uint8)


def path_of(root: Path, kind: str, split: str, name: str) -> Path:
    end = "_gtFine_labelIds.png" if kind == "gtFine" else "_leftImg8bit.png"
    return root / kind / split / name.split("_", maxsplit=1)[0] / f"{name}{end}"


def label_path(root: Path) -> Path:
    return path_of(root, "gtFine", "val", IDS["val"][0])


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "cityscapes"
    for split, ids in IDS.items():
        for name in ids:
            for kind, drawn in (("leftImg8bit", pixels(name)), ("gtFine", label_of(name))):
                path = path_of(root, kind, split, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(drawn).save(path)
            other = path.with_name(f"{name}_gtFine_color.png")
            Image.fromarray(pixels(name)).save(other)  # not a label of ours
            path.with_name(f"{name}_gtFine_polygons.json").write_text("{}")
    return root


def prepared(
    images: Path,
    labels: Path | None = None,
    *,
    resolution: Resolution = "full",
    **options: Any,
) -> DataSet:
    read = partial(read_cityscapes, images, labels or images, resolution=resolution)
    settings = {"official": False, "sources": [{"name": "CS"}], "progress": False} | options
    return prepare(read, images.parent / "prepared", **settings)


def test_every_label_id_as_torchvision_maps_it(tmp_path: Path) -> None:
    from torchvision.datasets import Cityscapes

    theirs = {one.id: one.train_id for one in Cityscapes.classes}
    assert train_ids().tolist() == [theirs[k] for k in range(34)]
    drawn = np.arange(34, dtype=np.uint8).reshape(2, 17)
    Image.fromarray(drawn).save(tmp_path / "a.png")
    read = read_label_ids(tmp_path / "a.png")
    assert read.dtype == np.uint8
    assert read.ravel().tolist() == [theirs[k] for k in range(34)]


def test_prepared_at_full_resolution(tree: Path) -> None:
    data = prepared(tree)
    assert data.num_classes == 19
    assert data.classes[0] == "road"
    assert data.palette[0].tolist() == [128, 64, 128]
    assert data.ids("train") == IDS["train"]
    assert data.ids("val") == IDS["val"]
    name = IDS["val"][0]
    np.testing.assert_array_equal(read_image(data.image_path(name)), pixels(name))
    with Image.open(data.label_path(name)) as image:
        assert image.getpalette()[:3] == [128, 64, 128]
    expected = train_ids()[label_of(name)]
    np.testing.assert_array_equal(read_label(data.label_path(name), 19), expected)


def test_prepared_at_half_resolution(tree: Path) -> None:
    data = prepared(tree, resolution="half")
    name = IDS["train"][1]
    image = read_image(data.image_path(name)).astype(float)
    blocks = pixels(name).reshape(SIZE[0] // 2, 2, SIZE[1] // 2, 2, 3).astype(float)
    assert np.abs(image - blocks.mean((1, 3))).max() <= 0.5  # the mean of 2 x 2, rounded
    label = read_label(data.label_path(name), 19)
    np.testing.assert_array_equal(label, train_ids()[label_of(name)][::2, ::2])


@pytest.mark.parametrize("size", [(4, 6), (5, 7), (1, 1)])
def test_halves_of_odd_sizes_agree(size: tuple[int, int]) -> None:
    label = np.zeros(size, np.uint8)
    image = Image.fromarray(label).reduce(2)
    assert halve_label(label).shape == image.size[::-1]


def test_zips(tree: Path, tmp_path: Path) -> None:
    archives = {}
    for kind in ("gtFine", "leftImg8bit"):
        archives[kind] = tmp_path / f"{kind}_trainvaltest.zip"
        with zipfile.ZipFile(archives[kind], "w") as archive:
            archive.writestr("README", "as in the official zips")
            for path in sorted((tree / kind).rglob("*.*")):
                archive.write(path, path.relative_to(tree))
    plain = prepared(tree).meta
    assert prepared(archives["leftImg8bit"], archives["gtFine"]).meta == plain
    assert plain["images"] == 4  # none of test


def test_limits_and_official_counts(tree: Path) -> None:
    assert prepared(tree, limits={"train": 2}).ids("train") == IDS["train"][:2]
    with pytest.raises(ReplicationError, match=r"`train` has 3 ids, the official one 2,975; fetch"):
        prepared(tree, official=True)


def rewrite(value: int) -> Any:
    return lambda t: Image.fromarray(np.full(SIZE, value, np.uint8)).save(label_path(t))


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (rewrite(34), r"labelIds\.png: the label holds the value 34 \(128 pixels\).*0\.\.33"),
        (rewrite(255), "holds the value 255 .* are these train ids already"),
        (lambda t: label_path(t).write_bytes(b"cut"), r"labelIds\.png: the label is no PNG"),
        (
            lambda t: Image.fromarray(pixels("x")).save(label_path(t)),
            r"labelIds\.png: the label is RGB",
        ),
        (
            lambda t: Image.fromarray(np.zeros(SIZE[::-1], np.uint8)).save(label_path(t)),
            r"labelIds\.png: the label is 8x16 pixels, its image .* 16x8",
        ),
        (lambda t: label_path(t).unlink(), "val: no CITY/.*_gtFine_labelIds.png in it"),
        (
            lambda t: path_of(t, "leftImg8bit", "val", IDS["val"][0]).unlink(),
            r"frankfurt_000000_000294_leftImg8bit\.png: there is no such image",
        ),
        (
            lambda t: path_of(t, "leftImg8bit", "val", IDS["val"][0]).write_bytes(b"cut"),
            r"frankfurt_000000_000294_leftImg8bit\.png: the image is broken",
        ),
        (
            lambda t: label_path(t).rename(
                label_path(t).with_name(f"x_1_2{'_gtFine_labelIds.png'}")
            ),
            r"x_1_2_gtFine_labelIds\.png: not named after its city, as frankfurt_000000",
        ),
        (lambda t: (t / "gtFine/val").rename(t / "gtFine/other"), "val: the folder is missing"),
        (lambda t: (t / "gtFine").rename(t / "gtCoarse"), r"no Cityscapes \(gtFine\) here"),
        (lambda t: (t / "leftImg8bit").rename(t / "x"), r"no Cityscapes \(leftImg8bit\) here"),
    ],
)
@pytest.mark.parametrize("resolution", ["full", "half"])
def test_bad_input(tree: Path, break_it: Any, message: str, resolution: Resolution) -> None:
    break_it(tree)
    if "8x16" in message and resolution == "half":
        message = "the label is 4x8 pixels, its image .* 8x4"
    with pytest.raises(ReplicationError, match=message) as caught:
        prepared(tree, resolution=resolution)
    assert "\n" not in str(caught.value)


def test_an_id_in_two_cities(tree: Path) -> None:
    first = path_of(tree, "gtFine", "train", IDS["train"][0])
    copy = tree / "gtFine/train/zurich" / first.name
    copy.write_bytes(first.read_bytes())
    with pytest.raises(ReplicationError, match="id `aachen_000000_000019` is in aachen too"):
        prepared(tree)


def test_an_id_in_both_splits(tree: Path) -> None:
    copy = path_of(tree, "gtFine", "val", IDS["train"][0])
    copy.parent.mkdir(parents=True)
    copy.write_bytes(path_of(tree, "gtFine", "train", IDS["train"][0]).read_bytes())
    with pytest.raises(ReplicationError, match=r"`train` holds 1 of .*aachen_000000_000019"):
        prepared(tree)
