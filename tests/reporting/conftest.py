"""Made-up results for the tests of tables and figures."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

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
