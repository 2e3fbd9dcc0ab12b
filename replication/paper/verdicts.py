"""The rule that judges one cell, written once, before any run was made.

In words. Ours is the mean over seeds. The first of these that applies is the verdict:

1. `not run`: there is no result for the cell.
2. `not judged`: cells of this kind have no tolerance (training speed depends on the hardware).
3. `not comparable`: the result does not come from the paper's data and settings (rendered sample,
   one's own photographs, a scaled-down profile), so nearness to the paper would mean nothing.
4. `within tolerance`: ours, rounded to the paper's decimals, lies no further from the paper's
   value than the tolerance that ``reported.yaml`` declares for this kind of cell.
5. `off`: anything else, better than the paper or worse.

Rounding comes first so that the verdict follows from the printed numbers alone.
"""

from enum import StrEnum


class Verdict(StrEnum):
    """What is said of one cell of a table."""

    NOT_RUN = "not run"
    NOT_JUDGED = "not judged"
    NOT_COMPARABLE = "not comparable"
    WITHIN_TOLERANCE = "within tolerance"
    OFF = "off"


def difference(reported: float, ours: float, decimals: int) -> float:
    """Return ours minus the paper's value as a reader would compute it from the printed numbers."""
    return round(round(ours, decimals) - reported, decimals) + 0.0  # + 0.0 turns -0.0 into 0.0


def judge_cell(
    reported: float,
    ours: float | None,
    *,
    comparable: bool,
    tolerance: float | None,
    decimals: int,
) -> Verdict:
    """Apply the rule above to one cell.

    Args:
        reported: the paper's value, in the column's unit.
        ours: the mean over seeds in the same unit, None where there is no result.
        comparable: whether the result was made on the paper's data with the paper's settings.
        tolerance: the declared tolerance, inclusive, None where cells of the kind are not judged.
        decimals: how many decimals the paper prints.
    """
    if ours is None:
        return Verdict.NOT_RUN
    if tolerance is None:
        return Verdict.NOT_JUDGED
    if not comparable:
        return Verdict.NOT_COMPARABLE
    if abs(difference(reported, ours, decimals)) <= tolerance:
        return Verdict.WITHIN_TOLERANCE
    return Verdict.OFF
