"""A table of the paper set against our results: values, differences and verdicts, not yet text."""

from dataclasses import dataclass, replace

from replication.paper.reported import Column, Effect, Reported, Row, Table
from replication.paper.verdicts import Bounds, Verdict, difference, judge_cell
from replication.reporting.evidence import Evidence
from replication.reporting.results import Result


@dataclass(frozen=True)
class Cell:
    """One measured cell; numbers are in the column's unit, rounded to its decimals.

    ``ours``, ``std`` and ``difference`` are None where nothing was run (``std`` also with one
    seed). ``interval`` is the 95 % interval of ours over images, None where the result has no
    counts of images or the cell is no mean IOU. The ratios are to the table's first row, only in
    columns that ask for them; ``ours_ratio`` is None unless both rows were trained on one kind of
    device and precision.
    """

    column: Column
    reported: float
    ours: float | None
    std: float | None
    difference: float | None
    verdict: Verdict
    interval: Bounds | None = None
    reported_ratio: float | None = None
    ours_ratio: float | None = None


@dataclass(frozen=True)
class ComparedRow:
    """One row, its result (None: not run) and its cells by column name."""

    row: Row
    result: Result | None
    cells: dict[str, Cell]


@dataclass(frozen=True)
class ComparedEffect:
    """A difference between two cells: the paper's and ours (None: a cell of it was not run)."""

    effect: Effect
    reported: float
    ours: float | None


@dataclass(frozen=True)
class Comparison:
    """A whole table."""

    table: Table
    rows: list[ComparedRow]
    effects: list[ComparedEffect]

    def results(self) -> list[Result]:
        """Return the results that exist, in row order, each run once."""
        return list({r.result.run: r.result for r in self.rows if r.result is not None}.values())


def compare(table: Table, evidence: Evidence, reported: Reported) -> Comparison:
    """Set ``table`` against the results of a profile (a run without one: not run)."""
    rows = []
    for row in table.rows:
        cells = {
            column.name: _unfilled(table, row, column)
            or _cell(row, column, evidence, tolerance=reported.within(column))
            for column in table.columns
        }
        result = None if table.server else evidence.result(row.run)
        rows.append(ComparedRow(row, result, cells))
    rows = [_with_ratios(row, rows[0]) for row in rows]
    by_id = {row.row.id: row.cells for row in rows}
    effects = []
    for effect in table.effects:
        of, over = (by_id[row][column] for row, column in (effect.of, effect.over))
        ours = None
        if of.ours is not None and over.ours is not None:
            ours = difference(over.ours, of.ours, of.column.decimals)
        effects.append(ComparedEffect(effect, table.reported_effect(effect), ours))
    return Comparison(table, rows, effects)


def _unfilled(table: Table, row: Row, column: Column) -> Cell | None:
    """Return a cell that no run here can fill: another's system, or a test server's number."""
    if row.run is not None and table.server is None:
        return None
    verdict = Verdict.QUOTED if row.run is None else Verdict.SUBMIT
    return Cell(column, row.reported[column.name], None, None, None, verdict)


def _cell(row: Row, column: Column, evidence: Evidence, *, tolerance: float | None) -> Cell:
    paper, field, result = row.reported[column.name], row.field(column), evidence.result(row.run)
    measure = result.measure(field, column.scale) if result is not None else None
    interval = evidence.interval(row.run, field)
    verdict = judge_cell(
        paper,
        None if measure is None else measure.mean,
        comparable=result is not None and result.comparable,
        tolerance=tolerance,
        decimals=column.decimals,
        interval=interval,
    )
    if measure is None:
        return Cell(column, paper, None, None, None, verdict)
    return Cell(
        column=column,
        reported=paper,
        ours=round(measure.mean, column.decimals),
        std=None if measure.std is None else round(measure.std, column.decimals),
        difference=difference(paper, measure.mean, column.decimals),
        verdict=verdict,
        interval=_rounded(interval, column.decimals),
    )


def _rounded(interval: Bounds | None, decimals: int) -> Bounds | None:
    if interval is None:
        return None
    return round(interval[0], decimals), round(interval[1], decimals)


def _with_ratios(row: ComparedRow, first: ComparedRow) -> ComparedRow:
    """Add the ratios to the first row; ours only where both trained on one device and threads."""
    same_device = (
        row.result is not None
        and first.result is not None
        and row.result.devices() == first.result.devices()
    )
    cells = {}
    for name, cell in row.cells.items():
        if cell.column.ratio:
            base = first.cells[name]
            ours = cell.ours / base.ours if same_device and cell.ours and base.ours else None
            cell = replace(  # noqa: PLW2901
                cell, reported_ratio=cell.reported / base.reported, ours_ratio=ours
            )
        cells[name] = cell
    return replace(row, cells=cells)
