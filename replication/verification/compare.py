"""What a result says beside what is found now: figures, counts and hashes, one line each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Int64

from replication.evaluation.run import Measured
from replication.reporting.results import Evaluation

Verdict = Literal["same", "differs", "not recorded"]
_DIGITS = 12  # of a hash that are printed


@dataclass(frozen=True)
class Check:
    """One line: ``recorded`` is what the result says, ``found`` what is there now, as text.

    ``seed`` is None where the line holds for all of them.
    """

    seed: int | None
    what: str
    recorded: str
    found: str
    verdict: Verdict


def compare_hash(seed: int | None, what: str, recorded: object, found: str) -> Check:
    """Compare SHA-256 digests; a result of an earlier version may not have recorded one."""
    if not isinstance(recorded, str):
        return Check(seed, what, "-", found[:_DIGITS], "not recorded")
    verdict: Verdict = "same" if recorded == found else "differs"
    return Check(seed, what, recorded[:_DIGITS], found[:_DIGITS], verdict)


def compare_figures(
    seed: int,
    stage: str,
    recorded: Evaluation,
    found: Measured,
    *,
    classes: Sequence[str],
    tolerance: float,
) -> list[Check]:
    """Compare one stage's mean IOU, IOU by class, trimap and confusion matrix.

    Args:
        seed: of the training.
        stage: what the lines call it, such as ``before CRF``.
        recorded: of the result.
        found: the evaluation made again.
        classes: names, by class number.
        tolerance: points by which an IOU may differ, and percent of pixels that may be counted
            elsewhere.
    """
    miou, now = recorded.miou, found["miou"]
    near = now is not None and abs(miou - now) <= tolerance
    what, ious = f"IOU by class {stage}", (recorded.iou, found["iou"])
    lines = [
        Check(seed, f"mean IOU {stage}", f"{miou:.6f}", _number(now), _verdict(near)),
        _compare_list(seed, what, *ious, names=classes, tolerance=tolerance),
    ]
    what, curve = f"trimap {stage}", found["trimap"]
    widths = [f"width {width}" for width in curve["width"]]
    if recorded.trimap is None:
        lines.append(Check(seed, what, "-", f"{len(widths)} values", "not recorded"))
    elif recorded.trimap.width != curve["width"]:
        before = f"{len(recorded.trimap.width)} widths"
        lines.append(Check(seed, what, before, f"{len(widths)} widths", "differs"))
    else:
        curves = recorded.trimap.miou, curve["miou"]
        lines.append(_compare_list(seed, what, *curves, names=widths, tolerance=tolerance))
    tables = (np.array(rows, np.int64) for rows in (recorded.confusion, found["confusion"]))
    return [*lines, compare_counts(seed, f"confusion {stage}", *tables, tolerance=tolerance)]


def compare_counts(
    seed: int | None,
    what: str,
    recorded: Int64[np.ndarray, "..."],
    found: Int64[np.ndarray, "..."],
    *,
    tolerance: float,
    unit: str = "pixels",
) -> Check:
    """Compare counts of pixels; up to ``tolerance`` percent of them may be counted elsewhere."""
    total = int(found.sum())
    if recorded.shape != found.shape:
        before, now = ("x".join(map(str, table.shape)) for table in (recorded, found))
        return Check(seed, what, before, now, "differs")
    moved = int(np.abs(recorded - found).sum() + 1) // 2  # each is missing here, and more there
    shown = f"{int(recorded.sum()):,} {unit}"
    verdict = _verdict(100 * moved <= tolerance * total)
    return Check(seed, what, shown, f"{moved:,} elsewhere" if moved else shown, verdict)


def _compare_list(
    seed: int,
    what: str,
    recorded: Sequence[float | None],
    found: Sequence[float | None],
    *,
    names: Sequence[str],
    tolerance: float,
) -> Check:
    """Compare values by name; the line shows the one that differs most."""
    if len(recorded) != len(found):
        return Check(seed, what, f"{len(recorded)} values", f"{len(found)} values", "differs")
    gaps = [_gap(one, other) for one, other in zip(recorded, found, strict=True)]
    worst = int(np.argmax(gaps)) if gaps else 0
    if not gaps or gaps[worst] <= tolerance:
        text = f"{len(gaps)} values"
        return Check(seed, what, text, text, "same")
    name = names[worst] if worst < len(names) else str(worst)
    both = _number(recorded[worst]), _number(found[worst])
    return Check(seed, f"{what}: {_one_line(name)}", *both, "differs")


def _gap(one: float | None, other: float | None) -> float:
    if one is None or other is None:
        return 0.0 if one is other else float("inf")
    return abs(one - other)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.6f}"


def _verdict(same: bool) -> Verdict:
    return "same" if same else "differs"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def as_json(checks: Sequence[Check]) -> list[dict[str, Any]]:
    """Return the lines as plain data."""
    return [vars(check) for check in checks]
