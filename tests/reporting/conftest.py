"""Made-up results, and a made-up profile, for the tests of tables and figures."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from replication.data.canonical import DataSet
from replication.data.labels import read_label, write_label
from replication.evaluation.class_counts import class_counts
from replication.evaluation.confusion import summarise
from replication.evaluation.image_counts import ImageCounts, write_image_counts
from replication.inference.store import write_scores
from replication.paper import reported
from replication.plan import load
from replication.reporting.context import Context

MakeResult = Callable[..., dict[str, Any]]
ROOT = Path(__file__).resolve().parents[2]


def _evaluation(miou: float) -> dict[str, Any]:
    return {
        "miou": miou,
        "iou": [miou, miou, None],
        "pixel_accuracy": 90.0,
        "mean_accuracy": 80.0,
        "confusion": [[9, 1, 0], [1, 9, 0], [0, 0, 0]],
    }


@pytest.fixture
def make_result() -> MakeResult:
    """A function that makes a result as `replication` writes them, with given accuracies."""

    def make(
        run: str,
        *,
        before: Sequence[float] = (45.0,),
        after: Sequence[float | None] = (49.0,),
        speeds: Sequence[float] = (100.0,),
        parameters: int = 320_123,
        field_of_view: int = 224,
        comparable: bool = False,
        profile: str = "demo",
        data: str = "voc2012 sample",
        device: str = "cpu",
        threads: int | None = None,
    ) -> dict[str, Any]:
        seeds = [
            {
                "seed": seed,
                "before": _evaluation(b),
                "after": None if a is None else _evaluation(a),
                "train": {
                    "seconds": 12.0,
                    "images_per_second": s,
                    "updates": 200,
                    "peak_memory_mib": 700.0,
                    "device": device,
                    "precision": "32-true",
                    "threads": threads,
                    "weights_sha256": "0" * 64,
                },
                "score": {"seconds": 3.0},
                "refine": {"seconds": 9.0, "engine": "pydensecrf"},
            }
            for seed, (b, a, s) in enumerate(zip(before, after, speeds, strict=True))
        ]
        return {
            "format": 1,
            "run": run,
            "profile": profile,
            "comparable": comparable,
            "data": {
                "name": data,
                "split": "val",
                "images": 200,
                "classes": ["a", "b", "c"],
                "meta_sha256": "1" * 64,
            },
            "model": {"parameters": parameters, "field_of_view": field_of_view, "rates": [12]},
            "configuration": {
                "width": 0.125,
                "crop": 145,
                "recipe": {
                    "policy": "poly",
                    "batch_size": 5,
                    "iterations": 1200,
                    "base_lr": 0.01,
                },
            },
            "seeds": seeds,
            "environment": {"processor": "A 1 GHz processor"},
        }

    return make


@pytest.fixture
def demo_results(tmp_path: Path, make_result: MakeResult) -> Path:
    """``results/demo`` with every run of the paper's tables, each with its own made-up numbers."""
    folder = tmp_path / "results" / "demo"
    folder.mkdir(parents=True)
    for index, run in enumerate(reported.load().runs()):
        result = make_result(run, before=(40 + index * 1.111,), after=(44 + index * 1.111,))
        (folder / f"{run}.json").write_text(json.dumps(result))
    return folder


@pytest.fixture
def out(demo_results: Path) -> Path:
    """``tables/demo`` beside `demo_results`, not made yet."""
    return demo_results.parents[1] / "tables" / "demo"


@pytest.fixture
def write_counted(tmp_path: Path, make_result: MakeResult) -> Callable[..., Path]:
    """A function that writes a result with counts of images: right in a given share of pixels.

    ``before`` and ``after`` give that share by seed. Every image has 1,000 pixels of each of three
    classes, all near contours; what is wrong is spread over the others, and varies from image to
    image by ``spread``, the same for every run.
    """
    folder = tmp_path / "results" / "demo"
    folder.mkdir(parents=True, exist_ok=True)

    def confusions(shares: Sequence[float], images: int, spread: float) -> np.ndarray:
        hard = np.random.default_rng(0).normal(0, spread, (images, 3))
        right = np.clip(np.array(shares)[:, None, None] + hard, 0, 1)
        hit = np.round(998 * right / 2).astype(np.int64) * 2
        table = np.zeros((*hit.shape, 3), np.int64)
        for k in range(3):
            table[..., k, :] = (1000 - hit[..., k, None]) // 2
            table[..., k, k] = hit[..., k]
        return table  # (seeds, images, C, C)

    def write(
        run: str,
        before: Sequence[float] = (0.7,),
        after: Sequence[float] = (0.75,),
        *,
        images: int = 40,
        spread: float = 0.05,
        first: int = 0,
        **more: Any,
    ) -> Path:
        tables = np.stack([confusions(b, images, spread) for b in (before, after)], axis=1)
        result = make_result(
            run, before=before, after=after, speeds=more.pop("speeds", [1.0] * len(before)), **more
        )
        for seed, table in zip(result["seeds"], tables, strict=True):
            for stage, counted in zip(("before", "after"), table, strict=True):
                summary = summarise(counted.sum(axis=0))
                curve = {"width": list(range(1, 41)), "miou": [summary["miou"]] * 40}
                seed[stage] = {**summary, "trimap": curve}
        ids = tuple(f"image_{n}" for n in range(first, first + images))
        counts = class_counts(tables)
        write_image_counts(folder / f"{run}.npz", ImageCounts(ids, counts, near=counts))
        (folder / f"{run}.json").write_text(json.dumps(result))
        return folder

    return write


@pytest.fixture
def context(tmp_path: Path, write_dataset: Callable[..., DataSet]) -> Context:
    """Profile demo with a data set of six images, 41x57 and 33x49 pixels, and no run yet.

    Each image has a square of class 1 or 2 with a void contour of 2 pixels; that of ``c`` covers
    nearest to a quarter.
    """
    root, rng = tmp_path / "root", np.random.default_rng(0)
    shutil.copytree(ROOT / "profiles", root / "profiles")
    for name in ("params.yaml", "experiments.yaml"):
        shutil.copy(ROOT / name, root / name)
    pixels = {}
    for place, name in enumerate("abcdef"):
        height, width = ((41, 57), (33, 49))[place % 2]
        truth = np.zeros((height, width), np.uint8)
        side = 24 if name == "c" else 10 + place
        truth[6 : 10 + side, 8 : 12 + side] = 255
        truth[8 : 8 + side, 10 : 10 + side] = 1 + place % 2
        pixels[name] = rng.integers(0, 256, (height, width, 3), np.uint8), truth
    dataset = write_dataset(pixels, ["background", "disc", "star"])
    context = Context(load(root))
    context.settings.place("datasets", "voc2012").parent.mkdir(parents=True)
    dataset.root.rename(context.settings.place("datasets", "voc2012"))
    return context


@pytest.fixture
def predict(context: Context) -> Callable[..., None]:
    """A function that scores and refines ``run`` at random, and leaves the stages' records."""

    def write(run: str, **refined: np.ndarray) -> None:
        rng = np.random.default_rng(len(run))
        for name in context.ids:
            truth = read_label(context.dataset.label_path(name), 3)
            shape = 3, (truth.shape[0] - 1) // 8 + 1, (truth.shape[1] - 1) // 8 + 1
            write_scores(context.place("scores", run) / f"{name}.npz", rng.normal(size=shape))
            label = refined.get(name, np.where(truth == 255, 0, truth).astype(np.uint8))
            write_label(context.place("refined", run) / f"{name}.png", label)
        parameters = {"w1": 3.0, "sigma_alpha": 8.0, "sigma_beta": 12.0, "w2": 3.0}
        parameters |= {"sigma_gamma": 3.0, "iterations": 10, "normalization": "after"}
        train = {"parameters": 9, "field_of_view": 224, "configuration": {}, "seconds": 1.0}
        train |= {"images_per_second": 1.0, "updates": 1, "device": "cpu", "precision": "32-true"}
        records: dict[str, tuple[str, dict[str, Any]]] = {
            "refined": (
                "refine.json",
                {"parameters": parameters, "stride": 8, "engine": "lattice"},
            ),
            "scores": ("score.json", {}),
            "runs": ("train.json", train),
        }
        for kind, (name, record) in records.items():
            place = context.place(kind, run)
            place.mkdir(parents=True, exist_ok=True)
            (place / name).write_text(json.dumps(record))
        (context.place("runs", run) / "curve.tsv").write_text("step\tloss\tlr\n10\t3\t0.1\n")

    return write
