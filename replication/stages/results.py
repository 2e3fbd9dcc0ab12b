"""What is made of all runs: the stages `tables`, `figures` and `report`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from replication.plan import Settings
from replication.provenance import read_record


def tables(settings: Settings) -> None:
    """Write the paper's tables beside ours: results/, searches/ -> tables/."""
    from replication.reporting.crf_table import write_crf_table
    from replication.reporting.tables import write_tables

    out = settings.place("tables")
    write_tables(settings.place("results"), out, settings.name, target=settings.target)
    write_crf_table(_made_searches(settings), out)


def figures(settings: Settings) -> None:
    """Draw what is on disk: datasets/, runs/, .., results/ -> figures/."""
    from replication.reporting.figures import draw_figures

    draw_figures(settings)


def report(settings: Settings) -> Path:
    """Build the web report from all of these -> report/; return its first page.

    One process at a time builds it: the folder takes another's place.
    """
    from replication.data.locks import alone
    from replication.report.build import build
    from replication.reporting.context import refined_run

    with alone(settings.place("report"), f"build the report of profile {settings.name!r}"):
        return build(settings, _made_searches(settings), refined_run(settings))


def _made_searches(settings: Settings) -> dict[Path, dict[str, Any]]:
    """Read the profile's searches that were made, by file."""
    files = sorted(settings.place("searches").glob("*.json"))
    records = {path: read_record(path) for path in files}
    return {path: found for path, found in records.items() if found["chosen"] == "searched"}
