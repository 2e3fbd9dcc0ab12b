"""The paper's tables for the page: every number leads to where it is from."""

from dataclasses import dataclass

from replication.paper.reported import Reported, Table, Tolerance
from replication.report.links import CELL_RULE, PAPER, Linked, run_page
from replication.report.terms import Equation, equation
from replication.reporting.blocks import Block, Group, blocks, signed
from replication.reporting.comparison import Comparison
from replication.reporting.evidence import Evidence
from replication.reporting.origin import made_from, setting_names, settings_of, table_note


@dataclass(frozen=True)
class Row:
    """A row: the run's name (a link where it is one of ours), keys, and four cells per group."""

    name: str
    href: str
    keys: list[str]
    cells: list[list[Linked]]


@dataclass(frozen=True)
class Part:
    """A part of a table narrow enough to read."""

    title: str
    keys: list[str]
    groups: list[Group]
    rows: list[Row]


@dataclass(frozen=True)
class EffectRow:
    """A difference between two rows: the paper's, ours, and what ours was computed from."""

    text: str
    paper: str
    ours: str
    source: Equation


@dataclass(frozen=True)
class TableView:
    """All that the page says of one table."""

    name: str
    table: Table
    note: str
    made_from: list[tuple[str, str]]
    mixed: bool
    parts: list[Part]
    effects: list[EffectRow]
    setting_names: list[str]
    settings: list[tuple[str, str, list[str]]]
    tolerances: list[tuple[str, Tolerance]]


def view_table(
    name: str, comparison: Comparison, evidence: Evidence, reported: Reported
) -> TableView:
    """Lay a compared table out for the page."""
    table, results = comparison.table, comparison.results()
    decimals = {column.name: column.decimals for column in table.columns}
    return TableView(
        name=name,
        table=table,
        note=table_note(table, results, evidence.profile),
        made_from=made_from(results, evidence.profile),
        mixed=len({result.data.meta_sha256 for result in results}) > 1,
        parts=[
            Part(block.title, block.keys, block.groups, _rows(block, comparison))
            for block in blocks(comparison)
        ],
        effects=[
            EffectRow(
                compared.effect.text,
                signed(compared.reported, decimals[compared.effect.of[1]]),
                signed(compared.ours, decimals[compared.effect.of[1]]),
                equation((compared.effect.of, compared.effect.over), table, evidence),
            )
            for compared in comparison.effects
        ],
        setting_names=setting_names(),
        settings=[(result.run, run_page(result.run), settings_of(result)) for result in results],
        tolerances=[
            (tolerance, reported.tolerances[tolerance])
            for tolerance in dict.fromkeys(column.tolerance for column in table.columns)
        ],
    )


def _rows(block: Block, comparison: Comparison) -> list[Row]:
    ratios = [column.ratio for column in comparison.table.columns if column.block == block.title]
    return [
        Row(
            name=row.row.run or row.row.id,
            href=PAPER if row.row.run is None else run_page(row.row.run),
            keys=line.keys,
            cells=[
                _cell(texts, row.row.run, is_ratio=ratio)
                for texts, ratio in zip(line.cells, ratios, strict=True)
            ],
        )
        for line, row in zip(block.rows, comparison.rows, strict=True)
    ]


def _cell(texts: tuple[str, str, str, str], run: str | None, *, is_ratio: bool) -> list[Linked]:
    """Link the four printed texts of a cell: paper, ours, and either ratios or a verdict."""
    ours = CELL_RULE if run is None else run_page(run, "#measures")
    paper, value, third, fourth = texts
    if is_ratio:
        last = [Linked(third, PAPER), Linked(fourth, ours)]
    else:
        last = [Linked(third, ours), Linked(fourth, CELL_RULE, is_verdict=True)]
    mean, bracket, interval = value.partition(" [")
    detail = bracket.strip() + interval
    return [Linked(paper, PAPER), Linked(mean, ours, detail=detail), *last]
