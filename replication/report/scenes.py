"""Images before and after the CRF, as files beside the page.

The images are those of the figure: evenly spaced in the sorted list of names, a rule that looks at
no result. Photographs are stored as the network read them; label maps are palette PNGs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from replication.data.canonical import DataSet
from replication.data.labels import VOID, encode_label
from replication.reporting.pictures import evenly_spaced, read_after, read_before, read_truth

COUNT = 4
_QUALITY = 90  # of a stored photograph, of 100


@dataclass(frozen=True)
class Picture:
    """One file of the page, and what it shows in words."""

    src: str
    alt: str


@dataclass(frozen=True)
class Scene:
    """One image: sizes in pixels, and its four pictures."""

    name: str
    width: int
    height: int
    photograph: Picture
    truth: Picture
    before: Picture
    after: Picture


@dataclass(frozen=True)
class Scenes:
    """The images of one run, and the classes in them: (name, colour), void last."""

    run: str
    data: str
    total: int
    scenes: list[Scene]
    legend: list[tuple[str, str]]


def write_scenes(
    dataset: DataSet,
    ids: Sequence[str],
    scores_dir: Path,
    refined_dir: Path,
    out: Path,
    *,
    run: str,
    stride: int,
    count: int = COUNT,
) -> Scenes:
    """Write the pictures of ``count`` images into ``out/images/`` and say what they are.

    Args:
        dataset: the canonical data set.
        ids: the evaluated images, to choose from.
        scores_dir: ``ID.npz`` with scores (C, h, w) before the CRF.
        refined_dir: ``ID.png`` with the labels after it.
        out: the page's folder.
        run: the run that the scores are of.
        stride: output stride of the scores, pixels.
        count: how many images at most.

    Raises:
        ReplicationError: a file of a chosen image is missing, broken or of the wrong size.
    """
    (out / "images").mkdir(parents=True, exist_ok=True)
    palette = dataset.palette.copy()
    palette[VOID] = 255
    scenes, present = [], set[int]()
    for number, name in enumerate(evenly_spaced(ids, count), 1):
        image, truth = read_truth(dataset, name)  # (H, W, 3), (H, W)
        size = height, width = truth.shape[0], truth.shape[1]
        before = read_before(dataset, name, scores_dir, size, stride)
        after = read_after(dataset, name, refined_dir, size)
        # Numbered: an id may hold what a web address can't.
        photograph = f"images/{number}_photograph.webp"
        Image.fromarray(image).save(out / photograph, quality=_QUALITY)
        pictures = {}
        for what, label in (("truth", truth), ("before", before), ("after", after)):
            src = f"images/{number}_{what}.png"
            (out / src).write_bytes(encode_label(label, palette))
            pictures[what] = Picture(src, _classes_in(label, dataset))
            present |= {int(value) for value in np.unique(label)}
        scenes.append(
            Scene(
                name=name,
                width=width,
                height=height,
                photograph=Picture(photograph, f"image {name}"),
                truth=Picture(pictures["truth"].src, f"ground truth: {pictures['truth'].alt}"),
                before=Picture(pictures["before"].src, f"before CRF: {pictures['before'].alt}"),
                after=Picture(pictures["after"].src, f"after CRF: {pictures['after'].alt}"),
            )
        )
    return Scenes(
        run=run,
        data=dataset.name,
        total=len(ids),
        scenes=scenes,
        legend=[
            (_class_name(value, dataset), "#" + bytes(palette[value].tolist()).hex())
            for value in sorted(present)
        ],
    )


def _classes_in(label: UInt8[np.ndarray, "H W"], dataset: DataSet) -> str:
    """Name a label map's classes by area, largest first: what it shows for who can't see it."""
    values, pixels = np.unique(label, return_counts=True)
    order = np.argsort(-pixels, kind="stable")
    return ", ".join(_class_name(int(values[i]), dataset) for i in order if values[i] != VOID)


def _class_name(value: int, dataset: DataSet) -> str:
    return "void (not judged)" if value == VOID else dataset.classes[value]
