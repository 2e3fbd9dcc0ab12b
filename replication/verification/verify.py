"""Evaluate a run again from its stored scores and refined labels; compare with its result.

Nothing is written, and torch is not imported. The same files give the same bytes on one machine;
another processor may enlarge scores by other roundings, which moves few pixels if any.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from replication.crf.ledger import fingerprint
from replication.data.canonical import DataSet, content_sha256
from replication.data.labels import read_label
from replication.errors import ReplicationError
from replication.evaluation.image_counts import ImageCounts, read_image_counts
from replication.evaluation.run import SeedEvaluation, evaluate_seed
from replication.plan import OUTPUT_STRIDE, Settings, evaluated_ids
from replication.provenance import sha256_file, sha256_folder
from replication.reporting.results import Result, SeedResult, read_result
from replication.stages.data import open_dataset
from replication.stages.measurement import SCORE_FILES
from replication.verification.compare import (
    Check,
    compare_counts,
    compare_figures,
    compare_hash,
)

TOLERANCE = 1e-9  # points: less than one pixel of any set


def verify(settings: Settings, run: str, tolerance: float = TOLERANCE) -> list[Check]:
    """Compare ``results/PROFILE/RUN.json`` with what its files give now.

    Args:
        settings: of the repository.
        run: a run of experiments.yaml.
        tolerance: points by which an IOU may differ, and percent of pixels that may be counted
            elsewhere.

    Raises:
        ReplicationError: no such run or result; scores, labels, weights or data are not here, are
            not of these images, or are broken. Names what to run.
    """
    settings.plan(run)  # an unknown name lists the known ones
    if (reason := settings.leaves_out(run)) is not None:
        raise ReplicationError(f"there is nothing of run {run!r} to verify: {reason}")
    make = f"`dvc repro {settings.target('evaluate', run)}`"
    results = settings.place("results")
    result = read_result(results, run, settings.name)
    if result is None:
        raise ReplicationError(
            f"{results / run}.json does not exist: there is no result to verify; run {make}"
        )
    _refuse_missing(settings, result, make)
    dataset = open_dataset(settings, run)
    if tuple(result.data.classes) != dataset.classes:
        raise ReplicationError(
            f"{results / run}.json has {len(result.data.classes)} classes, and {dataset.root} "
            f"{len(dataset.classes)} or others: the result is of other data; run {make}"
        )
    checks = [*_data(dataset, result)]
    evaluations = []
    for seed in result.seeds:
        evaluation = _evaluate(settings, dataset, result, seed)
        evaluations.append(evaluation)
        checks += _figures(result, seed, evaluation, tolerance)
        checks += _files(settings, dataset, result, seed)
    checks.append(_counts(settings, dataset, result, evaluations, tolerance))
    return checks


def _refuse_missing(settings: Settings, result: Result, make: str) -> None:
    """Refuse where what the result was made from is not here, as in a fresh clone."""
    run = result.run
    wanted = [settings.place("datasets", settings.experiments.all_runs[run].data) / "meta.json"]
    for seed in result.seeds:
        wanted += [settings.place(kind, run, seed.seed) for kind in ("scores", "refined")]
        wanted.append(settings.place("runs", run, seed.seed) / "weights.safetensors")
    for path in wanted:
        if not path.exists():
            raise ReplicationError(
                f"{path} does not exist: the result of {run!r} is here, what it was made from is "
                f"not; run {make}, then verify again"
            )


def _record(value: object, *keys: str) -> Any:
    """Return what a record holds under nested keys, or None."""
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _left_out(seed: SeedResult) -> set[str]:
    """Return the images that chose the CRF's parameters, where they did not count."""
    choice = _record(seed.model_extra, "refine", "choice")
    images = _record(choice, "images")
    return set(map(str, images)) if _record(choice, "left_out") and images else set()


def _evaluate(
    settings: Settings, dataset: DataSet, result: Result, seed: SeedResult
) -> SeedEvaluation:
    ids = evaluated_ids(settings.profile, dataset)
    left_out = _left_out(seed)
    counted = sum(name not in left_out for name in ids)
    if counted != result.data.images:
        raise ReplicationError(
            f"{settings.place('results') / result.run}.json is of {result.data.images} images, and "
            f"profile {settings.name} evaluates {counted}; set `limit_eval` and "
            "`crf.search.exclude` as they were, or make the result again"
        )
    return evaluate_seed(
        dataset,
        result.data.split,
        settings.place("scores", result.run, seed.seed),
        settings.place("refined", result.run, seed.seed),
        stride=OUTPUT_STRIDE,
        ids=ids,
        leave_out=left_out,
        jobs=settings.params.jobs,
    )


def _figures(
    result: Result, seed: SeedResult, evaluation: SeedEvaluation, tolerance: float
) -> Iterator[Check]:
    recorded = {"before": seed.before, "after": seed.after}
    for stage, found in (
        ("before", evaluation.measured["before"]),
        ("after", evaluation.measured["after"]),
    ):
        one, what = recorded[stage], f"{stage} CRF"
        if one is None:
            now = "-" if found["miou"] is None else f"{found['miou']:.6f}"
            yield Check(seed.seed, f"mean IOU {what}", "-", now, "not recorded")
        else:
            yield from compare_figures(
                seed.seed, what, one, found, classes=result.data.classes, tolerance=tolerance
            )


def _data(dataset: DataSet, result: Result) -> Iterator[Check]:
    """Compare meta.json with the result's, and the split's files with meta.json's."""
    meta = sha256_file(dataset.root / "meta.json")
    yield compare_hash(None, "data (meta.json)", result.data.meta_sha256, meta)
    split = result.data.split
    recorded = _record(dataset.meta, "splits", split, "content_sha256")
    found = content_sha256(
        (name, sha256_file(dataset.image_path(name)), _label_sha256(dataset, name))
        for name in dataset.ids(split)
    )
    yield compare_hash(None, f"images and labels of {split}", recorded, found)


def _label_sha256(dataset: DataSet, name: str) -> str:
    label = read_label(dataset.label_path(name), dataset.num_classes)
    return hashlib.sha256(label.tobytes()).hexdigest()


def _files(
    settings: Settings, dataset: DataSet, result: Result, seed: SeedResult
) -> Iterator[Check]:
    """Compare the hashes of weights, scores, refined labels and the search of one seed."""
    number, extra, train = seed.seed, seed.model_extra, seed.train.model_extra
    places = {
        kind: settings.place(kind, result.run, number) for kind in ("runs", "scores", "refined")
    }
    weights = sha256_file(places["runs"] / "weights.safetensors")
    yield compare_hash(number, "weights", _record(train, "weights_sha256"), weights)
    scored = _record(extra, "score", "weights_sha256")
    yield compare_hash(number, "weights of the scores", scored, weights)
    meta = sha256_file(dataset.root / "meta.json")
    yield compare_hash(number, "data of the training", _record(train, "data", "meta_sha256"), meta)
    scores = sha256_folder(places["scores"], SCORE_FILES)
    yield compare_hash(number, "scores", _record(extra, "score", "scores_sha256"), scores)
    labels = sorted(
        (name, sha256_file(places["refined"] / f"{name}.png"))
        for name in evaluated_ids(settings.profile, dataset)
    )
    refined = fingerprint({"labels": labels})
    yield compare_hash(number, "refined labels", _record(extra, "refine", "labels_sha256"), refined)
    choice = _record(extra, "refine", "choice")
    if isinstance(name := _record(choice, "search"), str):
        path: Path = settings.place("searches") / f"{Path(name).name}.json"
        found = sha256_file(path) if path.is_file() else "not here"
        yield compare_hash(number, "search of the CRF", _record(choice, "search_sha256"), found)


def _counts(
    settings: Settings,
    dataset: DataSet,
    result: Result,
    evaluations: list[SeedEvaluation],
    tolerance: float,
) -> Check:
    """Compare the counts of images beside the result, which intervals are made from."""
    what = "counts of images"
    recorded = read_image_counts(settings.place("results") / f"{result.run}.npz")
    left_out = _left_out(result.seeds[-1])
    ids = [name for name in evaluated_ids(settings.profile, dataset) if name not in left_out]
    found = ImageCounts(tuple(ids), np.stack([one.image_counts for one in evaluations]))
    if recorded is None:
        return Check(None, what, "-", f"{len(ids)} images", "not recorded")
    if recorded.ids != found.ids:
        return Check(None, what, f"{len(recorded.ids)} images", "other images", "differs")
    return compare_counts(
        None, what, recorded.counts, found.counts, tolerance=tolerance, unit="counts"
    )
