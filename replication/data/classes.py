"""Every data set's classes in one place: name, id (the label's value), colour.

VOC's names are in `palette`. PASCAL-Context and PASCAL-Person-Part are coloured by VOC's map, as
their authors' own labels are; Cityscapes has colours of its own (`labels.py` of cityscapesScripts,
which also fixes its ids). COCO's categories become VOC's classes.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from replication.data.palette import VOC_CLASSES, voc_palette


class Class(NamedTuple):
    """One class: its name, its id in our labels, its colour (RGB, 0..255)."""

    name: str
    id: int
    colour: tuple[int, int, int]


@dataclass(frozen=True)
class ClassTable:
    """The classes of a data set, ids 0, 1, ... in order."""

    classes: tuple[Class, ...]
    void: tuple[int, int, int] = (224, 224, 192)

    @property
    def names(self) -> tuple[str, ...]:
        """The names; a name's place is its id."""
        return tuple(one.name for one in self.classes)

    @property
    def palette(self) -> UInt8[np.ndarray, "256 3"]:
        """The colour map for label files: uint8 (256, 3), RGB; ids without a class as VOC's."""
        colours = voc_palette()
        for one in self.classes:
            colours[one.id] = one.colour
        colours[255] = self.void
        return colours


def _in_voc_colours(names: tuple[str, ...]) -> ClassTable:
    colours = voc_palette()[: len(names)].tolist()
    return ClassTable(
        tuple(
            Class(name, k, tuple(c)) for k, (name, c) in enumerate(zip(names, colours, strict=True))
        )
    )


VOC = _in_voc_colours(VOC_CLASSES)

# The 59 most frequent of 459 (Mottaghi et al. 2014), in the order of the authors'
# 59_labels.txt: VOC's twenty, then things and stuff.
CONTEXT = _in_voc_colours(
    (
        *VOC_CLASSES,
        *("bag", "bed", "bench", "book", "building", "cabinet", "ceiling", "clothes", "computer"),
        *("cup", "door", "fence", "floor", "flower", "food", "grass", "ground", "keyboard"),
        *("light", "mountain", "mouse", "curtain", "platform", "sign", "plate", "road", "rock"),
        *("shelves", "sidewalk", "sky", "snow", "bedcloth", "track", "tree", "truck", "wall"),
        *("water", "window", "wood"),
    )
)

# The list of 459 labels calls three of the 59 otherwise.
CONTEXT_ALIASES = {"diningtable": "table", "bedcloth": "bedclothes", "clothes": "cloth"}

# Chen et al., Attention to Scale, section 4.1, in the order of their labels.
PERSON_PART = _in_voc_colours(
    ("background", "head", "torso", "upper arms", "lower arms", "upper legs", "lower legs")
)


class LabelId(NamedTuple):
    """One of Cityscapes' labels: name, labelId, train id (None: void), colour."""

    name: str
    id: int
    train_id: int | None
    colour: tuple[int, int, int]


CITYSCAPES_LABELS: tuple[LabelId, ...] = (
    LabelId("unlabeled", 0, None, (0, 0, 0)),
    LabelId("ego vehicle", 1, None, (0, 0, 0)),
    LabelId("rectification border", 2, None, (0, 0, 0)),
    LabelId("out of roi", 3, None, (0, 0, 0)),
    LabelId("static", 4, None, (0, 0, 0)),
    LabelId("dynamic", 5, None, (111, 74, 0)),
    LabelId("ground", 6, None, (81, 0, 81)),
    LabelId("road", 7, 0, (128, 64, 128)),
    LabelId("sidewalk", 8, 1, (244, 35, 232)),
    LabelId("parking", 9, None, (250, 170, 160)),
    LabelId("rail track", 10, None, (230, 150, 140)),
    LabelId("building", 11, 2, (70, 70, 70)),
    LabelId("wall", 12, 3, (102, 102, 156)),
    LabelId("fence", 13, 4, (190, 153, 153)),
    LabelId("guard rail", 14, None, (180, 165, 180)),
    LabelId("bridge", 15, None, (150, 100, 100)),
    LabelId("tunnel", 16, None, (150, 120, 90)),
    LabelId("pole", 17, 5, (153, 153, 153)),
    LabelId("polegroup", 18, None, (153, 153, 153)),
    LabelId("traffic light", 19, 6, (250, 170, 30)),
    LabelId("traffic sign", 20, 7, (220, 220, 0)),
    LabelId("vegetation", 21, 8, (107, 142, 35)),
    LabelId("terrain", 22, 9, (152, 251, 152)),
    LabelId("sky", 23, 10, (70, 130, 180)),
    LabelId("person", 24, 11, (220, 20, 60)),
    LabelId("rider", 25, 12, (255, 0, 0)),
    LabelId("car", 26, 13, (0, 0, 142)),
    LabelId("truck", 27, 14, (0, 0, 70)),
    LabelId("bus", 28, 15, (0, 60, 100)),
    LabelId("caravan", 29, None, (0, 0, 90)),
    LabelId("trailer", 30, None, (0, 0, 110)),
    LabelId("train", 31, 16, (0, 80, 100)),
    LabelId("motorcycle", 32, 17, (0, 0, 230)),
    LabelId("bicycle", 33, 18, (119, 11, 32)),
)

CITYSCAPES = ClassTable(
    tuple(
        Class(label.name, label.train_id, label.colour)
        for label in CITYSCAPES_LABELS
        if label.train_id is not None
    ),
    void=(0, 0, 0),
)

COCO_CATEGORIES: tuple[str, ...] = (
    *("person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat"),
    *("traffic light", "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat"),
    *("dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe", "backpack"),
    *("umbrella", "handbag", "tie", "suitcase", "frisbee", "skis", "snowboard", "sports ball"),
    *("kite", "baseball bat", "baseball glove", "skateboard", "surfboard", "tennis racket"),
    *("bottle", "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple"),
    *("sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair"),
    *("couch", "potted plant", "bed", "dining table", "toilet", "tv", "laptop", "mouse"),
    *("remote", "keyboard", "cell phone", "microwave", "oven", "toaster", "sink"),
    *("refrigerator", "book", "clock", "vase", "scissors", "teddy bear", "hair drier"),
    "toothbrush",
)

_COCO_NAMES = {  # where COCO's name is not VOC's
    "airplane": "aeroplane",
    "motorcycle": "motorbike",
    "couch": "sofa",
    "potted plant": "pottedplant",
    "dining table": "diningtable",
    "tv": "tvmonitor",
}

COCO_TO_VOC: dict[str, int] = {
    name: VOC_CLASSES.index(_COCO_NAMES.get(name, name))
    for name in COCO_CATEGORIES
    if _COCO_NAMES.get(name, name) in VOC_CLASSES
}
"""VOC's id by COCO's category, for the twenty that both have; the others are background."""
