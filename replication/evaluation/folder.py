"""Anyone's predictions against labels: two folders of PNGs in, all figures out.

Any method in any language can write ``ID.png``; nothing here knows of networks, and torch is not
imported.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NotRequired, TypedDict

import numpy as np
from jaxtyping import Int64

from replication.data.canonical import files_by_id, read_ids
from replication.data.labels import read_label
from replication.errors import ReplicationError
from replication.evaluation.bootstrap import LEVEL, miou_interval
from replication.evaluation.class_counts import class_counts
from replication.evaluation.confusion import VOID, confusion_matrix, summarise
from replication.evaluation.parallel import over_images
from replication.evaluation.trimap import MAX_WIDTH, WIDTH, TrimapCurve, ring_counts, trimap_curve


class ConfidenceInterval(TypedDict):
    """The percentile interval of mean IOU, images resampled; None where there is only one image."""

    miou: list[float] | None
    level: float
    resamples: int
    seed: int


class Evaluation(TypedDict):
    """All figures of a folder of predictions: percent, pixels in ``confusion``, None: undefined."""

    miou: float | None
    per_class_iou: list[float | None]
    pixel_accuracy: float | None
    mean_accuracy: float | None
    frequency_weighted_iou: float | None
    images: int
    confusion: list[list[int]]
    trimap: TrimapCurve | None
    confidence_interval: ConfidenceInterval | None
    num_classes: int
    ignore_index: int
    classes: NotRequired[list[str]]


@dataclass(frozen=True)
class Options:
    """How predictions are evaluated.

    Attributes:
        num_classes: labels and predictions hold 0..num_classes-1; 1 to 256.
        ignore: the label of pixels that are not counted; 0 to 255.
        width: the widest trimap band, pixels; 0 leaves the trimap out.
        resamples: draws of the bootstrap over images; 0 leaves the interval out.
        seed: of the draws.
        jobs: processes; None takes all usable cores.
    """

    num_classes: int
    ignore: int = VOID
    width: int = WIDTH
    resamples: int = 1_000
    seed: int = 0
    jobs: int | None = None

    def check(self) -> None:
        """Refuse what is out of range, in one line."""
        for name, value, low, high in (
            ("num-classes", self.num_classes, 1, 256),
            ("ignore-index", self.ignore, 0, 255),
            ("trimap", self.width, 0, MAX_WIDTH),
            ("bootstrap", self.resamples, 0, 20_000),
            ("seed", self.seed, 0, 2**63),
        ):
            if not low <= value <= high:
                raise ReplicationError(f"--{name} is {value}; it must be {low} to {high}")


def _few(names: set[str]) -> str:
    return ", ".join(sorted(names)[:3]) + (", ..." if len(names) > 3 else "")


def _png_files(folder: Path, what: str) -> dict[str, Path]:
    found = files_by_id(folder, (".png",))
    if not found:
        others = sum(1 for entry in folder.iterdir() if not entry.name.startswith("."))
        holds = f"it holds {others} other files or folders" if others else "it is empty"
        raise ReplicationError(f"{folder}: no {what}, ID.png, in this folder ({holds})")
    return found


def pair_files(
    predictions: Path, labels: Path, ids: Sequence[str] | None = None
) -> list[tuple[Path, Path]]:
    """Return (label, prediction) of every image.

    Args:
        predictions, labels: folders of ``ID.png``.
        ids: what to evaluate; other files are passed over. None takes every label, and wants
            exactly one prediction for each.

    Raises:
        ReplicationError: a folder is missing or holds no PNG, an id has no file, or, without
            ``ids``, a prediction has no label.
    """
    guessed, true = _png_files(predictions, "predictions"), _png_files(labels, "labels")
    wanted = list(true) if ids is None else list(ids)
    for folder, found, what in ((labels, true, "label"), (predictions, guessed, "prediction")):
        if missing := set(wanted) - set(found):
            raise ReplicationError(
                f"{folder}: no {what} for {len(missing)} of {len(wanted)} images "
                f"({_few(missing)}): add ID.png, or name the images to evaluate in --ids"
            )
    if ids is None and (extra := set(guessed) - set(true)):
        raise ReplicationError(
            f"{predictions}: {len(extra)} predictions have no label ({_few(extra)}): remove them, "
            "or name the images to evaluate in --ids"
        )
    return [(true[name], guessed[name]) for name in wanted]


def read_classes(path: Path, num_classes: int) -> list[str]:
    """Read class names, one a line, in the order of their numbers.

    Raises:
        ReplicationError: the file can't be read, or has another number of names.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ReplicationError(f"{path}: the classes can't be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise ReplicationError(f"{path}: the list of classes is not UTF-8 text") from None
    names = [line.strip() for line in text.splitlines() if line.strip()]
    if len(names) != num_classes:
        raise ReplicationError(
            f"{path}: {len(names)} class names, and --num-classes is {num_classes}: give one name "
            "a line, background included"
        )
    return names


def _one_image(
    place: int, truth_path: Path, prediction_path: Path, options: Options
) -> tuple[int, Int64[np.ndarray, "C C"], Int64[np.ndarray, "width 3 C"]]:
    truth, prediction = read_label(truth_path, None), read_label(prediction_path, None)
    classes, ignore = options.num_classes, options.ignore
    confusion = confusion_matrix(truth, prediction, classes, ignore, str(prediction_path))
    rings = np.zeros((0, 3, classes), np.int64)
    if options.width:
        rings = class_counts(ring_counts(truth, [prediction], classes, options.width, ignore)[0])
    return place, confusion, rings


def evaluate_folder(
    predictions: Path,
    labels: Path,
    options: Options,
    *,
    ids: Path | None = None,
    classes: Path | None = None,
) -> Evaluation:
    """Evaluate ``predictions/ID.png`` against ``labels/ID.png`` with one confusion matrix.

    Args:
        predictions: palette or grey PNGs of class indices 0..num_classes-1, no void.
        labels: palette or grey PNGs of the same sizes, class indices and ``options.ignore``.
        options: number of classes, void, trimap, bootstrap.
        ids: a list of images, one id a line; None takes all labels.
        classes: a list of class names, one a line.

    Raises:
        ReplicationError: an option, a folder, a list or an image is wrong; names it in one line.
    """
    options.check()
    pairs = pair_files(predictions, labels, None if ids is None else read_ids(ids))
    names = None if classes is None else read_classes(classes, options.num_classes)
    count, num = len(pairs), options.num_classes
    images = np.zeros((1, count, 3, num), np.int64)
    confusion = np.zeros((num, num), np.int64)
    rings = np.zeros((options.width, 3, num), np.int64)
    tasks = [(place, *pair, options) for place, pair in enumerate(pairs)]
    # An image takes some 3 ms, a process 1 s to start.
    for place, one, near in over_images(_one_image, tasks, "evaluate", options.jobs, few=300):
        images[0, place] = class_counts(one)
        confusion += one
        rings += near
    summary = summarise(confusion)
    evaluation = Evaluation(
        miou=summary["miou"],
        per_class_iou=summary["iou"],
        pixel_accuracy=summary["pixel_accuracy"],
        mean_accuracy=summary["mean_accuracy"],
        frequency_weighted_iou=summary["frequency_weighted_iou"],
        images=count,
        confusion=summary["confusion"],
        trimap=trimap_curve(rings) if options.width else None,
        confidence_interval=_interval(images, options) if options.resamples else None,
        num_classes=num,
        ignore_index=options.ignore,
    )
    if names is not None:
        evaluation["classes"] = names
    return evaluation


def _interval(images: Int64[np.ndarray, "1 N 3 C"], options: Options) -> ConfidenceInterval:
    found = miou_interval(images, options.resamples, options.seed)
    return {
        "miou": None if found is None else [found.low, found.high],
        "level": LEVEL,
        "resamples": options.resamples,
        "seed": options.seed,
    }
