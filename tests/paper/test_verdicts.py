"""The rule for a cell, on made-up values of every kind."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replication.paper.verdicts import Verdict, difference, judge_cell

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
