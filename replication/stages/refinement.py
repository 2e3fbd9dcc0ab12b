"""The CRF's stages: `search` for its parameters, and `refine`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from replication.atomic import write_json
from replication.plan import OUTPUT_STRIDE, Settings, evaluated_ids
from replication.stages.data import open_dataset
from replication.stages.left_out import left_out
from replication.stages.seeds import forget_other_seeds

if TYPE_CHECKING:
    from replication.crf.parameters import CrfParameters

# Pixels around the void contour that a search for the objective `trimap` counts.
TRIMAP = 10


def search(settings: Settings, name: str) -> None:
    """Cross-validate the CRF's parameters on one run's scores: scores/ -> searches/.

    One process at a time does a search: it deletes what it has counted when it ends.
    """
    from replication.data.locks import alone

    out = settings.place("searches") / f"{name}.json"
    crf, run = settings.params.crf, settings.scored_by(name)
    if (reason := settings.leaves_out(run)) is not None:
        write_json(out, {"search": name, "chosen": "left out", "left_out": reason})
        return
    if (given := crf.given()) is not None:
        write_json(
            out, {"search": name, "chosen": crf.parameters, "parameters": given.model_dump()}
        )
        return
    with alone(out, f"do search {name!r}"):
        _search(settings, name, run, out)


def _search(settings: Settings, name: str, run: str, out: Path) -> None:
    from replication.crf.grid import COARSE
    from replication.crf.published import measure_published
    from replication.crf.search import draw, items_of
    from replication.crf.search import search as search_points
    from replication.crf.tally import Fixed

    crf, dataset = settings.params.crf, open_dataset(settings, run)
    ids = evaluated_ids(settings.profile, dataset)
    chosen = draw(ids, settings.profile.search_samples, crf.search.seed)
    fixed = Fixed(
        num_classes=dataset.num_classes,
        stride=OUTPUT_STRIDE,
        engine=crf.engine,
        w2=crf.search.w2,
        sigma_gamma=crf.search.sigma_gamma,
        iterations=crf.iterations,
        normalization=crf.normalization,
        trimap=TRIMAP if crf.search.objective == "trimap" else None,
    )
    items = items_of(dataset, chosen, settings.place("scores", run, settings.params.seeds[0]))
    jobs, cluster = settings.params.jobs, settings.params.cluster
    search_points(
        items,
        fixed,
        out,
        grid=COARSE.thinned(settings.profile.search_every),
        mode="exact" if crf.search.mode == "exact" else None,
        jobs=jobs,
        cluster=cluster,
        about={
            "published": measure_published(items, fixed, jobs, cluster),
            "search": name,
            "chosen": "searched",
            "profile": settings.name,
            "run": run,
            "data": {"name": dataset.name, "split": "val", "images": len(ids)},
            "seed": crf.search.seed,
        },
    )


def refine(settings: Settings, run: str) -> None:
    """Refine every seed's scores by the fully connected CRF: scores/, searches/ -> refined/.

    One process at a time refines a run: its record is not there until all labels are.
    """
    from replication.crf.run import RECORD, refine_seed
    from replication.data.locks import alone

    if left_out(settings.leaves_out(run), settings.place("refined", run)):
        return
    dataset, crf = open_dataset(settings, run), settings.params.crf
    parameters, choice = choose_crf(settings, run)
    for seed in settings.seeds(run):
        out = settings.place("refined", run, seed)
        with alone(out, f"refine run {run!r}, seed {seed}"):
            record = refine_seed(
                dataset,
                "val",
                settings.place("scores", run, seed),
                out,
                parameters,
                stride=OUTPUT_STRIDE,
                ids=evaluated_ids(settings.profile, dataset),
                jobs=settings.params.jobs,
                engine=crf.engine,
                cluster=settings.params.cluster,
            )
            write_json(out / RECORD, record | {"choice": choice})
    forget_other_seeds(settings, "refined", run)


def choose_crf(settings: Settings, run: str) -> tuple[CrfParameters, dict[str, Any]]:
    """Return the CRF's parameters for ``run``, and in words and names where they come from."""
    from replication.crf.options import found_parameters, read_search
    from replication.provenance import sha256_file

    crf, name = settings.params.crf, settings.experiments.all_runs[run].search
    if (given := crf.given()) is not None:
        return given, {"chosen": crf.parameters}
    path = settings.place("searches") / f"{name}.json"
    result = read_search(path)
    choice = {
        "chosen": "searched",
        "search": name,
        "search_sha256": sha256_file(path),
        "images": result["ids"],
        "left_out": crf.search.exclude,
    }
    return found_parameters(result, f"{path}: "), choice
