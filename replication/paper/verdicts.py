"""The rules that judge a cell and a claim, written once, here.

That of a cell was written before any run was made, that of a claim before any claim was judged.

A cell, in words. Ours is the mean over seeds. The first of these that applies is the verdict:

1. `not run`: there is no result for the cell.
2. `not judged`: cells of this kind have no tolerance (training speed depends on the hardware).
3. `not comparable`: the result does not come from the paper's data and settings (rendered sample,
   one's own photographs, a scaled-down profile), so nearness to the paper would mean nothing.
4. `within tolerance`: ours, rounded to the paper's decimals, lies no further from the paper's
   value than the tolerance that ``reported.yaml`` declares for this kind of cell.
5. `within the interval`: the paper's value lies in our 95 % interval: other images of the same kind
   might have given it.
6. `off`: anything else, better than the paper or worse.

A claim says that one thing beats another by so many points (or loses, where the number is
negative), that two things are the same, or that one is so many times as fast. Ours is the
difference of the two cells, with the 95 % interval of a bootstrap over images, the same draws for
both cells. The first of these that applies is the verdict on a **difference**:

1. `not run`: one of the two has no result.
2. `not judged`: the results have no counts of images, or were measured on different images.
3. `contradicted`: the whole interval lies on the other side of zero.
4. `no difference seen`: the interval holds zero.
5. `reproduced`: the paper's number lies in the interval, or ours within the tolerance of it.
6. `same direction, smaller` or `same direction, larger`: ours against the paper's.

On **the same**, after 1 and 2: `reproduced` if ours is within the tolerance of zero, else
`no difference seen` if the interval holds zero (too few images to tell), else `contradicted`.

On a **ratio** of speeds, which images have no part in, so that 2 means different devices:
`no difference seen` if it is one within a tolerance, `contradicted` below that, `reproduced` within
a factor of the paper's, else `same direction, smaller` or `larger`.

A claim about several differences is judged when all have been run, and takes the worst verdict, in
this order: `contradicted`, `no difference seen`, `smaller`, `larger`, `reproduced`.

Rounding comes first, so that every verdict follows from the printed numbers alone.
"""

from collections.abc import Sequence
from enum import StrEnum

Bounds = tuple[float, float]


class Verdict(StrEnum):
    """What is said of one cell of a table."""

    NOT_RUN = "not run"
    SUBMIT = "submit to learn"
    QUOTED = "of others"
    NOT_JUDGED = "not judged"
    NOT_COMPARABLE = "not comparable"
    WITHIN_TOLERANCE = "within tolerance"
    WITHIN_INTERVAL = "within the interval"
    OFF = "off"


class ClaimVerdict(StrEnum):
    """What is said of one claim; the worst first, as a claim of several parts takes it."""

    NOT_RUN = "not run"
    NOT_JUDGED = "not judged"
    CONTRADICTED = "contradicted"
    NO_DIFFERENCE = "no difference seen"
    SMALLER = "same direction, smaller"
    LARGER = "same direction, larger"
    REPRODUCED = "reproduced"


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
    interval: Bounds | None = None,
) -> Verdict:
    """Apply the rule above to one cell.

    Args:
        reported: the paper's value, in the column's unit.
        ours: the mean over seeds in the same unit, None where there is no result.
        comparable: whether the result was made on the paper's data with the paper's settings.
        tolerance: the declared tolerance, inclusive, None where cells of the kind are not judged.
        decimals: how many decimals the paper prints.
        interval: low and high of ours, None where there is no interval.
    """
    if ours is None:
        return Verdict.NOT_RUN
    if tolerance is None:
        return Verdict.NOT_JUDGED
    if not comparable:
        return Verdict.NOT_COMPARABLE
    if abs(difference(reported, ours, decimals)) <= tolerance:
        return Verdict.WITHIN_TOLERANCE
    if interval is not None:
        low, high = (round(bound, decimals) for bound in interval)
        if low <= reported <= high:
            return Verdict.WITHIN_INTERVAL
    return Verdict.OFF


def judge_difference(
    reported: float,
    ours: float | None,
    interval: Bounds | None,
    *,
    tolerance: float,
    decimals: int = 2,
) -> ClaimVerdict:
    """Apply the rule above to a claimed difference.

    Args:
        reported: the paper's difference, in points; its sign is the claim's direction.
        ours: our difference, None where a cell has no result.
        interval: low and high of ours, None where there is none.
        tolerance: in points, inclusive.
        decimals: of the print.
    """
    if ours is None or interval is None:
        return ClaimVerdict.NOT_RUN if ours is None else ClaimVerdict.NOT_JUDGED
    direction = 1 if reported >= 0 else -1
    low, high = sorted(direction * round(bound, decimals) for bound in interval)
    found, claimed = direction * round(ours, decimals), direction * reported
    if low <= 0:
        return ClaimVerdict.CONTRADICTED if high < 0 else ClaimVerdict.NO_DIFFERENCE
    if low <= claimed <= high or abs(round(found - claimed, decimals)) <= tolerance:
        return ClaimVerdict.REPRODUCED
    return ClaimVerdict.SMALLER if found < claimed else ClaimVerdict.LARGER


def judge_same(
    ours: float | None, interval: Bounds | None, *, tolerance: float, decimals: int = 2
) -> ClaimVerdict:
    """Apply the rule above to a claim that two things are the same; as `judge_difference`."""
    if ours is None or interval is None:
        return ClaimVerdict.NOT_RUN if ours is None else ClaimVerdict.NOT_JUDGED
    if abs(round(ours, decimals)) <= tolerance:
        return ClaimVerdict.REPRODUCED
    low, high = (round(bound, decimals) for bound in interval)
    return ClaimVerdict.NO_DIFFERENCE if low <= 0 <= high else ClaimVerdict.CONTRADICTED


def judge_ratio(
    reported: float, ours: float | None, *, one_device: bool, tolerance: float, equal: float
) -> ClaimVerdict:
    """Apply the rule above to a claimed ratio above one.

    Args:
        reported: the paper's ratio.
        ours: our ratio, None where a cell has no result.
        one_device: whether both speeds were measured on one kind of device and precision.
        tolerance: reproduced up to a factor of one plus this.
        equal: no difference up to this from one.
    """
    if ours is None or not one_device:
        return ClaimVerdict.NOT_RUN if ours is None else ClaimVerdict.NOT_JUDGED
    ours = round(ours, 2)
    if ours <= round(1 + equal, 2):
        even = ours >= round(1 - equal, 2)
        return ClaimVerdict.NO_DIFFERENCE if even else ClaimVerdict.CONTRADICTED
    if reported / (1 + tolerance) <= ours <= reported * (1 + tolerance):
        return ClaimVerdict.REPRODUCED
    return ClaimVerdict.SMALLER if ours < reported else ClaimVerdict.LARGER


def worst(verdicts: Sequence[ClaimVerdict]) -> ClaimVerdict:
    """Return the verdict on a claim from those on its parts; no part: not run."""
    order = list(ClaimVerdict)
    return min(verdicts, key=order.index, default=ClaimVerdict.NOT_RUN)
