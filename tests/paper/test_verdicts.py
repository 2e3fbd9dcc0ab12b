"""The rule for a cell, on made-up values of every kind."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replication.paper.verdicts import (
    ClaimVerdict,
    Verdict,
    difference,
    judge_cell,
    judge_difference,
    judge_ratio,
    judge_same,
    worst,
)

percent = st.floats(0, 100)


@pytest.mark.parametrize(
    ("ours", "comparable", "tolerance", "verdict"),
    [
        (None, True, 0.5, "not run"),
        (None, False, 0.5, "not run"),
        (None, True, None, "not run"),
        (62.25, True, None, "not judged"),
        (62.25, False, None, "not judged"),
        (62.25, False, 0.5, "not comparable"),
        (10.0, False, 0.5, "not comparable"),
        (62.25, True, 0.5, "within tolerance"),
        (62.75, True, 0.5, "within tolerance"),  # the bound is inclusive
        (61.75, True, 0.5, "within tolerance"),
        (62.754, True, 0.5, "within tolerance"),  # printed as 62.75
        (62.756, True, 0.5, "off"),
        (61.74, True, 0.5, "off"),
        (70.0, True, 0.5, "off"),  # better than the paper is off, too
        (62.25, True, 0.0, "within tolerance"),
        (62.26, True, 0.0, "off"),
    ],
)
def test_rule(ours: float | None, comparable: bool, tolerance: float | None, verdict: str) -> None:
    judged = judge_cell(62.25, ours, comparable=comparable, tolerance=tolerance, decimals=2)
    assert judged.value == verdict


@pytest.mark.parametrize(
    ("count", "verdict"), [(134_346_581.0, "within tolerance"), (132e6, "off")]
)
def test_parameters_within_rounding(count: float, verdict: str) -> None:
    judged = judge_cell(134.3, count / 1e6, comparable=True, tolerance=0.1, decimals=1)
    assert judged.value == verdict


@pytest.mark.parametrize(("ours", "verdict"), [(224.0, "within tolerance"), (223.0, "off")])
def test_field_of_view_is_exact(ours: float, verdict: str) -> None:
    assert judge_cell(224.0, ours, comparable=True, tolerance=0.0, decimals=0).value == verdict


@given(percent, percent)
def test_difference_is_that_of_the_printed_numbers(paper: float, ours: float) -> None:
    paper = round(paper, 2)
    printed = round(float(f"{ours:.2f}") - paper, 2)
    assert difference(paper, ours, 2) == printed
    assert not f"{difference(paper, ours, 2):+.2f}".startswith("-0.00")


@given(percent, percent, st.floats(0, 5))
def test_only_comparable_results_are_held_to_the_tolerance(
    paper: float, ours: float, tolerance: float
) -> None:
    paper = round(paper, 2)
    near = abs(difference(paper, ours, 2)) <= tolerance
    judged = judge_cell(paper, ours, comparable=True, tolerance=tolerance, decimals=2)
    assert judged is (Verdict.WITHIN_TOLERANCE if near else Verdict.OFF)
    foreign = judge_cell(paper, ours, comparable=False, tolerance=tolerance, decimals=2)
    assert foreign is Verdict.NOT_COMPARABLE


@pytest.mark.parametrize(
    ("interval", "verdict"),
    [
        ((60.0, 62.25), "within the interval"),  # the bound is inclusive
        ((60.0, 62.246), "within the interval"),  # printed as 62.25
        ((60.0, 62.24), "off"),
        (None, "off"),
    ],
)
def test_an_interval_that_holds_the_papers_value(
    interval: tuple[float, float] | None, verdict: str
) -> None:
    def judge(ours: float, comparable: bool = True) -> Verdict:
        return judge_cell(
            62.25, ours, comparable=comparable, tolerance=0.5, decimals=2, interval=interval
        )

    assert judge(61.0).value == verdict
    assert judge(62.0) is Verdict.WITHIN_TOLERANCE  # which comes first
    assert judge(61.0, comparable=False) is Verdict.NOT_COMPARABLE


@pytest.mark.parametrize(
    ("ours", "interval", "verdict"),
    [
        (None, None, "not run"),
        (3.0, None, "not judged"),
        (-1.0, (-2.0, -0.1), "contradicted"),
        (-1.0, (-2.0, 0.0), "no difference seen"),
        (-1.0, (-2.0, 0.1), "no difference seen"),
        (3.6, (-0.1, 7.0), "no difference seen"),  # as near as can be, and not shown
        (3.6, (0.004, 7.0), "no difference seen"),  # printed as 0.00
        (3.6, (0.01, 7.0), "reproduced"),
        (2.0, (0.5, 3.61), "reproduced"),  # the paper's number lies in the interval
        (2.91, (2.5, 3.3), "reproduced"),  # ours lies within 0.7 of it
        (2.90, (2.5, 3.3), "same direction, smaller"),
        (4.31, (4.0, 4.5), "reproduced"),
        (4.32, (4.0, 4.5), "same direction, larger"),
        (9.0, (8.0, 10.0), "same direction, larger"),
    ],
)
def test_claimed_differences(
    ours: float | None, interval: tuple[float, float] | None, verdict: str
) -> None:
    assert judge_difference(3.61, ours, interval, tolerance=0.7).value == verdict
    # A claimed loss is a claimed gain of the other side.
    mirrored = None if interval is None else (-interval[1], -interval[0])
    loss = None if ours is None else -ours
    assert judge_difference(-3.61, loss, mirrored, tolerance=0.7).value == verdict


@pytest.mark.parametrize(
    ("ours", "interval", "verdict"),
    [
        (None, None, "not run"),
        (0.0, None, "not judged"),
        (0.0, (-3.0, 3.0), "reproduced"),
        (-0.5, (-0.9, -0.1), "reproduced"),  # a difference is seen, one too small to matter
        (0.504, (0.1, 0.9), "reproduced"),  # printed as 0.50
        (0.51, (-0.1, 1.1), "no difference seen"),
        (-2.0, (-4.0, 0.0), "no difference seen"),
        (0.51, (0.1, 0.9), "contradicted"),
        (-2.0, (-3.0, -1.0), "contradicted"),
    ],
)
def test_claims_of_no_difference(
    ours: float | None, interval: tuple[float, float] | None, verdict: str
) -> None:
    assert judge_same(ours, interval, tolerance=0.5).value == verdict


@pytest.mark.parametrize(
    ("ours", "one_device", "verdict"),
    [
        (None, True, "not run"),
        (None, False, "not run"),
        (3.36, False, "not judged"),
        (0.94, True, "contradicted"),
        (0.95, True, "no difference seen"),
        (1.05, True, "no difference seen"),
        (1.06, True, "same direction, smaller"),
        (2.68, True, "same direction, smaller"),
        (2.69, True, "reproduced"),  # 3.36 / 1.25 = 2.688
        (4.20, True, "reproduced"),
        (4.21, True, "same direction, larger"),
    ],
)
def test_claimed_ratios(ours: float | None, one_device: bool, verdict: str) -> None:
    judged = judge_ratio(3.36, ours, one_device=one_device, tolerance=0.25, equal=0.05)
    assert judged.value == verdict


def test_a_claim_takes_the_worst_verdict_of_its_parts() -> None:
    every = list(ClaimVerdict)
    assert [v.value for v in every[2:]] == [
        "contradicted", "no difference seen", "same direction, smaller", "same direction, larger",
        "reproduced",
    ]  # fmt: skip
    for place, verdict in enumerate(every):
        assert worst(every[place:]) is worst([*every[:place:-1], verdict]) is verdict
    assert worst([]) is ClaimVerdict.NOT_RUN


points = st.floats(-20, 20).map(lambda value: round(value, 2))


@given(points.filter(bool), points, points, points)
def test_every_difference_has_one_verdict_that_its_interval_bears_out(
    reported: float, ours: float, one: float, other: float
) -> None:
    low, high = sorted((one, other))
    verdict = judge_difference(reported, ours, (low, high), tolerance=0.7)
    zero_inside = low <= 0 <= high
    assert zero_inside == (verdict is ClaimVerdict.NO_DIFFERENCE)
    if not zero_inside:
        against = (low > 0) != (reported > 0)
        assert against == (verdict is ClaimVerdict.CONTRADICTED)
