"""Images and label maps side by side: reading them, colouring them, and laying them out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

from replication.data.canonical import DataSet
from replication.data.labels import VOID, read_image, read_label
from replication.errors import ReplicationError
from replication.evaluation.run import best_class
from replication.inference.enlarge import enlarge
from replication.inference.store import read_scores, score_path
from replication.reporting.style import PAGE, literal

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LEGEND_COLUMNS = 6
_NAME_SIZE = 6  # points
_LETTER = 0.6 * _NAME_SIZE / 72  # inches that a letter of a name takes
Picture = UInt8[np.ndarray, "H W"] | UInt8[np.ndarray, "H W 3"]


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


def read_truth(
    dataset: DataSet, name: str
) -> tuple[UInt8[np.ndarray, "H W 3"], UInt8[np.ndarray, "H W"]]:
    """Read an id's photograph, RGB, and its true label map; ReplicationError names a bad file."""
    truth = read_label(dataset.label_path(name), dataset.num_classes)
    return read_image(dataset.image_path(name)), truth


def read_before(
    dataset: DataSet, name: str, scores_dir: Path, size: tuple[int, int], stride: int
) -> UInt8[np.ndarray, "H W"]:
    """Return the label map before the CRF: the best of the scores enlarged to ``size`` (H, W).

    Raises:
        ReplicationError: the scores are missing, broken or do not fit ``size`` at ``stride``.
    """
    path = score_path(scores_dir, name)
    scores = read_scores(path, dataset.num_classes)  # (C, h, w)
    return best_class(enlarge(scores, stride, size, str(path)))


def read_after(
    dataset: DataSet, name: str, refined_dir: Path, size: tuple[int, int]
) -> UInt8[np.ndarray, "H W"]:
    """Return the label map after the CRF.

    Raises:
        ReplicationError: the file is missing, broken, or not of ``size`` (H, W).
    """
    path = refined_dir / f"{name}.png"
    label = read_label(path, dataset.num_classes)
    height, width = size
    if label.shape != size:
        raise ReplicationError(
            f"{path}: {label.shape[1]}x{label.shape[0]} pixels, its image has {width}x{height}; "
            "run `refine` again"
        )
    return label


def in_lines(name: str, length: int) -> str:
    """Break a name into lines of at most ``length`` characters, after underscores where it can."""
    lines = [""]
    for piece in re.findall(rf"[^_]{{0,{length - 1}}}_|[^_]{{1,{length}}}", name):
        if len(lines[-1]) + len(piece) > length:
            lines.append("")
        lines[-1] += piece
    return "\n".join(lines)


@dataclass(frozen=True)
class Row:
    """Pictures of one image, all (H, W): label maps (H, W), or RGB (H, W, 3); and its name."""

    name: str
    pictures: Sequence[Picture]


def lay_out(
    dataset: DataSet,
    columns: Sequence[str],
    rows: Sequence[Row],
    title: str,
    *,
    more: Mapping[str, str] | None = None,
) -> Figure:
    """Return a figure of a page's width: an image a row, a heading a column, and a legend.

    Args:
        dataset: whose class names and palette are used; void is white.
        columns: headings.
        rows: as many pictures each as there are columns.
        title: of the figure; may have several lines.
        more: colours of the legend besides the classes that occur, by what they mean.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    ratios = [row.pictures[0].shape[0] / row.pictures[0].shape[1] for row in rows]
    labels = [picture for row in rows for picture in row.pictures if picture.ndim == 2]
    shown = sorted({int(value) for label in labels for value in np.unique(label)})
    handles = [
        Patch(
            facecolor="white" if value == VOID else tuple(dataset.palette[value] / 255),
            edgecolor="0.4",
            linewidth=0.5,
            label="void (not judged)" if value == VOID else literal(dataset.classes[value]),
        )
        for value in shown
    ]
    handles += [
        Patch(facecolor=colour, edgecolor="0.4", linewidth=0.5, label=meaning)
        for meaning, colour in (more or {}).items()
    ]
    legend_rows = -(-len(handles) // _LEGEND_COLUMNS)
    height = sum(ratios) * PAGE / len(columns) + 0.8 + 0.2 * legend_rows
    figure = Figure(figsize=(PAGE, height), layout="constrained")
    axes = figure.subplots(len(rows), len(columns), squeeze=False, height_ratios=ratios)
    for line, row in enumerate(rows):
        for column, picture in enumerate(row.pictures):
            axis = axes[line, column]
            photograph = picture.ndim == 3
            axis.imshow(
                picture if photograph else colours(picture, dataset.palette),
                interpolation="antialiased" if photograph else "nearest",
            )
            axis.set(xticks=[], yticks=[])
            for side in axis.spines.values():
                side.set(color="0.6", linewidth=0.5)  # void is white: the picture needs an edge
            if line == 0:
                axis.set_title(columns[column], fontsize=9)
        room = 0.9 * ratios[line] * PAGE / len(columns)  # inches along the row's side
        broken = in_lines(row.name, max(2, int(room / _LETTER)))
        axes[line, 0].set_ylabel(literal(broken), fontsize=_NAME_SIZE)
    figure.suptitle(literal(title), fontsize=9)
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=min(_LEGEND_COLUMNS, len(handles)),
        fontsize=7,
        frameon=False,
    )
    return figure
