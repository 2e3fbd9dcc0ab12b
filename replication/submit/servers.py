"""The test servers: which images they ask for, and what a label map must look like.

VOC 2012 (devkit_doc, section 3.3 and 5.3): a tar.gz of palette PNGs under
``results/VOC2012/Segmentation/comp6_test_cls``; comp6 is the competition that allows other training
data, as ImageNet and SBD are. Cityscapes (evalPixelLevelSemanticLabeling.py of cityscapesScripts):
a zip of PNGs at full resolution that hold labelIds, not train ids, each named after its image.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import UInt8

from replication.data.canonical import read_ids
from replication.data.cityscapes import train_ids
from replication.data.classes import CITYSCAPES, VOC
from replication.data.palette import voc_palette
from replication.data.voc import IMAGES, LISTS, find_tree
from replication.errors import ReplicationError

Palette = UInt8[np.ndarray, "256 3"]


@dataclass(frozen=True)
class Server:
    """A test server.

    Attributes:
        name: as ``replication submit`` calls it, and the data set's name.
        homepage: where the archive is handed in.
        classes: those of the data set, by id.
        count: images of the test set.
        suffix: of the archive, ``.tar.gz`` or ``.zip``.
        folder: inside the archive, before the file's name.
        fit: how `replication predict` fits an image.
        values: the value written for each of our ids: uint8 (classes,).
        palette: of the PNGs; None writes grey ones.
        find: the test images below a folder.
    """

    name: str
    homepage: str
    classes: tuple[str, ...]
    count: int
    suffix: Literal[".tar.gz", ".zip"]
    folder: str
    fit: str
    values: UInt8[np.ndarray, " classes"]
    palette: Palette | None
    find: Callable[[Path], list[Path]]

    def member(self, image: Path) -> str:
        """Return the name that an image's label map has in the archive."""
        return f"{self.folder}{image.stem}.png"


def find_voc_test(root: Path) -> list[Path]:
    """Return the images that ImageSets/Segmentation/test.txt lists, in its order.

    Raises:
        ReplicationError: there is no such list at or below ``root``, or an image of it is missing.
    """
    tree = find_tree(root, (IMAGES, LISTS), what="VOC 2012 test tree")
    ids = read_ids(tree / LISTS / "test.txt")
    images = [tree / IMAGES / f"{name}.jpg" for name in ids]
    for image in images:
        if not image.is_file():
            raise ReplicationError(
                f"{image} does not exist, and test.txt lists it; unpack VOC 2012's test archive "
                "again"
            )
    return images


def find_cityscapes_test(root: Path) -> list[Path]:
    """Return the images of leftImg8bit/test, sorted; ReplicationError if there are none."""
    images = sorted(root.glob("**/test/*/*_leftImg8bit.png"))
    if not images:
        raise ReplicationError(
            f"{root}: no test/CITY/*_leftImg8bit.png at or below it; give the folder that "
            "leftImg8bit_trainvaltest.zip unpacks to"
        )
    return images


def _label_ids() -> UInt8[np.ndarray, "19"]:
    """Return the labelId of each train id: Cityscapes' table, turned round."""
    ids = train_ids()
    return np.array([int(np.flatnonzero(ids == k)[0]) for k in range(19)], np.uint8)


def get_server(name: str) -> Server:
    """Return a server; ReplicationError lists those that there are."""
    if name == "voc2012":
        return Server(
            name=name,
            homepage="http://host.robots.ox.ac.uk:8080/",
            classes=VOC.names,
            count=1_456,
            suffix=".tar.gz",
            folder="results/VOC2012/Segmentation/comp6_test_cls/",
            fit="pad",
            values=np.arange(21, dtype=np.uint8),
            palette=voc_palette(),
            find=find_voc_test,
        )
    if name == "cityscapes":
        return Server(
            name=name,
            homepage="https://www.cityscapes-dataset.com/submit/",
            classes=CITYSCAPES.names,
            count=1_525,
            suffix=".zip",
            folder="",
            fit="tile",
            values=_label_ids(),
            palette=None,
            find=find_cityscapes_test,
        )
    raise ReplicationError(f"no test server is called {name!r}; use voc2012 or cityscapes")
