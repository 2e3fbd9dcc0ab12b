"""The pipeline's stages: each reads what the one before it wrote and writes its own, by name.

``dvc.yaml`` calls these through ``replication stage NAME``; every place is `Settings.place`. Rooms
are imported inside, so that a stage loads only what it needs.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from replication.atomic import write_json
from replication.errors import ReplicationError
from replication.plan import OUTPUT_STRIDE, Plan, Settings, evaluated_ids
from replication.provenance import read_record

if TYPE_CHECKING:
    from replication.crf.parameters import CrfParameters
    from replication.data.canonical import DataSet
    from replication.models.deeplab import InitialWeights

# Which archives a profile's data is made from: VOC's, SBD's.
ARCHIVES = {"sample": ("voc2012_sample", "sbd_sample"), "voc2012": ("voc2012", "sbd")}

# Pixels around the void contour that a search for the objective `trimap` counts.
TRIMAP = 10


def fetch(settings: Settings) -> None:
    """Bring the profile's archives here, verified: addresses -> archives/."""
    from replication.data.fetch import fetch as fetch_one
    from replication.data.sources import get_source

    into = settings.place("archives")
    given = settings.params.data.archives.model_dump()
    listed = []
    for name in ARCHIVES.get(settings.profile.data, ()):
        own = given.get(name)
        fetched = fetch_one(
            get_source(name), into, root=settings.root, given=Path(own) if own else None
        )
        listed.append({"path": str(fetched.path), "official": fetched.kind == "archive"})
        listed[-1]["record"] = fetched.record()
    write_json(into / "fetched.json", listed)


def prepare(settings: Settings) -> None:
    """Bring archives, or the user's own folder, into the canonical layout -> datasets/."""
    from replication.data.prepare import prepare_folder, prepare_voc

    into, kind = settings.place("datasets"), settings.profile.data
    if kind == "folder":
        folder = settings.params.data.folder
        assert folder is not None  # settings.load has seen to it
        prepare_folder(settings.root / folder, into, sources=[])
        return
    path = settings.place("archives") / "fetched.json"
    try:
        voc, sbd = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise ReplicationError(
            f"{path} is missing or broken; run the stage `fetch` again"
        ) from None
    prepare_voc(
        Path(voc["path"]),
        Path(sbd["path"]),
        into,
        official=kind == "voc2012",
        sources=[voc["record"], sbd["record"]],
        name="voc2012" if kind == "voc2012" else "voc2012 sample",
    )


def _dataset(settings: Settings) -> DataSet:
    from replication.data.canonical import DataSet

    return DataSet.open(settings.place("datasets"))


def train(settings: Settings, run: str) -> None:
    """Train ``run`` once for each seed: datasets/ -> runs/."""
    from replication.training.run import train as train_one

    plan, dataset = settings.plan(run), _dataset(settings)
    for seed in settings.params.seeds:
        train_one(
            plan,
            dataset,
            _initial_weights(settings, plan, seed),
            seed,
            out=settings.place("runs", run, seed),
            checkpoints=settings.place("checkpoints", run, seed),
            device=settings.params.device,
            precision=settings.params.precision,
        )
    _forget_other_seeds(settings, "runs", run)


def _initial_weights(settings: Settings, plan: Plan, seed: int) -> InitialWeights:
    """Load what a run starts from: the profile's or user's file, or another run's weights."""
    from replication.models.resnet_weights import load_resnet
    from replication.models.weights import load_backbone

    given, profile = settings.params.data, plan.profile
    if plan.backbone == "vgg16":
        return load_backbone(given.backbone or profile.backbone, settings.root)
    place = given.resnet_backbone or profile.resnet_backbone
    if plan.init is not None:
        path = settings.place("runs", plan.init, seed) / "weights.safetensors"
        if not path.is_file():
            raise ReplicationError(
                f"run {plan.run!r} starts from {plan.init!r}, and {path} does not exist; run `dvc "
                f"repro train@{plan.init}` first"
            )
        place = str(path)
    return load_resnet(place, settings.root)


def score(settings: Settings, run: str) -> None:
    """Score val with every trained seed of ``run``: runs/ -> scores/."""
    from replication.inference.score import score as score_one

    plan, dataset = settings.plan(run), _dataset(settings)
    for seed in settings.params.seeds:
        score_one(
            plan,
            dataset,
            settings.place("runs", run, seed) / "weights.safetensors",
            settings.place("scores", run, seed),
            device=settings.params.device,
            precision=settings.params.precision,
        )


def search(settings: Settings, name: str) -> None:
    """Cross-validate the CRF's parameters on one run's scores: scores/ -> searches/."""
    from replication.crf.grid import COARSE
    from replication.crf.published import measure_published
    from replication.crf.search import draw, items_of
    from replication.crf.search import search as search_points
    from replication.crf.tally import Fixed

    out = settings.place("searches") / f"{name}.json"
    crf, run = settings.params.crf, settings.scored_by(name)
    if (given := crf.given()) is not None:
        write_json(
            out, {"search": name, "chosen": crf.parameters, "parameters": given.model_dump()}
        )
        return
    dataset = _dataset(settings)
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
    jobs, cluster = settings.params.jobs, crf.search.cluster
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
    """Refine every seed's scores by the fully connected CRF: scores/, searches/ -> refined/."""
    from replication.crf.run import RECORD, refine_seed

    dataset, crf = _dataset(settings), settings.params.crf
    parameters, choice = _choose_crf(settings, run)
    for seed in settings.params.seeds:
        out = settings.place("refined", run, seed)
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
        )
        write_json(out / RECORD, record | {"choice": choice})
    _forget_other_seeds(settings, "refined", run)


def _choose_crf(settings: Settings, run: str) -> tuple[CrfParameters, dict[str, Any]]:
    """Return the CRF's parameters for ``run``, and in words and names where they come from."""
    from replication.crf.options import found_parameters, read_search
    from replication.provenance import sha256_file

    crf, name = settings.params.crf, settings.experiments.runs[run].search
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


def evaluate(settings: Settings, run: str) -> None:
    """Measure every seed before and after the CRF: scores/, refined/ -> results/, metrics/."""
    import numpy as np

    from replication.evaluation.image_counts import ImageCounts, write_image_counts
    from replication.evaluation.run import evaluate_seed
    from replication.provenance import environment, sha256_file

    plan, dataset = settings.plan(run), _dataset(settings)
    ids = evaluated_ids(settings.profile, dataset)
    seeds, counts, trained, left_out = [], [], {}, set[str]()
    for seed in settings.params.seeds:
        places = {kind: settings.place(kind, run, seed) for kind in ("runs", "scores", "refined")}
        trained = read_record(places["runs"] / "train.json")
        refined = read_record(places["refined"] / "refine.json")
        choice = refined.get("choice", {})
        left_out = set(choice["images"]) if choice.get("left_out") else set()
        evaluation = evaluate_seed(
            dataset,
            "val",
            places["scores"],
            places["refined"],
            stride=OUTPUT_STRIDE,
            ids=ids,
            leave_out=left_out,
            jobs=settings.params.jobs,
        )
        counts.append(evaluation.image_counts)
        seeds.append(
            {
                "seed": seed,
                **evaluation.measured,
                "train": trained,
                "score": read_record(places["scores"] / "score.json"),
                "refine": refined,
            }
        )
    counted = tuple(name for name in ids if name not in left_out)
    result = {
        "format": 1,
        "run": run,
        "profile": settings.name,
        "comparable": plan.comparable,
        "data": {
            "name": dataset.name,
            "split": "val",
            "images": len(counted),
            "classes": list(dataset.classes),
            "meta_sha256": sha256_file(dataset.root / "meta.json"),
            "sources": dataset.meta["sources"],
        },
        "model": {
            "parameters": trained["parameters"],
            "field_of_view": trained["field_of_view"],
            "kernel": plan.head.kernel,
            "rates": plan.head.rates,
            "width": plan.profile.width,
        },
        "configuration": trained["configuration"],
        "seeds": seeds,
        "environment": environment(),
    }
    of_images = ImageCounts(counted, np.stack(counts))
    write_image_counts(settings.place("results") / f"{run}.npz", of_images)
    write_json(settings.place("results") / f"{run}.json", result)
    write_json(settings.place("metrics") / f"{run}.json", headline(seeds))


def headline(seeds: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what ``dvc metrics show`` prints of a result: means over the seeds, rounded."""
    count = len(seeds)
    return {
        "miou_before_crf": round(sum(s["before"]["miou"] for s in seeds) / count, 2),
        "miou_after_crf": round(sum(s["after"]["miou"] for s in seeds) / count, 2),
        "train_seconds": round(sum(s["train"]["seconds"] for s in seeds) / count, 1),
        "seeds": count,
    }


def tables(settings: Settings) -> None:
    """Write the paper's tables beside ours: results/, searches/ -> tables/."""
    from replication.reporting.crf_table import write_crf_table
    from replication.reporting.tables import write_tables

    out = settings.place("tables")
    write_tables(settings.place("results"), out, settings.name)
    write_crf_table(_searches(settings), out)


def figures(settings: Settings) -> None:
    """Draw what is on disk: datasets/, runs/, .., results/ -> figures/."""
    from replication.reporting.figures import draw_figures

    draw_figures(settings)


def report(settings: Settings) -> Path:
    """Build the web report from all of these -> report/; return its first page."""
    from replication.report.build import build
    from replication.reporting.context import refined_run

    return build(settings, _searches(settings), refined_run(settings))


def _searches(settings: Settings) -> dict[Path, dict[str, Any]]:
    """Read the profile's searches that were made, by file."""
    files = sorted(settings.place("searches").glob("*.json"))
    records = {path: read_record(path) for path in files}
    return {path: found for path, found in records.items() if found["chosen"] == "searched"}


def _forget_other_seeds(settings: Settings, kind: str, run: str) -> None:
    """Delete what belongs to a seed that was taken out of params.yaml."""
    wanted = {settings.place(kind, run, seed) for seed in settings.params.seeds}
    for old in settings.place(kind, run).glob("seed_*"):
        if old not in wanted:
            shutil.rmtree(old)
