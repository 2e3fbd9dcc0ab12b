"""The grid of the search: the paper's coarse one, then finer steps around the best.

The paper (section 4.1, in MATLAB's notation FIRST:STEP:LAST) searches w1 in 3:6, sigma_alpha in
30:10:100 and sigma_beta in 3:6, "and then we refine the search step sizes around the first round's
best values". By how much, and how often, it does not say. Here each finer round halves all steps
and tries one of them to either side of the best so far, in every combination: 5 and then 2.5 pixels
for sigma_alpha, 0.5 and 0.25 for the others. A best point on the edge of the coarse grid is left to
wander out of it: one of the authors' own settings, sigma_alpha 21, lies outside.

Ranges are written FIRST:LAST or FIRST:LAST:STEP here, both ends included.
"""

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import groupby, product
from typing import NamedTuple

from replication.errors import ReplicationError

FINER_ROUNDS = 2
_MOST_VALUES = 1_000  # in one range
_DIGITS = 9  # of a value: 0.1 + 0.2 is meant to be 0.3
_LEAST = (0.0, 0.1, 0.1)  # as `CrfParameters` takes them
_MOST = (1_000.0, 10_000.0, 10_000.0)


class Point(NamedTuple):
    """One point of the grid: weight, pixels, grey levels."""

    w1: float
    sigma_alpha: float
    sigma_beta: float


@dataclass(frozen=True)
class Range:
    """Evenly spaced values; a single one is not varied in finer rounds either (its step is 0)."""

    values: tuple[float, ...]
    step: float

    def thinned(self, every: int) -> "Range":
        """Return the first of every ``every`` values, at as many times the step."""
        values = self.values[::every]
        return Range(values, round(self.step * every, _DIGITS) if len(values) > 1 else 0.0)


@dataclass(frozen=True)
class Grid:
    """A range for each parameter that is searched."""

    w1: Range
    sigma_alpha: Range
    sigma_beta: Range

    def points(self) -> list[Point]:
        """Return every combination, those that share lattices (the sigmas) side by side."""
        axes = (self.w1.values, self.sigma_alpha.values, self.sigma_beta.values)
        return in_order(Point(*values) for values in product(*axes))

    def thinned(self, every: int) -> "Grid":
        """Return the grid with every ``every``-th value of each axis, for searches in seconds."""
        return Grid(*(axis.thinned(every) for axis in (self.w1, self.sigma_alpha, self.sigma_beta)))

    def as_dict(self) -> dict[str, list[float]]:
        """Return the values as plain data."""
        return {
            "w1": list(self.w1.values),
            "sigma_alpha": list(self.sigma_alpha.values),
            "sigma_beta": list(self.sigma_beta.values),
        }


def in_order(points: Iterable[Point]) -> list[Point]:
    """Sort points so that those that share lattices are side by side."""
    return sorted(points, key=lambda p: (p.sigma_alpha, p.sigma_beta, p.w1))


def _number(text: str, whole: str, name: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ReplicationError(
            f"`{name}` is {whole!r}: {text!r} is no number; write FIRST:LAST or FIRST:LAST:STEP, "
            "such as 30:100:10"
        )
    return value


def parse_range(text: str, name: str) -> Range:
    """Read ``FIRST:LAST``, ``FIRST:LAST:STEP`` or a single value; the step is 1 unless given.

    LAST is included where a whole number of steps leads to it.

    Args:
        text: the range.
        name: what errors call it, such as ``--coarse-w1``.

    Raises:
        ReplicationError: not such a range, a step that is not above 0, LAST below FIRST, or more
            than 1,000 values.
    """
    parts = text.split(":")
    if len(parts) > 3:
        raise ReplicationError(
            f"`{name}` is {text!r}; write FIRST:LAST or FIRST:LAST:STEP, such as 30:100:10"
        )
    numbers = [_number(part, text, name) for part in parts]
    first = numbers[0]
    last = numbers[1] if len(numbers) > 1 else first
    step = numbers[2] if len(numbers) > 2 else 1.0
    if step <= 0:
        raise ReplicationError(f"`{name}` is {text!r}: its step {step:g} must be above 0")
    if last < first:
        raise ReplicationError(
            f"`{name}` is {text!r}: it ends below its first value; the order is FIRST:LAST:STEP"
        )
    count = math.floor((last - first) / step + 1e-6) + 1
    if count > _MOST_VALUES:
        raise ReplicationError(
            f"`{name}` is {text!r}, {count:,} values; take a larger step (at most {_MOST_VALUES:,})"
        )
    values = tuple(round(first + k * step, _DIGITS) for k in range(count))
    return Range(values, step if count > 1 else 0.0)


def parse_grid(w1: str, sigma_alpha: str, sigma_beta: str, prefix: str = "--coarse-") -> Grid:
    """Read the three ranges of a grid and check that the CRF takes their values.

    Raises:
        ReplicationError: as `parse_range`, or a value is outside what the CRF takes.
    """
    ranges = []
    names = ("w1", "sigma-alpha", "sigma-beta")
    for name, text, least, most in zip(
        names, (w1, sigma_alpha, sigma_beta), _LEAST, _MOST, strict=True
    ):
        read = parse_range(text, prefix + name)
        if read.values[0] < least or read.values[-1] > most:
            raise ReplicationError(
                f"`{prefix}{name}` is {text!r}: values must lie in {least:g} to {most:g}"
            )
        ranges.append(read)
    return Grid(*ranges)


COARSE = parse_grid("3:6", "30:100:10", "3:6")
"""The paper's first grid: 4 x 8 x 4 = 128 points, 32 lattices."""


def finer(best: Point, grid: Grid, finer_round: int, tried: Collection[Point]) -> list[Point]:
    """Return the points of a finer round: up to 26 around the best so far.

    Args:
        best: the best point so far.
        grid: the coarse grid, whose steps are halved ``finer_round`` times.
        finer_round: 1 for the first round after the coarse one.
        tried: points that are known already: left out.
    """
    axes = []
    steps = (grid.w1.step, grid.sigma_alpha.step, grid.sigma_beta.step)
    for value, whole, least, most in zip(best, steps, _LEAST, _MOST, strict=True):
        step = whole / 2**finer_round
        near = {round(value + k * step, _DIGITS) for k in (-1, 0, 1)}
        axes.append([x for x in near if least <= x <= most])
    return in_order({Point(*values) for values in product(*axes)} - set(tried))


def slices(points: Iterable[Point], most: int) -> list[tuple[Point, ...]]:
    """Cut points into parts of at most ``most``, never between two that share lattices.

    A part is larger only where more than ``most`` points share theirs.
    """
    parts: list[tuple[Point, ...]] = []
    for _, together in groupby(in_order(points), key=lambda p: (p.sigma_alpha, p.sigma_beta)):
        group = tuple(together)
        if parts and len(parts[-1]) + len(group) <= most:
            parts[-1] += group
        else:
            parts.append(group)
    return parts
