"""A figure in the layout of the paper's figure 6: image, truth, before and after the CRF.

Which images: ``count`` evenly spaced ones of the sorted list of evaluated images, the middles of
``count`` equal parts. The rule looks at no result, so it can't flatter one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import UInt8

from replication.data.canonical import DataSet
from replication.data.labels import VOID, read_image, read_label
from replication.errors import ReplicationError
from replication.inference.enlarge import enlarge
from replication.inference.store import read_scores, score_path
from replication.reporting.style import save

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = ("Image", "Ground truth", "Before CRF", "After CRF")
_WIDTH = 8.3  # inches, a page's text
_LEGEND_COLUMNS = 6


def evenly_spaced(ids: Sequence[str], count: int) -> list[str]:
    """Return ``count`` ids (all, if there are fewer): middles of equal parts of the sorted list."""
    ordered = sorted(ids)
    count = min(count, len(ordered))
    return [ordered[(2 * part + 1) * len(ordered) // (2 * count)] for part in range(count)]


def colours(
    label: UInt8[np.ndarray, "H W"], palette: UInt8[np.ndarray, "256 3"]
) -> UInt8[np.ndarray, "H W 3"]:
    """Colour a label map (H, W) by the data set's palette, void in white; uint8 RGB (H, W, 3)."""
    table = palette.copy()
    table[VOID] = 255
    coloured: UInt8[np.ndarray, "H W 3"] = table[label]
    return coloured


def before_after(
    dataset: DataSet,
    scores_dir: Path,
    refined_dir: Path,
    out: Path,
    *,
    run: str,
    count: int = 4,
    stride: int = 8,
    split: str = "val",
    ids: Sequence[str] | None = None,
) -> list[Path]:
    """Draw ``count`` images of a split, one a row, and write ``out``.png and ``out``.pdf.

    Args:
        dataset: the canonical data set.
        scores_dir: ``ID.npz`` with scores (C, h, w) before the CRF.
        refined_dir: ``ID.png`` with the labels after it.
        out: the figure's path without suffix. It shows photographs: the caller decides whether it
            may be published.
        run: the run's name, for the title.
        count: how many images at most, at least 1.
        stride: output stride of the scores, pixels.
        split: the split that was scored.
        ids: the images to choose from, where only a part of the split was scored.

    Returns:
        The two files.

    Raises:
        ReplicationError: a file of a chosen image is missing, broken or of the wrong size; names
            it.
    """
    if count < 1:
        raise ValueError(f"`count` must be at least 1, not {count}")
    known = dataset.ids(split) if ids is None else list(ids)
    chosen = evenly_spaced(known, count)
    rows = [_read(dataset, name, scores_dir, refined_dir, stride) for name in chosen]
    title = (
        f"Run {run} on {dataset.name}, {split}\n"
        f"{len(chosen)} of {len(known):,} images, evenly spaced in the sorted list of names"
    )
    return save(_draw(dataset, chosen, rows, title), out)


class _Row(NamedTuple):
    image: UInt8[np.ndarray, "H W 3"]
    truth: UInt8[np.ndarray, "H W"]
    before: UInt8[np.ndarray, "H W"]
    after: UInt8[np.ndarray, "H W"]


def _read(dataset: DataSet, name: str, scores_dir: Path, refined_dir: Path, stride: int) -> _Row:
    """Read what one id's row shows."""
    image = read_image(dataset.image_path(name))
    height, width = image.shape[:2]
    truth = read_label(dataset.label_path(name), dataset.num_classes)
    path = score_path(scores_dir, name)
    scores = read_scores(path, dataset.num_classes)  # (C, h, w)
    maps = enlarge(scores, stride, (height, width), str(path))  # (C, H, W)
    refined = refined_dir / f"{name}.png"
    after = read_label(refined, dataset.num_classes)
    if after.shape != truth.shape:
        raise ReplicationError(
            f"{refined}: {after.shape[1]}x{after.shape[0]} pixels, its image has {width}x{height}; "
            "run `refine` again"
        )
    return _Row(image, truth, maps.argmax(axis=0).astype(np.uint8), after)


def _draw(dataset: DataSet, names: Sequence[str], rows: Sequence[_Row], title: str) -> Figure:
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    ratios = [image.shape[0] / image.shape[1] for image, *_ in rows]
    shown = sorted(
        {int(value) for _, *labels in rows for label in labels for value in np.unique(label)}
    )
    legend_rows = -(-len(shown) // _LEGEND_COLUMNS)
    height = sum(ratios) * _WIDTH / len(COLUMNS) + 0.8 + 0.2 * legend_rows
    figure = Figure(figsize=(_WIDTH, height), layout="constrained")
    axes = figure.subplots(len(rows), len(COLUMNS), squeeze=False, height_ratios=ratios)
    for line, (name, (image, *labels)) in enumerate(zip(names, rows, strict=True)):
        pictures = [image, *(colours(label, dataset.palette) for label in labels)]
        for column, picture in enumerate(pictures):
            axis = axes[line, column]
            axis.imshow(picture, interpolation="antialiased" if column == 0 else "nearest")
            axis.set(xticks=[], yticks=[])
            for side in axis.spines.values():
                side.set(color="0.6", linewidth=0.5)  # void is white: the picture needs an edge
            if line == 0:
                axis.set_title(COLUMNS[column], fontsize=9)
        axes[line, 0].set_ylabel(name, fontsize=6)
    figure.suptitle(title, fontsize=9)
    figure.legend(
        handles=[
            Patch(
                facecolor="white" if value == VOID else tuple(dataset.palette[value] / 255),
                edgecolor="0.4",
                linewidth=0.5,
                label="void (not judged)" if value == VOID else dataset.classes[value],
            )
            for value in shown
        ],
        loc="outside lower center",
        ncols=min(_LEGEND_COLUMNS, len(shown)),
        fontsize=7,
        frameon=False,
    )
    return figure
