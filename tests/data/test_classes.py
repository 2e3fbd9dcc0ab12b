"""The class tables against others' tables: torchvision's, VOC's colour map, published lists."""

from pathlib import Path

import numpy as np
import pytest

from replication.data.classes import (
    CITYSCAPES,
    CITYSCAPES_LABELS,
    COCO_CATEGORIES,
    COCO_TO_VOC,
    CONTEXT,
    PERSON_PART,
    VOC,
    ClassTable,
)
from replication.data.palette import VOC_CLASSES, voc_palette

TABLES = {"voc": VOC, "context": CONTEXT, "part": PERSON_PART, "cityscapes": CITYSCAPES}


@pytest.mark.parametrize("table", TABLES.values(), ids=list(TABLES))
def test_ids_are_places_and_names_differ(table: ClassTable) -> None:
    assert [one.id for one in table.classes] == list(range(len(table.classes)))
    assert len(set(table.names)) == len(table.names)
    assert len({one.colour for one in table.classes}) == len(table.classes)
    for one in table.classes:
        assert tuple(table.palette[one.id]) == one.colour
    assert table.palette.shape == (256, 3)
    assert table.palette.dtype == np.uint8


def test_counts() -> None:
    assert {name: len(table.names) for name, table in TABLES.items()} == {
        "voc": 21,
        "context": 60,
        "part": 7,
        "cityscapes": 19,
    }


def test_context_is_the_published_list(shared: Path) -> None:
    published = (shared / "paper/lists/pascal_context_59_classes.txt").read_text().split()
    assert list(CONTEXT.names) == published


def test_context_begins_with_voc_and_has_its_colours() -> None:
    assert CONTEXT.names[:21] == VOC_CLASSES
    np.testing.assert_array_equal(CONTEXT.palette[:60], voc_palette()[:60])
    np.testing.assert_array_equal(VOC.palette, voc_palette())


def test_cityscapes_is_as_torchvision_has_it() -> None:
    from torchvision.datasets import Cityscapes

    theirs = [one for one in Cityscapes.classes if one.id >= 0]  # -1: license plate, never drawn
    assert len(theirs) == len(CITYSCAPES_LABELS) == 34
    for ours, other in zip(CITYSCAPES_LABELS, theirs, strict=True):
        assert (ours.name, ours.id, ours.colour) == (other.name, other.id, other.color)
        assert (255 if ours.train_id is None else ours.train_id) == other.train_id
    assert tuple(CITYSCAPES.palette[255]) == (0, 0, 0)


def test_coco_is_as_torchvision_has_it() -> None:
    from torchvision.models.detection import MaskRCNN_ResNet50_FPN_Weights

    categories = MaskRCNN_ResNet50_FPN_Weights.DEFAULT.meta["categories"]
    theirs = [name for name in categories if name not in {"__background__", "N/A"}]
    assert list(COCO_CATEGORIES) == theirs
    assert len(COCO_CATEGORIES) == 80


def test_coco_gives_voc_as_torchvision_counts_it() -> None:
    # the ids of COCO's categories that torchvision's segmentation recipe trains on, in VOC's order
    # (its references/segmentation/coco_utils.py, `CAT_LIST`)
    ids = [0, 5, 2, 16, 9, 44, 6, 3, 17, 62, 21, 67, 18, 19, 4, 1, 64, 20, 63, 7, 72]
    from torchvision.models.detection import MaskRCNN_ResNet50_FPN_Weights

    categories = MaskRCNN_ResNet50_FPN_Weights.DEFAULT.meta["categories"]
    assert {categories[i]: k for k, i in enumerate(ids) if k} == COCO_TO_VOC
    assert len(COCO_TO_VOC) == 20
