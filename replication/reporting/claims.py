"""The paper's claims beside ours: its difference, ours with a paired interval, a verdict.

The rule is in `replication.paper.verdicts`, the tolerances in ``reported.yaml``.
"""

from dataclasses import dataclass

from replication.paper import verdicts
from replication.paper.reported import Claim, Effect, Ratio, Reported, Table
from replication.paper.verdicts import Bounds, ClaimVerdict
from replication.reporting.evidence import Evidence

DECIMALS = 2


@dataclass(frozen=True)
class Part:
    """One number of a claim: a difference in points, or a ratio.

    ``reported`` is None where the paper gives no number; ``runs`` are those that it needs, none
    where no table here holds it.
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
        return tuple(
            _difference(claim, *reported.effect(name), evidence, reported) for name in claim.effects
        )
    numbers: list[float] | list[None] = claim.reported or [None]
    return tuple(Part(claim.text, n, None, None, ClaimVerdict.NOT_RUN) for n in numbers)


def _difference(
    claim: Claim, table: Table, effect: Effect, evidence: Evidence, reported: Reported
) -> Part:
    cells = [table.find(effect.of), table.find(effect.over)]
    ours: float | None = None
    measures = []
    for row, column in cells:
        result = evidence.result(row.run)
        measures.append(None if result is None else result.measure(row.field(column), column.scale))
    of, over = measures
    if of is not None and over is not None:
        ours = verdicts.difference(round(over.mean, DECIMALS), of.mean, DECIMALS)
    (first, second) = ((row.run, row.field(column)) for row, column in cells)
    interval = None if ours is None else evidence.difference(first, second)
    number = table.reported_effect(effect)
    tolerance = _within(reported, claim.kind)
    if claim.kind == "same":
        verdict = verdicts.judge_same(ours, interval, tolerance=tolerance)
    else:
        verdict = verdicts.judge_difference(number, ours, interval, tolerance=tolerance)
    runs = tuple(dict.fromkeys(row.run for row, _ in cells if row.run is not None))
    return Part(effect.text, number, ours, interval, verdict, runs)


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
