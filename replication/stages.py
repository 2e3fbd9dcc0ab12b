"""The pipeline's stages: each reads what the one before it wrote and writes its own, by name.

``dvc.yaml`` calls these through ``replication stage NAME``; every place is `Settings.place`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from replication.plan import OUTPUT_STRIDE, Settings

if TYPE_CHECKING:
    from replication.data.canonical import DataSet


def _dataset(settings: Settings) -> DataSet:
    from replication.data.canonical import DataSet

    return DataSet.open(settings.place("datasets"))


def train(settings: Settings, run: str) -> None:
    """Train ``run`` once for each seed: datasets/ -> runs/."""
    import shutil

    from replication.models.weights import load_backbone
    from replication.training.run import train as train_one

    plan, dataset = settings.plan(run), _dataset(settings)
    place = settings.params.data.backbone or plan.profile.backbone
    weights = load_backbone(place, settings.root)
    for seed in settings.params.seeds:
        train_one(
            plan,
            dataset,
            weights,
            seed,
            out=settings.place("runs", run, seed),
            checkpoints=settings.place("checkpoints", run, seed),
            device=settings.params.device,
            precision=settings.params.precision,
        )
    wanted = {settings.place("runs", run, seed) for seed in settings.params.seeds}
    for old in settings.place("runs", run).glob("seed_*"):
        if old not in wanted:  # a seed taken out of params.yaml
            shutil.rmtree(old)


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
