"""The stage `evaluate`: what the tables and figures of a run rest on."""

from __future__ import annotations

from typing import Any

from replication.atomic import write_json, write_text
from replication.plan import OUTPUT_STRIDE, Settings, evaluated_ids
from replication.provenance import read_record, sha256_folder
from replication.stages.data import open_dataset

SCORE_FILES = "*.np[yz]"


def evaluate(settings: Settings, run: str) -> None:
    """Measure every seed before and after the CRF: scores/, refined/ -> results/, metrics/."""
    import numpy as np

    from replication.evaluation.curve import read_curve
    from replication.evaluation.image_counts import ImageCounts, write_image_counts
    from replication.evaluation.run import evaluate_seed
    from replication.provenance import environment, sha256_file

    results = settings.place("results")
    written, of_images = results / f"{run}.json", results / f"{run}.npz"
    metrics = settings.place("metrics") / f"{run}.json"
    if (reason := settings.leaves_out(run)) is not None:
        write_text(of_images, "")
        write_json(written, {"format": 1, "run": run, "left_out": reason})
        write_json(metrics, {})
        return
    plan, dataset = settings.plan(run), open_dataset(settings, run)
    ids = evaluated_ids(settings.profile, dataset)
    seeds, counts, near, trained, left_out = [], [], [], {}, set[str]()
    for seed in settings.seeds(run):
        places = {kind: settings.place(kind, run, seed) for kind in ("runs", "scores", "refined")}
        trained = read_record(places["runs"] / "train.json")
        curve = read_curve(places["runs"] / "curve.tsv")
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
        near.append(evaluation.near_counts)
        seeds.append(
            {
                "seed": seed,
                **evaluation.measured,
                "train": trained | {"curve": curve},
                "score": read_record(places["scores"] / "score.json")
                | {"scores_sha256": sha256_folder(places["scores"], SCORE_FILES)},
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
    write_image_counts(of_images, ImageCounts(counted, np.stack(counts), np.stack(near)))
    write_json(written, result)
    write_json(metrics, headline(seeds))


def headline(seeds: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what ``dvc metrics show`` prints of a result: means over the seeds, rounded."""
    count = len(seeds)
    return {
        "miou_before_crf": round(sum(s["before"]["miou"] for s in seeds) / count, 2),
        "miou_after_crf": round(sum(s["after"]["miou"] for s in seeds) / count, 2),
        "train_seconds": round(sum(s["train"]["seconds"] for s in seeds) / count, 1),
        "seeds": count,
    }
