"""The report's folder, ``report/<profile>/``: made beside its place, then put there whole."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any

from replication.atomic import naming, put_folder, scratch_beside
from replication.errors import ReplicationError
from replication.evaluation.bootstrap import RESAMPLES, SEED
from replication.paper import reported as paper
from replication.paper import verdicts
from replication.paper.reported import CLAIM_TOLERANCES, Reported
from replication.plan import OUTPUT_STRIDE, Settings, evaluated_ids
from replication.provenance import sha256_file
from replication.report import overview
from replication.report.claims import claim_rows
from replication.report.figures import copy_figures
from replication.report.links import relative
from replication.report.run_view import view_run
from replication.report.scenes import Scenes, write_scenes
from replication.report.searches import view_search
from replication.report.tables import view_table
from replication.report.template import environment
from replication.report.trimap import chart
from replication.reporting.claims import judge_claims
from replication.reporting.comparison import compare
from replication.reporting.evidence import Evidence
from replication.reporting.origin import title_note
from replication.reporting.results import Result, result_path

_log = logging.getLogger(__name__)
_ASSETS = ("report.css", "report.js")


def build(
    settings: Settings, searches: Mapping[Path, Mapping[str, Any]], shown: str | None
) -> Path:
    """Write ``report/<profile>/`` from what is on disk, and return its ``index.html``.

    Args:
        settings: of the repository; ``results/``, ``figures/``, ``tables/``, ``datasets/``,
            ``scores/`` and ``refined/`` of its profile are read. What is absent is left out.
        searches: the profile's searches of CRF parameters, by file.
        shown: the run whose images are shown before and after the CRF, if any.

    Raises:
        ReplicationError: a result is corrupt, or of another profile.
    """
    reported, place = paper.load(), settings.place
    evidence = Evidence(place("results"), settings.name, settings.target)
    runs = _run_names(settings, reported)
    results = {run: found for run in runs if (found := evidence.result(run)) is not None}
    with _put_in_place(place("report")) as out:
        context = _context(settings, reported, evidence, list(results.values()))
        context |= {
            "scenes": _scenes(settings, shown, out),
            "figures": copy_figures(
                place("figures"), out, named=relative(place("figures"), settings.root)
            ),
            "searches": [
                view_search(found, path, settings.root) for path, found in searches.items()
            ],
            "downloads": _copy_downloads(settings, list(results), list(searches), out),
        }
        (out / "index.html").write_text(
            environment().get_template("index.html").render(context), encoding="utf-8"
        )
        (out / "runs").mkdir()
        for run in runs:
            page = _run_page(settings, evidence, run, context)
            (out / "runs" / f"{run}.html").write_text(page, encoding="utf-8")
        for name in _ASSETS:
            asset = resources.files("replication.report").joinpath("assets", name)
            (out / name).write_bytes(asset.read_bytes())
    return place("report") / "index.html"


def _run_names(settings: Settings, reported: Reported) -> list[str]:
    """Return every run that has a page: those of the paper's tables, then the others."""
    return list(dict.fromkeys([*reported.runs(), *settings.experiments.all_runs]))


@contextmanager
def _put_in_place(final: Path) -> Iterator[Path]:
    """Yield an empty folder beside ``final`` that takes its place if the block succeeds."""
    with naming(final), scratch_beside(final) as scratch:
        part = scratch / "new"
        part.mkdir()
        yield part
        put_folder(part, final, scratch)


def _context(
    settings: Settings, reported: Reported, evidence: Evidence, results: list[Result]
) -> dict[str, Any]:
    comparisons = {
        name: compare(table, evidence, reported) for name, table in reported.tables.items()
    }
    judged = judge_claims(evidence, reported)
    cell_rule, claim_rule = _rules()
    costs = overview.cost_rows(results)
    source = resources.files("replication.paper").joinpath("reported.yaml")
    with resources.as_file(source) as path:
        reported_sha256 = sha256_file(path)
    return {
        "profile": settings.name,
        "about": settings.profile.about,
        "note": title_note(results, settings.name),
        "results": results,
        "run_names": _run_names(settings, reported),
        "comparable": all(result.comparable for result in results),
        "cell_counts": overview.count_cells(list(comparisons.values())),
        "claim_counts": overview.count_claims(judged),
        "costs": costs,
        "duration": overview.duration,
        "facts": overview.environment_facts(results),
        "tables": [
            view_table(name, comparison, evidence, reported)
            for name, comparison in comparisons.items()
        ],
        "claims": claim_rows(judged, evidence, reported),
        "claim_tolerances": [(name, reported.tolerances[name]) for name in CLAIM_TOLERANCES],
        "chart": chart(results, reported),
        "reported": reported,
        "reported_sha256": reported_sha256,
        "cell_rule": cell_rule,
        "claim_rule": claim_rule,
        "resamples": RESAMPLES,
        "bootstrap_seed": SEED,
    }


def _rules() -> tuple[str, str]:
    """Return the rules on a cell and on a claim, Markdown, from `replication.paper.verdicts`."""
    text = verdicts.__doc__ or ""
    cell, claim = text.split("A cell, in words.", 1)[1].split("A claim says", 1)
    return cell.strip(), f"A claim says{claim}".strip()


def _scenes(settings: Settings, shown: str | None, out: Path) -> Scenes | None:
    from replication.data.canonical import DataSet

    if shown is None:
        return None
    seed = settings.params.seeds[0]
    try:
        dataset = DataSet.open(settings.place("datasets", "voc2012"))
        return write_scenes(
            dataset,
            evaluated_ids(settings.profile, dataset),
            settings.place("scores", shown, seed),
            settings.place("refined", shown, seed),
            out,
            run=shown,
            stride=OUTPUT_STRIDE,
        )
    except ReplicationError as error:
        _log.warning("%s: the report shows no images before and after the CRF", error)
        shutil.rmtree(out / "images", ignore_errors=True)
        return None


def _copy_downloads(
    settings: Settings, runs: list[str], searches: list[Path], out: Path
) -> dict[str, list[str]]:
    """Copy the results, searches and tables that the page is made from; return what there is."""
    tables = [
        path
        for path in sorted(settings.place("tables").glob("*"))
        if path.suffix in (".csv", ".tex")
    ]
    wanted = {
        "results": [result_path(settings.place("results"), run) for run in runs],
        "searches": searches,
        "tables": tables,
    }
    for folder, paths in wanted.items():
        for path in paths:
            (out / folder).mkdir(exist_ok=True)
            target = out / folder / path.name
            with naming(target):
                target.write_bytes(path.read_bytes())
    return {folder: [path.name for path in paths] for folder, paths in wanted.items()}


def _run_page(settings: Settings, evidence: Evidence, run: str, context: dict[str, Any]) -> str:
    result, known = evidence.result(run), settings.experiments.all_runs.get(run)
    named = relative(evidence.results_dir, settings.root)
    return (
        environment()
        .get_template("run.html")
        .render(
            profile=settings.name,
            run=run,
            about=None if known is None else known.about,
            file=f"{named}/{run}.json",
            target=settings.target("evaluate", run),
            left_out=settings.leaves_out(run),
            view=None if result is None else view_run(result, evidence, named),
            comparable=result is not None and result.comparable,
            search=_search_of(result),
            used=_uses(run, context),
        )
    )


def _search_of(result: Result | None) -> str | None:
    """Return the search that chose the CRF's parameters of a result."""
    refine = {} if result is None else (result.seeds[0].model_extra or {}).get("refine") or {}
    search = (refine.get("choice") or {}).get("search")
    return None if search is None else str(search)


def _uses(run: str, context: dict[str, Any]) -> list[tuple[str, str]]:
    """Say which tables and claims a run fills, with their places on the main page."""
    uses = [
        (f"Table {view.table.number}. {view.table.title}", f"#{view.name}")
        for view in context["tables"]
        if run in view.table.runs()
    ]
    uses += [
        (f"Claim: {row.text}", f"#{row.anchor}")
        for row in context["claims"]
        if row.source is not None and run in row.source.runs
    ]
    return uses
