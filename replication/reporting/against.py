"""What one run has over another: measure by measure, class by class, with paired intervals."""

from statistics import fmean

from replication.errors import ReplicationError
from replication.evaluation.bootstrap import RESAMPLES, SEED
from replication.markdown import escape, row
from replication.paper.reported import ResultField
from replication.paper.verdicts import Bounds
from replication.reporting.blocks import interval_text, signed
from replication.reporting.evidence import Evidence
from replication.reporting.results import Measure, Result, result_path

_ACCURACIES: dict[str, ResultField] = {
    "mean IOU before CRF (%)": "before.miou",
    "mean IOU after CRF (%)": "after.miou",
    "within 10 pixels of contours, before CRF (%)": "before.near_miou",
    "within 10 pixels of contours, after CRF (%)": "after.near_miou",
}
_DASH = "-"


def against(evidence: Evidence, run: str, base: str) -> str:
    """Return ``run`` minus ``base`` as Markdown: accuracies, cost, IOU by class.

    Intervals are those of the claims: 95 % of the differences over resampled images, both runs on
    the same ones. Without the same images, or with fewer than two, there is none.

    Raises:
        ReplicationError: one of the two has no result, or they tell other classes apart.
    """
    mine, other = (_result(evidence, name) for name in (run, base))
    if mine.data.classes != other.data.classes:
        raise ReplicationError(
            f"`{run}` tells {len(mine.data.classes)} classes of {mine.data.name} apart, `{base}` "
            f"{len(other.data.classes)} of {other.data.name}; compare runs of the same `data`"
        )
    lines = [row("", escape(base), escape(run), "difference", "95 % interval")]
    lines.append("| --- | ---: | ---: | ---: | ---: |")
    paired = False
    for name, field in _ACCURACIES.items():
        interval = evidence.difference((run, field), (base, field))
        paired |= interval is not None
        lines.append(_line(name, other.measure(field), mine.measure(field), interval))
    first, second = (one.measure("train.images_per_second") for one in (other, mine))
    lines.append(_line("crops a second in training", first, second))
    counts = (f"{result.model.parameters:,}" for result in (other, mine))
    change = mine.model.parameters - other.model.parameters
    lines += [row("parameters", *counts, f"{change:+,}" if change else "0", ""), ""]
    lines += _by_class(mine, other, run, base)
    foot = f"[low, high]: {RESAMPLES:,} resamplings of the images, the same for both, seed {SEED}."
    return "\n".join([*lines, "", foot if paired else _no_interval(mine, other)]) + "\n"


def _result(evidence: Evidence, run: str) -> Result:
    found = evidence.result(run)
    if found is None:
        path = result_path(evidence.results_dir, run)
        target = evidence.target("evaluate", run)
        raise ReplicationError(f"{path} holds no result; `dvc repro {target}` makes it")
    return found


def _line(
    name: str, base: Measure | None, mine: Measure | None, interval: Bounds | None = None
) -> str:
    change = None
    if base is not None and mine is not None:
        change = round(round(mine.mean, 2) - round(base.mean, 2), 2)  # that of the print
    printed = _DASH if change is None else signed(change, 2)
    return row(name, _number(base), _number(mine), printed, interval_text(interval, 2))


def _number(measure: Measure | None) -> str:
    if measure is None:
        return _DASH
    spread = "" if measure.std is None else f" ± {measure.std:.2f}"
    return f"{measure.mean:.2f}{spread}"


def _by_class(mine: Result, other: Result, run: str, base: str) -> list[str]:
    """Return IOU after the last step that both have, largest gain first; means over seeds."""
    both = (other, mine)
    crf = all(seed.after is not None for result in both for seed in result.seeds)
    title = f"IOU {'after' if crf else 'before'} CRF (%)"
    lines = [row(title, escape(base), escape(run), "difference"), "| --- | ---: | ---: | ---: |"]
    found = []
    for k, name in enumerate(mine.data.classes):
        first, second = (_class_iou(result, crf, k) for result in both)
        if first is not None and second is not None:
            found.append((round(second - first, 2), escape(name), first, second))
    for change, name, first, second in sorted(found, key=lambda one: -one[0]):
        lines.append(row(name, f"{first:.2f}", f"{second:.2f}", signed(change, 2)))
    return lines


def _class_iou(result: Result, crf: bool, k: int) -> float | None:
    """Return the IOU of class ``k`` over seeds as it is printed; None where it does not occur."""
    evaluations = [seed.after if crf else seed.before for seed in result.seeds]
    values = [e.iou[k] for e in evaluations if e is not None]
    known = [value for value in values if value is not None]
    return round(fmean(known), 2) if known and len(known) == len(values) else None


def _no_interval(mine: Result, other: Result) -> str:
    if mine.data.meta_sha256 != other.data.meta_sha256:
        return "No interval: the two were not measured on the same images."
    return "No interval: a run's counts of images are not here, or there is but one image."
