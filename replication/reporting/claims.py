"""The paper's claims beside ours: its difference, ours with a paired interval, a verdict.

The rule is in `replication.paper.verdicts`, the tolerances in ``reported.yaml``.
"""

from dataclasses import dataclass
from typing import NamedTuple

from replication.paper import verdicts
from replication.paper.reported import Claim, Column, Kind, Ratio, Reported, ResultField, Row
from replication.paper.verdicts import Bounds, ClaimVerdict
from replication.reporting.evidence import Evidence

DECIMALS = 2


@dataclass(frozen=True)
class Part:
    """One number of a claim: a difference in points, or a ratio.

    ``reported`` is None where the paper gives no number; ``runs`` are those that it needs.
    """

    text: str
    reported: float | None
    ours: float | None
    interval: Bounds | None
    verdict: ClaimVerdict
    runs: tuple[str, ...] = ()


@dataclass(frozen=True)
class JudgedClaim:
    """A claim, its parts and the verdict on the whole."""

    claim: Claim
    parts: tuple[Part, ...]

    @property
    def verdict(self) -> ClaimVerdict:
        """The worst verdict of its parts."""
        return verdicts.worst([part.verdict for part in self.parts])


def judge_claims(evidence: Evidence, reported: Reported) -> list[JudgedClaim]:
    """Judge every claim of ``reported`` by a profile's results."""
    return [JudgedClaim(claim, _parts(claim, evidence, reported)) for claim in reported.claims]


def _parts(claim: Claim, evidence: Evidence, reported: Reported) -> tuple[Part, ...]:
    if claim.ratio is not None:
        return (_ratio(claim.text, claim.ratio, evidence, reported),)
    if claim.effects:
        stated = []
        for table, effect in map(reported.effect, claim.effects):
            cells = _cell(*table.find(effect.of)), _cell(*table.find(effect.over))
            stated.append(_Stated(effect.text, table.reported_effect(effect), *cells))
        return tuple(_difference(claim.kind, one, evidence, reported) for one in stated)
    if claim.across is not None:
        found = (reported.find(claim.across.of), reported.find(claim.across.over))
        of, over = (row.reported[column.name] for row, column in found)
        one = _Stated(claim.text, round(of - over, DECIMALS), *(_cell(*cell) for cell in found))
        return (_difference(claim.kind, one, evidence, reported),)
    assert claim.near is not None  # a claim is measured in one of four ways
    first, second = (_Measured(*side, 1.0) for side in (claim.near.of, claim.near.over))
    one = _Stated(claim.text, None, first, second)
    return (_difference(claim.kind, one, evidence, reported),)


class _Measured(NamedTuple):
    """Where one side of a difference is measured: a run (None: no run fills it) and a field."""

    run: str | None
    field: ResultField
    scale: float


@dataclass(frozen=True)
class _Stated:
    """A difference as the paper has it: in words, in points (None: no number), and its sides."""

    text: str
    number: float | None
    of: _Measured
    over: _Measured


def _cell(row: Row, column: Column) -> _Measured:
    return _Measured(row.run, row.field(column), column.scale)


def _difference(kind: Kind, stated: _Stated, evidence: Evidence, reported: Reported) -> Part:
    ours: float | None = None
    measures = []
    sides = (stated.of, stated.over)
    for side in sides:
        result = evidence.result(side.run)
        measures.append(None if result is None else result.measure(side.field, side.scale))
    of, over = measures
    if of is not None and over is not None:
        ours = verdicts.difference(round(over.mean, DECIMALS), of.mean, DECIMALS)
    first, second = ((side.run, side.field) for side in sides)
    interval = None if ours is None else evidence.difference(first, second)
    tolerance = _within(reported, kind)
    if kind == "same" or stated.number is None:
        verdict = verdicts.judge_same(ours, interval, tolerance=tolerance)
    else:
        verdict = verdicts.judge_difference(stated.number, ours, interval, tolerance=tolerance)
    runs = tuple(dict.fromkeys(side.run for side in sides if side.run is not None))
    return Part(stated.text, stated.number, ours, interval, verdict, runs)


def _ratio(text: str, ratio: Ratio, evidence: Evidence, reported: Reported) -> Part:
    table = reported.tables[ratio.table]
    cells = [table.find(ratio.of), table.find(ratio.over)]
    results = [evidence.result(row.run) for row, _ in cells]
    speeds = [
        None if result is None else result.measure(row.field(column), column.scale)
        for (row, column), result in zip(cells, results, strict=True)
    ]
    of, over = speeds
    ours = None if of is None or over is None else of.mean / over.mean
    devices = {frozenset(result.devices()) for result in results if result is not None}
    number = round(table.reported(ratio.of) / table.reported(ratio.over), DECIMALS)
    verdict = verdicts.judge_ratio(
        number,
        ours,
        one_device=len(devices) == 1,
        tolerance=_within(reported, "ratio"),
        equal=_within(reported, "equal_speed"),
    )
    runs = tuple(row.run for row, _ in cells if row.run is not None)
    return Part(text, number, ours, None, verdict, runs)


def _within(reported: Reported, name: str) -> float:
    within = reported.tolerances[name].within
    assert within is not None  # claims are always judged
    return within
