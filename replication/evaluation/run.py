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
from replication.evaluation.confusion import Summary, confusion_matrix, summarise
from replication.evaluation.parallel import over_images
from replication.inference.enlarge import enlarge
from replication.inference.store import check_complete, read_scores, score_path, stored_ids

Counts = Int64[np.ndarray, "N C C"]


class BeforeAfter(TypedDict):
    """The two figures of a seed: argmax of the enlarged scores, and the CRF's labels."""

    before: Summary
    after: Summary


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
) -> tuple[int, Int64[np.ndarray, "2 C C"]]:
    truth = read_label(files.truth, num_classes)
    size = truth.shape[0], truth.shape[1]
    name = str(files.scores)
    maps = enlarge(read_scores(files.scores, num_classes), stride, size, name)
    before = confusion_matrix(truth, best_class(maps), num_classes, name=name)
    labels = read_label(files.refined, num_classes)
    after = confusion_matrix(truth, labels, num_classes, name=str(files.refined))
    return place, np.stack([before, after])


def image_confusions(
    dataset: DataSet,
    ids: Sequence[str],
    scores_dir: Path,
    refined_dir: Path,
    *,
    stride: int,
    jobs: int | None = None,
) -> tuple[Counts, Counts]:
    """Count each image by itself: what a bootstrap over images needs, and the whole set's sum.

    Args:
        dataset: the canonical data set.
        ids: its images, each once.
        scores_dir: holds ``ID.npz`` for exactly these ids.
        refined_dir: holds ``ID.png`` for exactly these ids.
        stride: output stride of the scores, pixels.
        jobs: processes; None takes all usable cores.

    Returns:
        Before and after the CRF, int64 (N, C, C) each, in the order of ``ids``; rows truth.

    Raises:
        ReplicationError: a file is missing, stale, broken, of another size than its label, or holds
            a value outside the classes; names it.
    """
    check_complete(scores_dir, ids, stored_ids(scores_dir), "scores")
    refined = {p.stem for p in refined_dir.glob("*.png") if not p.name.startswith(".")}
    check_complete(refined_dir, ids, refined, "refined labels")
    tasks = [
        (
            place,
            _Files(
                truth=dataset.label_path(name),
                scores=score_path(scores_dir, name),
                refined=refined_dir / f"{name}.png",
            ),
            stride,
            dataset.num_classes,
        )
        for place, name in enumerate(ids)
    ]
    counts = np.zeros((2, len(ids), dataset.num_classes, dataset.num_classes), np.int64)
    # An image takes some 20 ms, a process 1 s to start.
    for place, pair in over_images(_one_image, tasks, "evaluate", jobs, few=100):
        counts[:, place] = pair
    return counts[0], counts[1]


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
) -> BeforeAfter:
    """Evaluate a seed over a whole split with one confusion matrix (recipe: Testing).

    Args:
        split: the split's name, such as ``val``.
        ids: the part of the split that was scored; None is all of it.
        leave_out: those of them that don't count, such as the images of a search.
        dataset, scores_dir, refined_dir, stride, jobs: as `image_confusions`.

    Returns:
        ``before`` and ``after``: `Summary` dicts, JSON-ready, in percent.

    Raises:
        ReplicationError: as `image_confusions`, or no image is left.
    """
    wanted = dataset.ids(split) if ids is None else ids
    counts = np.array([name not in leave_out for name in wanted])
    if not counts.any():
        raise ReplicationError(
            f"{refined_dir}: all {len(wanted)} images chose the CRF's parameters, and "
            "`crf.search.exclude` leaves none to measure; set it to false, or search on fewer"
        )
    before, after = image_confusions(
        dataset, wanted, scores_dir, refined_dir, stride=stride, jobs=jobs
    )
    return {
        "before": summarise(before[counts].sum(axis=0)),
        "after": summarise(after[counts].sum(axis=0)),
    }
