"""The page of one run: what it measured, and everything that its numbers came from."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from replication.evaluation.image_counts import STAGES, Stage
from replication.paper.reported import ResultField
from replication.provenance import sha256_file
from replication.reporting.blocks import interval_text
from replication.reporting.evidence import Evidence, counts_path
from replication.reporting.results import Evaluation, Result, SeedResult, result_path

_MEASURES = {
    "miou": "mean IOU",
    "pixel_accuracy": "pixel accuracy",
    "mean_accuracy": "mean accuracy of classes",
    "frequency_weighted_iou": "frequency-weighted IOU",
}
_MEAN_IOU: dict[Stage, ResultField] = {"before": "before.miou", "after": "after.miou"}
_STAGE_NAMES: dict[Stage, str] = {"before": "before CRF", "after": "after CRF"}
_LONGEST = 12  # values of a list that are printed
_DASH = "–"
_UNKNOWN = "not recorded"
# Said once for the whole result.
_SAID = ("configuration", "curve", "environment", "run", "profile", "seed")

Lines = list[tuple[str, str]]


@dataclass(frozen=True)
class SeedView:
    """One training seed: training, its surroundings, scoring and the CRF, as names and values."""

    seed: int
    parts: list[tuple[str, Lines]]


@dataclass(frozen=True)
class RunView:
    """All that a run's page says; ``measures`` and ``classes`` hold before and after the CRF."""

    run: str
    origin: Lines
    measures: list[tuple[str, list[str]]]
    classes: list[tuple[str, list[str]]]
    configuration: Lines
    data: Lines
    seeds: list[SeedView]
    environment: Lines
    stages: list[str]


def view_run(result: Result, evidence: Evidence, named: str) -> RunView:
    """Lay a result out; ``named`` is what to call the results' folder."""
    return RunView(
        run=result.run,
        origin=_origin(result, evidence, named),
        measures=_measures(result, evidence),
        classes=_classes(result),
        configuration=flatten(result.configuration) + flatten({"model": result.model.model_dump()}),
        data=flatten(result.data.model_dump(exclude={"classes"})),
        seeds=[_seed(seed) for seed in result.seeds],
        environment=flatten(result.environment),
        stages=[_STAGE_NAMES[stage] for stage in STAGES],
    )


def _origin(result: Result, evidence: Evidence, named: str) -> Lines:
    path, counts = (place(evidence.results_dir, result.run) for place in (result_path, counts_path))
    lines = [
        ("run", result.run),
        ("profile", result.profile),
        ("result file", f"{named}/{path.name}"),
        ("its SHA-256", sha256_file(path)),
    ]
    if counts.is_file():
        lines += [
            ("counts of images", f"{named}/{counts.name}"),
            ("their SHA-256", sha256_file(counts)),
        ]
    return [
        *lines,
        ("training seeds", ", ".join(str(seed.seed) for seed in result.seeds)),
        ("commit (training)", _of_training(result, "environment", "commit")),
        ("commit (evaluation)", str(result.environment.get("commit") or _UNKNOWN)),
        ("data (SHA-256 of meta.json)", result.data.meta_sha256),
        ("weights (SHA-256)", _of_training(result, "weights_sha256")),
        ("initial weights (SHA-256)", _of_training(result, "backbone", "sha256")),
        (
            "the paper's data and settings",
            "yes" if result.comparable else "no: its numbers are not comparable with the paper's",
        ),
        ("made again by", f"dvc repro {evidence.target('evaluate', result.run)}"),
    ]


def _of_training(result: Result, *keys: str) -> str:
    """Return what the trainings of all seeds recorded at a place, each value once."""
    found = []
    for seed in result.seeds:
        value: Any = seed.train.model_extra
        for key in keys:
            value = value.get(key) if isinstance(value, Mapping) else None
        found.append(str(value or _UNKNOWN))
    return ", ".join(dict.fromkeys(found))


def _evaluations(result: Result, stage: Stage) -> list[Evaluation]:
    """Return the seeds' evaluations; none if one seed lacks it."""
    found = [seed.before if stage == "before" else seed.after for seed in result.seeds]
    there = [evaluation for evaluation in found if evaluation is not None]
    return there if len(there) == len(found) else []


def _measures(result: Result, evidence: Evidence) -> list[tuple[str, list[str]]]:
    """Return each accuracy before and after the CRF: mean, by seed, and interval."""
    lines = []
    for name, title in _MEASURES.items():
        texts = []
        for stage in STAGES:
            seeds = [getattr(one, name, None) for one in _evaluations(result, stage)]
            values = [float(value) for value in seeds if value is not None]
            text = _DASH
            if values and len(values) == len(seeds):
                text = f"{fmean(values):.2f}"
                if len(values) > 1:
                    text += f" (seeds: {', '.join(f'{value:.2f}' for value in values)})"
                if name == "miou":
                    interval = evidence.interval(result.run, _MEAN_IOU[stage])
                    text = f"{text} {interval_text(interval, 2)}".strip()
            texts.append(text)
        lines.append((title, texts))
    return lines


def _classes(result: Result) -> list[tuple[str, list[str]]]:
    """Return each class's IOU before and after the CRF, mean over the seeds that have it."""
    columns = []
    for stage in STAGES:
        ious = [one.iou for one in _evaluations(result, stage)]
        columns.append([_mean([iou[k] for iou in ious]) for k in range(len(result.data.classes))])
    return [(name, list(texts)) for name, *texts in zip(result.data.classes, *columns, strict=True)]


def _mean(values: Sequence[float | None]) -> str:
    there = [value for value in values if value is not None]
    return f"{fmean(there):.2f}" if there else _DASH


def _seed(seed: SeedResult) -> SeedView:
    train = seed.train.model_dump()
    parts = [
        ("Training", flatten({k: v for k, v in train.items() if k not in _SAID})),
        ("Surroundings of the training", flatten(train.get("environment") or {})),
    ]
    for title, name in (("Scoring", "score"), ("CRF", "refine")):
        found = (seed.model_extra or {}).get(name)
        record = found if isinstance(found, dict) else {}
        parts.append((title, flatten({k: v for k, v in record.items() if k not in _SAID})))
    return SeedView(seed.seed, [(title, lines) for title, lines in parts if lines])


def flatten(value: Any, name: str = "") -> Lines:
    """Return nested settings as (name, value) lines: ``recipe.policy``, ``poly``."""
    return list(_lines(value, name))


def _lines(value: Any, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _lines(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list) and value and isinstance(value[0], Mapping):
        for place, inner in enumerate(value, 1):
            yield from _lines(inner, f"{name} {place}")
    elif isinstance(value, list):
        rest = len(value) - _LONGEST
        shown = ", ".join(map(_text, value[:_LONGEST])) or "none"
        yield name, shown + (f" and {rest:,} more" if rest > 0 else "")
    else:
        yield name, _text(value)


def _text(value: object) -> str:
    if value is None:
        return _DASH
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
