"""The grid against the paper's numbers, written out, and its laws."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replication.crf.grid import COARSE, Point, finer, in_order, parse_grid, parse_range, slices
from replication.crf.parameters import CrfParameters
from replication.errors import ReplicationError


def test_the_coarse_grid_is_the_papers() -> None:
    written = set(product((3, 4, 5, 6), (30, 40, 50, 60, 70, 80, 90, 100), (3, 4, 5, 6)))
    assert set(COARSE.points()) == written
    assert len(COARSE.points()) == 128


def test_a_thinned_grid_has_every_third_value_at_three_times_the_step() -> None:
    thinned = COARSE.thinned(3)
    assert set(thinned.points()) == set(product((3, 6), (30, 60, 90), (3, 6)))
    assert (thinned.w1.step, thinned.sigma_alpha.step, thinned.sigma_beta.step) == (3, 30, 3)
    assert COARSE.thinned(1) == COARSE
    single = COARSE.thinned(8)  # one value an axis, which finer rounds then leave alone
    assert single.points() == [Point(3, 30, 3)]
    assert finer(Point(3, 30, 3), single, 1, single.points()) == []


@pytest.mark.parametrize(
    ("text", "values", "step"),
    [
        ("3:6", (3, 4, 5, 6), 1),
        ("30:100:10", (30, 40, 50, 60, 70, 80, 90, 100), 10),
        ("0.1:0.5:0.1", (0.1, 0.2, 0.3, 0.4, 0.5), 0.1),
        ("3:6:2", (3, 5), 2),
        ("4", (4,), 0),
        ("4:4", (4,), 0),
        (" 1 : 2 ", (1, 2), 1),
    ],
)
def test_ranges_include_both_ends(text: str, values: tuple[float, ...], step: float) -> None:
    read = parse_range(text, "--x")
    assert (read.values, read.step) == (values, step)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "'' is no number"),
        ("3-6", "'3-6' is no number; write FIRST:LAST"),
        ("3:six", "'six' is no number"),
        ("3:inf", "'inf' is no number"),
        ("1:2:3:4", "write FIRST:LAST or FIRST:LAST:STEP"),
        ("30:10:100", "the order is FIRST:LAST:STEP"),  # the paper's MATLAB notation
        ("3:6:0", "its step 0 must be above 0"),
        ("3:6:-1", "its step -1 must be above 0"),
        ("0:1:1e-6", "1,000,001 values; take a larger step"),
    ],
)
def test_bad_ranges_are_named(text: str, words: str) -> None:
    with pytest.raises(ReplicationError, match=words) as caught:
        parse_range(text, "--coarse-w1")
    assert str(caught.value).startswith("`--coarse-w1` is ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "ranges", [("-1:3", "30", "3"), ("3", "0:30", "3"), ("3", "30", "1:20000:999")]
)
def test_values_that_the_crf_refuses_are_named(ranges: tuple[str, str, str]) -> None:
    with pytest.raises(ReplicationError, match="values must lie in"):
        parse_grid(*ranges)


def test_finer_rounds_halve_the_steps_around_the_best() -> None:
    best = Point(4, 60, 5)
    first = finer(best, COARSE, 1, COARSE.points())
    assert set(first) == set(product((3.5, 4, 4.5), (55, 60, 65), (4.5, 5, 5.5))) - {best}
    second = finer(Point(4.5, 65, 5), COARSE, 2, [*COARSE.points(), *first])
    assert set(second) == set(product((4.25, 4.5, 4.75), (62.5, 65, 67.5), (4.75, 5, 5.25))) - {
        Point(4.5, 65, 5)
    }


def test_a_best_on_the_edge_may_wander_out_but_not_where_the_crf_ends() -> None:
    assert min(p.sigma_alpha for p in finer(Point(3, 30, 3), COARSE, 1, [])) == 25
    grid = parse_grid("0:1", "0.1:2.1", "0.1:1.1")
    near = finer(Point(0, 0.1, 0.1), grid, 1, [])
    assert set(near) == set(product((0, 0.5), (0.1, 0.6), (0.1, 0.6)))


def test_a_single_value_stays_fixed() -> None:
    grid = parse_grid("4", "50:60:10", "3")
    assert finer(Point(4, 50, 3), grid, 1, [Point(4, 50, 3)]) == [Point(4, 45, 3), Point(4, 55, 3)]


@given(
    st.lists(
        st.tuples(*[st.sampled_from([1.0, 2.0, 3.0])] * 3).map(lambda t: Point(*t)), unique=True
    ),
    st.integers(1, 12),
)
def test_slices_hold_all_points_and_never_part_shared_lattices(
    points: list[Point], most: int
) -> None:
    parts = slices(points, most)
    assert [p for part in parts for p in part] == in_order(points)
    where = {}
    for number, part in enumerate(parts):
        lattices = {(p.sigma_alpha, p.sigma_beta) for p in part}
        assert len(part) <= most or len(lattices) == 1
        for pair in lattices:
            assert where.setdefault(pair, number) == number


def test_every_point_makes_parameters() -> None:
    for point in finer(COARSE.points()[0], COARSE, 2, []):
        CrfParameters(**point._asdict())
