"""Made-up results for the tests of tables and figures."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from replication.evaluation.class_counts import class_counts
from replication.evaluation.confusion import summarise
from replication.evaluation.image_counts import ImageCounts, write_image_counts
from replication.paper import reported

MakeResult = Callable[..., dict[str, Any]]


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
def write_counted(tmp_path: Path, make_result: MakeResult) -> Callable[..., Path]:
    """A function that writes a result with counts of images: right in a given share of pixels.

    ``before`` and ``after`` give that share by seed. Every image has 1,000 pixels of each of three
    classes; what is wrong is spread over the others, and varies from image to image by ``spread``,
    the same for every run.
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
                seed[stage] = summarise(counted.sum(axis=0))
        ids = tuple(f"image_{n}" for n in range(first, first + images))
        write_image_counts(folder / f"{run}.npz", ImageCounts(ids, class_counts(tables)))
        (folder / f"{run}.json").write_text(json.dumps(result))
        return folder

    return write
