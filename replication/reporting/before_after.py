"""Figures 6, and 11 to 13 of the paper: image, truth, before and after the CRF.

Figure 6 shows VOC 2012; 11 PASCAL-Context, 12 PASCAL-Person-Part, 13 Cityscapes.

Which images: ``count`` evenly spaced ones of the sorted list of evaluated images, the middles of
``count`` equal parts. The rule looks at no result, so it can't flatter one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from replication.data.canonical import DataSet
from replication.errors import ReplicationError
from replication.plan import OUTPUT_STRIDE, evaluated_ids
from replication.reporting.captions import Caption
from replication.reporting.context import Context
from replication.reporting.pictures import (
    Row,
    evenly_spaced,
    lay_out,
    read_after,
    read_before,
    read_truth,
)
from replication.reporting.style import save

COLUMNS = ("Image", "Ground truth", "Before CRF", "After CRF")
COUNT = 4


# The run whose images each figure shows: the one that the paper's table gives after the CRF.
OTHER_SETS = {
    "figure11": "context_resnet_msc_coco_aug_aspp",
    "figure12": "person_part_resnet_msc_coco_aug",
    "figure13": "cityscapes_resnet_aug_aspp",
}


def make(context: Context, *, name: str = "before_after") -> Caption:
    """Draw figure 6 or one of `OTHER_SETS`; ReplicationError where its run is not refined."""
    if name not in OTHER_SETS:
        return _make(context, name, context.shown, "Figure 6: before and after the CRF")
    run = OTHER_SETS[name]
    record = context.place("refined", run) / "refine.json"
    if not record.is_file():
        raise ReplicationError(f"{record} does not exist: `dvc repro` refines the scores of {run}")
    title = f"Figure {name.removeprefix('figure')}: {context.dataset_of(run).name}"
    return _make(context, name, run, title)


def _make(context: Context, figure: str, run: str, title: str) -> Caption:
    dataset = context.dataset_of(run)
    ids = evaluated_ids(context.settings.profile, dataset)
    scores, refined = context.place("scores", run), context.place("refined", run)
    before_after(dataset, scores, refined, context.out(figure), run=run, ids=ids)
    chosen = evenly_spaced(ids, COUNT)
    return Caption(
        name=figure,
        title=title,
        caption=(
            f"Run {run} on val of {dataset.name}: image, ground truth, the network's labels and "
            f"those after the fully connected CRF. Images: {len(chosen)} of {len(ids):,}, "
            "evenly spaced in the sorted list of names."
        ),
        alt=(
            f"A grid of {len(chosen)} rows ({', '.join(chosen)}) and four columns: photograph, "
            "true labels, labels before the CRF, labels after it."
        ),
        runs=(run,),
        files=(context.name(scores), context.name(refined)),
    )


def before_after(
    dataset: DataSet,
    scores_dir: Path,
    refined_dir: Path,
    out: Path,
    *,
    run: str,
    count: int = COUNT,
    stride: int = OUTPUT_STRIDE,
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
    rows = [before_after_row(dataset, name, scores_dir, refined_dir, stride) for name in chosen]
    title = (
        f"Run {run} on {dataset.name}, {split}\n"
        f"{len(chosen)} of {len(known):,} images, evenly spaced in the sorted list of names"
    )
    return save(lay_out(dataset, COLUMNS, rows, title), out)


def before_after_row(
    dataset: DataSet, name: str, scores_dir: Path, refined_dir: Path, stride: int = OUTPUT_STRIDE
) -> Row:
    """Read what one id's row shows, the columns of `COLUMNS`; ReplicationError names a bad file."""
    image, truth = read_truth(dataset, name)
    size = truth.shape[0], truth.shape[1]
    before = read_before(dataset, name, scores_dir, size, stride)
    return Row(name, (image, truth, before, read_after(dataset, name, refined_dir, size)))
