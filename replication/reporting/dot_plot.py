"""The paper's cells against ours as dots, with intervals: all tables at a glance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from replication.errors import ReplicationError
from replication.evaluation.bootstrap import RESAMPLES
from replication.paper import reported as paper
from replication.paper.reported import Column, ResultField, Row, Table
from replication.paper.verdicts import Bounds
from replication.reporting.blocks import NOT_RUN, key_text
from replication.reporting.captions import Caption
from replication.reporting.comparison import Cell, Comparison, compare
from replication.reporting.context import Context
from replication.reporting.origin import title_note
from replication.reporting.style import COLOURS, PAGE, literal, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LINE = 0.21  # inches from one line to the next
_OURS = COLOURS[0]
# Open and larger than ours: where both lie at one place, both are seen.
_DIAMOND: dict[str, Any] = {
    "color": COLOURS[1],
    "marker": "D",
    "markersize": 5.5,
    "markerfacecolor": "none",
    "markeredgewidth": 1.2,
    "linestyle": "",
}
_WIDE = 20  # an axis whose values spread by more than this factor is logarithmic


class Dot(NamedTuple):
    """One cell on its line; ``ours`` None: ``missing`` says why. ``interval`` None: unknown."""

    line: int
    paper: float
    ours: float | None
    interval: Bounds | None
    missing: str = NOT_RUN


@dataclass(frozen=True)
class Panel:
    """One kind of cell: mean IOU before the CRF, parameters, .. ; dots by line."""

    title: str
    dots: list[Dot]


@dataclass(frozen=True)
class Block:
    """Panels side by side that share their lines, and their axis where ``one_unit``.

    ``heads`` are lines that name a table.
    """

    labels: list[str]
    heads: list[int]
    panels: list[Panel]
    one_unit: bool


def make(context: Context) -> Caption:
    """Draw the dot plot from results/; ReplicationError where nothing has been evaluated."""
    reported = paper.load()
    compared = (compare(t, context.evidence, reported) for t in reported.tables.values())
    tables = [table for table in compared if table.results()]
    results = context.results(reported.runs())
    if not results:
        raise ReplicationError(
            f"{context.settings.place('results')}: no result yet; evaluate a run first"
        )
    cells = [cell for table in tables for row in table.rows for cell in row.cells.values()]
    ours = sum(cell.ours is not None for cell in cells)
    note = title_note(results, context.profile)
    save(_draw(lay_out_cells(tables), note), context.out("paper_against_ours"))
    return Caption(
        name="paper_against_ours",
        title="The paper's numbers against ours",
        caption=(
            f"Every cell of tables {', '.join(str(t.table.number) for t in tables)}: the paper's "
            f"(open diamond) and ours (dot, {ours} of {len(cells)} have been run), {note}. Bars: "
            f"95 % intervals of mean IOU over {RESAMPLES:,} resamplings of the images. Training "
            "speed is each row's ratio to the first row of its table; there is none where that row "
            "was not run, or on another device."
        ),
        alt=_in_words(tables),
        runs=tuple(result.run for result in results),
        files=tuple(context.name(context.result_path(result.run)) for result in results),
    )


def lay_out_cells(tables: Sequence[Comparison]) -> list[Block]:
    """Return the dots: first the cells in percent, a line a row, then all others in their units."""
    blocks = []
    for percent in (True, False):
        labels: list[str] = []
        heads: list[int] = []
        panels: dict[str, list[Dot]] = {}
        for table in tables:
            columns = [c for c in table.table.columns if (c.unit == "%") == percent]
            if not columns:
                continue
            heads.append(len(labels))
            labels.append(f"Table {table.table.number}")
            for row in table.rows:
                for column in columns:
                    dot = _dot(len(labels), row.cells[column.name])
                    if dot is not None:
                        title = _title(column, row.row.field(column))
                        panels.setdefault(title, []).append(dot)
                labels.append(row_name(table.table, row.row))
        if panels:
            blocks.append(Block(labels, heads, [Panel(*p) for p in panels.items()], percent))
    return blocks


def row_name(table: Table, row: Row) -> str:
    """Print a row's keys on one line: words as they are, numbers after what they count.

    Of flags those that are set are named, by their title; where none is, the row is plain.
    """
    named = [(key.title, row.keys[key.name]) for key in table.keys]
    parts = [
        title
        if value is True
        else value
        if isinstance(value, str)
        else f"{title} {key_text(value)}"
        for title, value in named
        if value is not False
    ]
    return ", ".join(parts) or "plain"


def _title(column: Column, field: ResultField) -> str:
    if column.ratio:
        return f"{column.title}\n(ratio to the first row)"
    if column.unit == "%":
        return f"{column.block}, {field.partition('.')[0]} CRF (%)"
    return f"{column.title}\n({column.unit})"


def _dot(line: int, cell: Cell) -> Dot | None:
    if not cell.column.ratio:
        return Dot(line, cell.reported, cell.ours, cell.interval)
    if cell.reported_ratio is None:
        return None
    missing = NOT_RUN if cell.ours is None else "no ratio"
    return Dot(line, cell.reported_ratio, cell.ours_ratio, None, missing)


def _in_words(tables: Sequence[Comparison]) -> str:
    """Say how far our mean IOUs lie from the paper's."""
    off = [
        cell.difference
        for table in tables
        for row in table.rows
        for cell in row.cells.values()
        if cell.column.unit == "%" and cell.difference is not None
    ]
    text = "Dots on lines, the paper's and ours, a line for each row of each table."
    if off:
        text += (
            f" Our mean IOU lies {min(off):+.2f} to {max(off):+.2f} points from the paper's, in "
            f"{len(off)} cells."
        )
    return text


def _draw(blocks: Sequence[Block], note: str) -> Figure:
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    heights = [_LINE * len(block.labels) + 0.75 for block in blocks]
    figure = Figure(figsize=(PAGE, sum(heights) + 0.85), layout="constrained")
    parts = figure.subfigures(len(blocks), 1, height_ratios=heights, squeeze=False)[:, 0]
    for part, block in zip(parts, blocks, strict=True):
        grid = part.subplots(
            1, len(block.panels), sharey=True, sharex=block.one_unit, squeeze=False
        )
        axes = grid[0]
        for axis, panel in zip(axes, block.panels, strict=True):
            _panel(axis, panel, block)
        axes[0].set_yticks(range(len(block.labels)), block.labels, fontsize=7)
        for place in block.heads:
            axes[0].get_yticklabels()[place].set_fontweight("bold")
        axes[0].set_ylim(len(block.labels) - 0.4, -0.6)
    figure.suptitle(f"The paper's numbers against ours\n{literal(note)}", fontsize=9)
    figure.legend(
        handles=[
            Line2D([], [], label="the paper's", **_DIAMOND),
            Line2D([], [], color=_OURS, marker="o", markersize=4.5, label="ours, 95 % interval"),
        ],
        loc="outside lower center",
        ncols=2,
        fontsize=8,
        frameon=False,
    )
    return figure


def _panel(axis: Axes, panel: Panel, block: Block) -> None:
    values = [value for dot in panel.dots for value in (dot.paper, dot.ours) if value is not None]
    middle = (min(values) + max(values)) / 2
    for dot in panel.dots:
        if dot.ours is not None:
            axis.plot([dot.paper, dot.ours], [dot.line] * 2, color="0.75", linewidth=0.8, zorder=1)
        if dot.ours is not None and dot.interval is not None:
            axis.plot(dot.interval, [dot.line] * 2, color=_OURS, linewidth=2.2, zorder=2)
        axis.plot(dot.paper, dot.line, zorder=4, **_DIAMOND)
        if dot.ours is None:
            right = dot.paper < middle  # the text stays inside the panel
            axis.annotate(
                dot.missing,
                (dot.paper, dot.line),
                (6 if right else -6, 0),
                textcoords="offset points",
                fontsize=6,
                color="0.4",
                ha="left" if right else "right",
                va="center",
            )
        else:
            axis.plot(dot.ours, dot.line, marker="o", markersize=4.5, color=_OURS, zorder=3)
    axis.set_title(panel.title, fontsize=8)
    if min(values) > 0 and max(values) > _WIDE * min(values):
        axis.set_xscale("log")
        axis.xaxis.set_major_formatter("{x:g}")
    axis.margins(x=0.12)
    axis.tick_params(axis="x", labelsize=7)
    axis.tick_params(axis="y", length=0)
    axis.grid(color="0.9", linewidth=0.5)
    axis.set_axisbelow(True)
    for place in block.heads:
        axis.axhspan(place - 0.5, place + 0.5, color="0.93", linewidth=0, zorder=0)
