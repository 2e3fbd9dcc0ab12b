"""What a difference or ratio was computed from: two cells, each with the run it comes from."""

from collections.abc import Sequence
from dataclasses import dataclass

from replication.paper.reported import (
    CellName,
    Claim,
    Column,
    Reported,
    ResultField,
    Row,
    Table,
)
from replication.report.links import CELL_RULE, run_page
from replication.reporting.blocks import NOT_RUN
from replication.reporting.evidence import Evidence


@dataclass(frozen=True)
class Term:
    """One cell: our value as printed, whose it is and where that run's page is."""

    value: str
    run: str
    column: str
    href: str


@dataclass(frozen=True)
class Equation:
    """``of`` minus (or divided by) ``over``."""

    of: Term
    operator: str
    over: Term

    @property
    def runs(self) -> list[str]:
        """The runs that it needs, each once."""
        return list(dict.fromkeys(term.run for term in (self.of, self.over) if term.run))


def equation(
    cells: Sequence[CellName], table: Table, evidence: Evidence, operator: str = "−"
) -> Equation:
    """Spell out cell ``cells[0]`` of ours against ``cells[1]``."""
    of, over = (_cell(*table.find(cell), evidence) for cell in cells)
    return Equation(of, operator, over)


def claim_equations(claim: Claim, evidence: Evidence, reported: Reported) -> list[Equation]:
    """Return one equation for each part of a claim."""
    if claim.ratio is not None:
        cells = (claim.ratio.of, claim.ratio.over)
        return [equation(cells, reported.tables[claim.ratio.table], evidence, "÷")]
    if claim.across is not None:
        sides = (claim.across.of, claim.across.over)
        of, over = (_cell(*reported.find(side), evidence) for side in sides)
        return [Equation(of, "−", over)]
    if claim.near is not None:
        of, over = (_near(*side, evidence) for side in (claim.near.of, claim.near.over))
        return [Equation(of, "−", over)]
    found = [reported.effect(name) for name in claim.effects]
    return [equation((effect.of, effect.over), table, evidence) for table, effect in found]


def _cell(row: Row, column: Column, evidence: Evidence) -> Term:
    field = row.field(column)
    stage, _, name = field.partition(".")
    title = f"{stage} CRF" if name == "miou" else column.title
    return _term(row.run, field, title, evidence, scale=column.scale, decimals=column.decimals)


def _near(run: str, field: ResultField, evidence: Evidence) -> Term:
    return _term(run, field, f"{field.partition('.')[0]} CRF, near contours", evidence)


def _term(
    run: str | None,
    field: ResultField,
    title: str,
    evidence: Evidence,
    *,
    scale: float = 1.0,
    decimals: int = 2,
) -> Term:
    result = evidence.result(run)
    measure = None if result is None else result.measure(field, scale)
    value = NOT_RUN if measure is None else f"{measure.mean:.{decimals}f}"
    return Term(value, run or "", title, CELL_RULE if run is None else run_page(run, "#measures"))
