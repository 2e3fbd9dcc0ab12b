"""A comparison as printed text: blocks of rows that Markdown and LaTeX lay out alike."""

from dataclasses import dataclass

from replication.paper.reported import Column, KeyValue, Row
from replication.paper.verdicts import Bounds, Verdict
from replication.reporting.comparison import Cell, ComparedRow, Comparison

NOT_RUN = "not run"
# What stands for our value in cells that no run here can fill.
UNFILLED = {Verdict.QUOTED: "", Verdict.SUBMIT: Verdict.SUBMIT.value}
NO_RATIO = "-"


@dataclass(frozen=True)
class Group:
    """One measured column's four printed columns, under one heading."""

    title: str
    unit: str
    heads: tuple[str, str, str, str]


@dataclass(frozen=True)
class PrintedRow:
    """One printed row: keys, four texts per group, the run and whether it has a result."""

    keys: list[str]
    cells: list[tuple[str, str, str, str]]
    run: str
    has_result: bool


@dataclass(frozen=True)
class Block:
    """A part of a table narrow enough to read: the columns that share a heading."""

    title: str
    keys: list[str]
    groups: list[Group]
    rows: list[PrintedRow]


def key_text(value: KeyValue) -> str:
    """Print a key: lists with commas, flags as yes or nothing, thousands set off."""
    if isinstance(value, bool):
        return "yes" if value else ""
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) else value


def signed(value: float | None, decimals: int) -> str:
    """Print a difference with its sign; None is `not run`, zero has no sign."""
    if value is None:
        return NOT_RUN
    return f"{value:+.{decimals}f}" if value else f"{value:.{decimals}f}"


def interval_text(interval: Bounds | None, decimals: int) -> str:
    """Print an interval as [low, high]; nothing where there is none."""
    if interval is None:
        return ""
    low, high = (round(bound, decimals) + 0.0 for bound in interval)  # no -0.0
    return f"[{low:.{decimals}f}, {high:.{decimals}f}]"


def ours_text(cell: Cell) -> str:
    """Print our value, ± the deviation over seeds, and its interval, as far as there are any."""
    if cell.ours is None:
        return UNFILLED.get(cell.verdict, NOT_RUN)
    decimals = cell.column.decimals
    texts = [f"{cell.ours:.{decimals}f}"]
    if cell.std is not None:
        texts.append(f"± {cell.std:.{decimals}f}")
    if cell.interval is not None:
        texts.append(interval_text(cell.interval, decimals))
    return " ".join(texts)


def ratio_text(value: float | None) -> str:
    """Print a ratio to the first row; a dash where the devices differ or a row is missing."""
    return NO_RATIO if value is None else f"{value:.2f}x"


def blocks(comparison: Comparison) -> list[Block]:
    """Lay a comparison out as printed blocks, in the order of the paper's columns."""
    table = comparison.table
    by_title: dict[str, list[Column]] = {}
    for column in table.columns:
        by_title.setdefault(column.block, []).append(column)
    return [
        Block(
            title=title,
            keys=[key.title for key in table.keys],
            groups=[_group(column) for column in columns],
            rows=[_row(row, columns) for row in comparison.rows],
        )
        for title, columns in by_title.items()
    ]


def _group(column: Column) -> Group:
    last = ("ratio, paper", "ratio, ours") if column.ratio else ("difference", "verdict")
    return Group(column.title, column.unit, ("paper", "ours", *last))


def _row(row: ComparedRow, columns: list[Column]) -> PrintedRow:
    return PrintedRow(
        keys=[_key(row.row, name) for name in row.row.keys],
        cells=[_texts(row.cells[column.name]) for column in columns],
        run=row.row.run or "",
        has_result=row.result is not None,
    )


def _key(row: Row, name: str) -> str:
    text = key_text(row.keys[name])
    return f"{text} (inferred)" if name in row.inferred else text


def _texts(cell: Cell) -> tuple[str, str, str, str]:
    decimals = cell.column.decimals
    paper = f"{cell.reported:.{decimals}f}"
    if cell.column.ratio:
        ours_ratio = NOT_RUN if cell.ours is None else ratio_text(cell.ours_ratio)
        return paper, ours_text(cell), ratio_text(cell.reported_ratio), ours_ratio
    apart = "" if cell.verdict in UNFILLED else signed(cell.difference, decimals)
    return paper, ours_text(cell), apart, cell.verdict.value
