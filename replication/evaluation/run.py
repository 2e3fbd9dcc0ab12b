"""The stage `evaluate`: a seed's scores and refined labels against the truth, before and after."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import numpy as np
from jaxtyping import Float32, Int64, UInt8

from replication.data.canonical import DataSet
from replication.data.labels import read_label
from replication.errors import ReplicationError
from replication.evaluation.class_counts import class_counts
from replication.evaluation.confusion import Summary, confusion_matrix, summarise
from replication.evaluation.parallel import over_images
from replication.evaluation.trimap import NEAR, WIDTH, TrimapCurve, ring_counts, trimap_curve
from replication.inference.enlarge import enlarge
from replication.inference.store import check_complete, read_scores, score_path, stored_ids


class Measured(Summary):
    """A set of predictions in figures, with its trimap curve."""

    trimap: TrimapCurve


class BeforeAfter(TypedDict):
    """The two figures of a seed: argmax of the enlarged scores, and the CRF's labels."""

    before: Measured
    after: Measured


@dataclass(frozen=True)
class SeedEvaluation:
    """One seed's figures, and what a bootstrap over images needs.

    Attributes:
        measured: ``before`` and ``after``, JSON-ready, in percent.
        image_counts: int64 (2, N, 3, C): before and after, `class_counts` of each image.
        near_counts: the same of the pixels at most `NEAR` from a void one.
    """

    measured: BeforeAfter
    image_counts: Int64[np.ndarray, "2 N 3 C"]
    near_counts: Int64[np.ndarray, "2 N 3 C"]


@dataclass
class _Tally:
    """What is counted over a whole set, before [0] and after [1] the CRF."""

    images: Int64[np.ndarray, "2 N 3 C"]
    near: Int64[np.ndarray, "2 N 3 C"]
    confusion: Int64[np.ndarray, "2 C C"]
    rings: Int64[np.ndarray, "2 width 3 C"]


def best_class(scores: Float32[np.ndarray, "C H W"]) -> UInt8[np.ndarray, "H W"]:
    """Return each pixel's class of the highest score (the lowest of equal ones), uint8.

    As numpy's argmax, at twice its speed: that one walks across the classes of each pixel.
    """
    best = scores[0].copy()
    label = np.zeros(best.shape, np.uint8)
    for k in range(1, scores.shape[0]):
        label[scores[k] > best] = k
        np.maximum(best, scores[k], out=best)
    return label


@dataclass(frozen=True)
class _Files:
    truth: Path
    scores: Path
    refined: Path


def _one_image(
    place: int, files: _Files, stride: int, num_classes: int
) -> tuple[int, Int64[np.ndarray, "2 C C"], Int64[np.ndarray, "2 width 3 C"]]:
    truth = read_label(files.truth, num_classes)
    size = truth.shape[0], truth.shape[1]
    name = str(files.scores)
    maps = enlarge(read_scores(files.scores, num_classes), stride, size, name)
    labels = [best_class(maps), read_label(files.refined, num_classes)]
    before = confusion_matrix(truth, labels[0], num_classes, name=name)
    after = confusion_matrix(truth, labels[1], num_classes, name=str(files.refined))
    rings = class_counts(np.stack(ring_counts(truth, labels, num_classes)))
    return place, np.stack([before, after]), rings


def _tally(
    dataset: DataSet,
    ids: Sequence[str],
    scores_dir: Path,
    refined_dir: Path,
    *,
    stride: int,
    jobs: int | None,
) -> _Tally:
    classes = dataset.num_classes
    tasks = [
        (
            place,
            _Files(
                truth=dataset.label_path(name),
                scores=score_path(scores_dir, name),
                refined=refined_dir / f"{name}.png",
            ),
            stride,
            classes,
        )
        for place, name in enumerate(ids)
    ]
    tally = _Tally(
        images=np.zeros((2, len(ids), 3, classes), np.int64),
        near=np.zeros((2, len(ids), 3, classes), np.int64),
        confusion=np.zeros((2, classes, classes), np.int64),
        rings=np.zeros((2, WIDTH, 3, classes), np.int64),
    )
    # An image takes some 20 ms, a process 1 s to start.
    for place, confusion, rings in over_images(_one_image, tasks, "evaluate", jobs, few=100):
        tally.images[:, place] = class_counts(confusion)
        tally.near[:, place] = rings[:, :NEAR].sum(axis=1)
        tally.confusion += confusion
        tally.rings += rings
    return tally


def evaluate_seed(
    dataset: DataSet,
    split: str,
    scores_dir: Path,
    refined_dir: Path,
    *,
    stride: int,
    ids: Sequence[str] | None = None,
    leave_out: Collection[str] = (),
    jobs: int | None = None,
) -> SeedEvaluation:
    """Evaluate a seed over a whole split with one confusion matrix.

    Args:
        dataset: the canonical data set.
        split: the split's name, such as ``val``.
        scores_dir: holds ``ID.npz`` for exactly the images.
        refined_dir: holds ``ID.png`` for exactly the images.
        stride: output stride of the scores, pixels.
        ids: the part of the split that was scored, each id once; None is all of it.
        leave_out: those of them that don't count, such as the images of a search.
        jobs: processes; None takes all usable cores.

    Returns:
        Figures before and after the CRF, with the trimap of 1 to 40 pixels; and the class counts
        of each counted image, in the order of the ids.

    Raises:
        ReplicationError: a file is missing, stale, broken, of another size than its label, or holds
            a value outside the classes; names it. Or no image is left to count.
    """
    wanted = dataset.ids(split) if ids is None else ids
    check_complete(scores_dir, wanted, stored_ids(scores_dir), "scores")
    refined = {p.stem for p in refined_dir.glob("*.png") if not p.name.startswith(".")}
    check_complete(refined_dir, wanted, refined, "refined labels")
    counted = [name for name in wanted if name not in leave_out]
    if not counted:
        raise ReplicationError(
            f"{refined_dir}: all {len(wanted)} images chose the CRF's parameters, and "
            "`crf.search.exclude` leaves none to measure; set it to false, or search on fewer"
        )
    tally = _tally(dataset, counted, scores_dir, refined_dir, stride=stride, jobs=jobs)
    before, after = (
        Measured(**summarise(tally.confusion[stage]), trimap=trimap_curve(tally.rings[stage]))
        for stage in (0, 1)
    )
    return SeedEvaluation({"before": before, "after": after}, tally.images, tally.near)
