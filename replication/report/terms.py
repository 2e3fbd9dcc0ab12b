"""What a difference or ratio was computed from: two cells, each with the run it comes from."""

from collections.abc import Sequence
from dataclasses import dataclass

from replication.paper.reported import CellName, Claim, Reported, Table
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
    of, over = (_term(cell, table, evidence) for cell in cells)
    return Equation(of, operator, over)


def claim_equations(claim: Claim, evidence: Evidence, reported: Reported) -> list[Equation]:
    """Return one equation for each part of a claim; none where no table here holds its cells."""
    if claim.ratio is not None:
        cells = (claim.ratio.of, claim.ratio.over)
        return [equation(cells, reported.tables[claim.ratio.table], evidence, "÷")]
    found = [reported.effect(name) for name in claim.effects]
    return [equation((effect.of, effect.over), table, evidence) for table, effect in found]


def _term(cell: CellName, table: Table, evidence: Evidence) -> Term:
    row, column = table.find(cell)
    result = evidence.result(row.run)
    measure = None if result is None else result.measure(row.field(column), column.scale)
    value = NOT_RUN if measure is None else f"{measure.mean:.{column.decimals}f}"
    href = CELL_RULE if row.run is None else run_page(row.run, "#measures")
    return Term(value, row.run or "", column.title, href)
