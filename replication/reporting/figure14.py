"""Figure 14 of the paper: failure modes, the images that the CRF harms most near their contours.

The rule: mean IOU in the trimap of 10 pixels, image by image over the classes that the truth has
there, before and after the CRF; shown are the images with the largest drop, of equal ones the first
by name. Nobody chooses. (Were classes counted that only a prediction has, one stray pixel of such a
class would halve the mean of an image with one true class.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64

from replication.data.canonical import DataSet
from replication.data.labels import read_label
from replication.errors import ReplicationError
from replication.evaluation.class_counts import TRUE, class_counts, mean_iou_of
from replication.evaluation.parallel import over_images
from replication.evaluation.trimap import ring_counts
from replication.plan import OUTPUT_STRIDE
from replication.reporting.before_after import COLUMNS, before_after_row
from replication.reporting.captions import Caption
from replication.reporting.context import Context
from replication.reporting.pictures import lay_out, read_after, read_before
from replication.reporting.style import MINUS, save

WIDTH = 10  # of the trimap, pixels
COUNT = 4


class Drop(NamedTuple):
    """An image's mean IOU in the trimap before minus after the CRF, in points."""

    name: str
    points: float


def make(context: Context) -> Caption:
    """Draw figure 14 for the shown run; ReplicationError where no image gets worse."""
    run, dataset = context.shown, context.dataset
    scores, refined = context.place("scores", run), context.place("refined", run)
    drops = largest_drops(dataset, context.ids, scores, refined, jobs=context.settings.params.jobs)
    if not drops:
        raise ReplicationError(f"{refined}: the CRF makes no image worse in its trimap")
    rows = [
        replace(
            before_after_row(dataset, name, scores, refined),
            name=f"{name}\n{MINUS}{points:.1f} points",
        )
        for name, points in drops
    ]
    title = (
        f"Failure modes of run {run} on {dataset.name}, val: the {len(drops)} largest drops\n"
        f"of mean IOU in the trimap of {WIDTH} pixels from before to after the CRF"
    )
    save(lay_out(dataset, COLUMNS, rows, title), context.out("figure14"))
    return Caption(
        name="figure14",
        title="Figure 14: failure modes",
        caption=(
            f"Run {run} on val of {dataset.name}. Chosen by rule, not by hand: the {len(drops)} of "
            f"{len(context.ids):,} images whose mean IOU in the trimap of {WIDTH} pixels (over the "
            "classes that the truth has there) drops most from before to after the CRF; the drop "
            "in points stands beside each."
        ),
        alt=(
            "A grid of four columns, photograph, true labels, labels before and after the CRF; "
            "rows: "
            + ", ".join(f"{name} ({MINUS}{points:.1f} points)" for name, points in drops)
            + "."
        ),
        runs=(run,),
        files=(context.name(scores), context.name(refined)),
    )


def largest_drops(
    dataset: DataSet,
    ids: Sequence[str],
    scores_dir: Path,
    refined_dir: Path,
    *,
    count: int = COUNT,
    jobs: int | None = None,
) -> list[Drop]:
    """Return at most ``count`` images that get worse, the worst first.

    Raises:
        ReplicationError: a file is missing, broken or of the wrong size; names it.
    """
    tasks = [(dataset, name, scores_dir, refined_dir) for name in ids]
    drops = [
        drop
        for drop in over_images(_drop, tasks, "failure modes", jobs, few=100)
        if drop.points > 0  # an image without a trimap has NaN
    ]
    return sorted(drops, key=lambda drop: (-drop.points, drop.name))[:count]


def _drop(dataset: DataSet, name: str, scores_dir: Path, refined_dir: Path) -> Drop:
    truth = read_label(dataset.label_path(name), dataset.num_classes)
    size = truth.shape[0], truth.shape[1]
    labels = [
        read_before(dataset, name, scores_dir, size, OUTPUT_STRIDE),
        read_after(dataset, name, refined_dir, size),
    ]
    rings = np.stack(ring_counts(truth, labels, dataset.num_classes, WIDTH))  # (2, width, C, C)
    before, after = mean_iou_of_true(class_counts(rings.sum(axis=1)))
    return Drop(name, float(before - after))


def mean_iou_of_true(counts: Int64[np.ndarray, "many 3 C"]) -> Float64[np.ndarray, " many"]:
    """Return the mean of IOU in percent over the classes that have true pixels; NaN without any.

    As `mean_iou_of`, but a class that is only predicted does not count: it lowers the others.
    """
    there = counts[:, TRUE] > 0  # (many, C)
    return mean_iou_of(np.where(there[:, None], counts, 0))
