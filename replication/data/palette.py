"""PASCAL VOC's class names and its colour map: the set whose layout all others follow."""

import numpy as np
from jaxtyping import UInt8

VOC_CLASSES: tuple[str, ...] = (
    "background",
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)


def voc_palette() -> UInt8[np.ndarray, "256 3"]:
    """Return VOC's colour map: RGB in 0..255 for each index 0..255.

    The closed form of VOCdevkit's ``VOCcolormap.m``: an index's bits are dealt to R, G and B in
    turn, the lowest three bits becoming the highest bit of each. Colours are for looking at; labels
    are always read as indices.
    """
    index = np.arange(256)[:, None]  # (256, 1)
    channel = np.arange(3)[None, :]  # (1, 3)
    colours = np.zeros((256, 3), dtype=np.int64)
    for digit in range(8):
        colours |= (index >> (3 * digit + channel) & 1) << (7 - digit)
    return colours.astype(np.uint8)
