"""The paper's tables beside ours, as Markdown, CSV and LaTeX.

The same results give the same bytes: nothing here depends on the date or the machine.
"""

import csv
import io
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from replication import atomic
from replication.errors import ReplicationError
from replication.evaluation.bootstrap import RESAMPLES, SEED
from replication.paper import reported as paper
from replication.paper.reported import KeyValue
from replication.reporting.blocks import blocks, interval_text, key_text, signed
from replication.reporting.claims_text import write_claims
from replication.reporting.comparison import Cell, Comparison, compare
from replication.reporting.evidence import Evidence, Target, root_target
from replication.reporting.origin import made_from, setting_names, settings_of, table_note
from replication.reporting.results import Result, result_path
from replication.reporting.template import environment

_TEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}


def write_tables(
    results_dir: Path,
    out_dir: Path,
    profile: str,
    *,
    tables: Sequence[str] | None = None,
    target: Target = root_target,
) -> list[Path]:
    """Write ``table<n>.md``, ``.csv`` and ``.tex`` for each table of the paper, and its claims.

    Args:
        results_dir: the profile's results, ``results/<profile>``, one ``<run>.json`` per run with
            its counts of images, ``<run>.npz``; a run without a file gives rows that say `not run`,
            one without counts has no intervals.
        out_dir: where the tables go, usually ``tables/<profile>``.
        profile: name that the results must carry.
        tables: names such as ``table1``; all that are known, and ``claims``, if None.
        target: what DVC calls the stage that makes a result, for errors.

    Returns:
        The files written, in table order, claims last.

    Raises:
        ReplicationError: an unknown table, or a result that is corrupt or of another profile.
    """
    reported = paper.load()
    evidence = Evidence(results_dir, profile, target)
    written: list[Path] = []
    for name in tables if tables is not None else list(reported.tables):
        if name not in reported.tables:
            raise ReplicationError(
                f"tables: `{name}` is not one of the paper's; choose from "
                + ", ".join(reported.tables)
            )
        table = reported.tables[name]
        comparison = compare(table, evidence, reported)
        texts = {
            "md": markdown(comparison, profile, os.path.relpath(results_dir, out_dir)),
            "csv": tidy_csv(comparison, results_dir, out_dir),
            "tex": latex(comparison, profile, os.path.relpath(results_dir, out_dir)),
        }
        for suffix, text in texts.items():
            path = out_dir / f"{name}.{suffix}"
            atomic.write_text(path, text)
            written.append(path)
    return written if tables is not None else [*written, *write_claims(evidence, out_dir)]


def markdown(comparison: Comparison, profile: str, link: str) -> str:
    """Return the table as Markdown; ``link`` leads from its folder to the results' folder."""
    return environment().get_template("table.md.j2").render(_context(comparison, profile, link))


def latex(comparison: Comparison, profile: str, link: str) -> str:
    """Return the table as a LaTeX ``table*`` (needs booktabs)."""
    tex = environment(
        block_start_string="<%",
        block_end_string="%>",
        variable_start_string="<<",
        variable_end_string=">>",
    )
    tex.filters["tex"] = tex_escape
    return tex.get_template("table.tex.j2").render(_context(comparison, profile, link))


def tex_escape(text: object) -> str:
    """Escape what LaTeX would take for a command; a signed number becomes mathematics.

    Lines are joined: an empty one would end the paragraph, and a caption may not hold two.
    """
    plain = re.sub(r"\s*[\r\n\v\f]\s*", " ", str(text))
    if re.fullmatch(r"[+-]\d+(\.\d+)?", plain):
        return f"${plain}$"
    return "".join(_TEX.get(character, character) for character in plain)


def tidy_csv(comparison: Comparison, results_dir: Path, out_dir: Path) -> str:
    """Return one line per row: keys, then per column reported, ours, std, difference, verdict.

    A mean IOU has its 95 % interval, ``[low, high]``, besides. Ours is rounded as printed; a number
    that does not exist is an empty field, and its verdict says `not run`. ``result_file`` is
    relative to ``out_dir``.
    """
    table = comparison.table
    lines = []
    for row in comparison.rows:
        line = {"table": str(table.number), "row": row.row.id}
        line |= {name: _csv_key(value) for name, value in row.row.keys.items()}
        for cell in row.cells.values():
            line |= _csv_cell(cell)
        line["run"] = row.row.run or ""
        line["seeds"] = "" if row.result is None else str(len(row.result.seeds))
        line["data"] = "" if row.result is None else row.result.data.name
        line["result_file"] = (
            ""
            if row.result is None
            else Path(os.path.relpath(result_path(results_dir, row.result.run), out_dir)).as_posix()
        )
        lines.append(line)
    stream = io.StringIO()
    writer = csv.DictWriter(stream, fieldnames=list(lines[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return stream.getvalue()


def _csv_cell(cell: Cell) -> dict[str, str]:
    name, decimals = cell.column.name, cell.column.decimals

    def number(value: float | None) -> str:
        return "" if value is None else f"{value:.{decimals}f}"

    fields = {
        f"reported_{name}": number(cell.reported),
        f"ours_{name}": number(cell.ours),
        f"ours_std_{name}": number(cell.std),
        f"difference_{name}": number(cell.difference),
        f"verdict_{name}": cell.verdict.value,
    }
    if cell.column.field.endswith(".miou"):
        fields[f"ours_interval_{name}"] = interval_text(cell.interval, decimals)
    if cell.column.ratio:
        for whose, ratio in (("reported", cell.reported_ratio), ("ours", cell.ours_ratio)):
            fields[f"{whose}_ratio_{name}"] = "" if ratio is None else f"{ratio:.3f}"
    return fields


def _csv_key(value: KeyValue) -> str:
    return str(value) if type(value) is int else key_text(value)  # without a thousands comma


def _context(comparison: Comparison, profile: str, link: str) -> dict[str, Any]:
    table, results = comparison.table, comparison.results()
    decimals = {column.name: column.decimals for column in table.columns}
    declared = paper.load().tolerances
    return {
        "table": table,
        "note": table_note(table, results, profile),
        "label": f"{profile}-table{table.number}",
        "made_from": [] if table.server else made_from(results, profile),
        "setting_names": setting_names(),
        "settings": [(result.run, settings_of(result)) for result in results],
        "mixed": _mixed(results),
        "blocks": blocks(comparison),
        "link": Path(link).as_posix(),
        "resamples": RESAMPLES if _has_interval(comparison) else None,
        "seed": SEED,
        "has_ratio": any(column.ratio for column in table.columns),
        "effects": [
            (
                e.effect.text,
                signed(e.reported, decimals[e.effect.of[1]]),
                signed(e.ours, decimals[e.effect.of[1]]),
            )
            for e in comparison.effects
        ],
        "tolerances": [
            (name, declared[name]) for name in dict.fromkeys(c.tolerance for c in table.columns)
        ],
        "test_set": ", ".join(f"{value} ({name})" for name, value in table.test_set.items()),
    }


def _has_interval(comparison: Comparison) -> bool:
    return any(c.interval is not None for row in comparison.rows for c in row.cells.values())


def _mixed(results: list[Result]) -> bool:
    return len({result.data.meta_sha256 for result in results}) > 1
