"""Folders and archives in official layouts, tiny, that several data sets' tests start from."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from replication.data.sample import pack_cityscapes, pack_pascal
from replication.data.sample.pack import Counts, render

SIZE = (9, 14)  # H, W
LISTS = {"train": ["2008_000002", "2008_000001"], "val": ["2008_000003"]}


def _save_image(path: Path, size: tuple[int, int] = SIZE) -> None:
    """Draw a photograph that only its name decides."""
    seed = int(hashlib.sha256(path.name.encode()).hexdigest()[:8], 16)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def save_image() -> Callable[..., None]:
    """A function of a path and a size (H, W) that draws a photograph there."""
    return _save_image


@pytest.fixture
def voc2010(tmp_path: Path) -> Path:
    """VOC 2010's tree with three images of SIZE, listed as in LISTS."""
    tree = tmp_path / "voc" / "VOCdevkit" / "VOC2010"
    for folder in (tree / "JPEGImages", tree / "ImageSets/Main"):
        folder.mkdir(parents=True)
    for split, ids in LISTS.items():
        (tree / "ImageSets/Main" / f"{split}.txt").write_text("\n".join(ids) + "\n")
        for name in ids:
            _save_image(tree / "JPEGImages" / f"{name}.jpg")
    return tree


@pytest.fixture(scope="session")
def few() -> Counts:
    """How much of everything is in `few_packed`."""
    return Counts(
        val=4,
        train=5,
        extra=6,
        extra_in_train=2,
        extra_in_val=1,
        pascal=pack_pascal.Counts(train=2, val=1, people_train=2, people_val=1),
        cityscapes=pack_cityscapes.Counts(train=2, val=1),
        coco=2,
    )


@pytest.fixture(scope="session")
def few_packed(few: Counts, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small sample's archives, for reading alone."""
    folder = tmp_path_factory.mktemp("sample") / "archives"
    render(folder, counts=few)
    return folder
