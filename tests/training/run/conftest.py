"""A run of toy size, to train in full, up to an update, or again."""

from pathlib import Path
from typing import Any

import pytest

from replication.data.canonical import DataSet
from replication.models.weights import load_backbone
from replication.plan import Settings
from replication.training import run


class Stop(Exception):
    """What the tests interrupt training with."""


class Toy:
    """The run poly_b10_20k of the settings ``tiny``, on the CPU in float32."""

    name, updates, seed = "poly_b10_20k", 24, 3
    Stop = Stop

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @property
    def places(self) -> tuple[Path, Path]:
        """The folders of the run's results and of its checkpoints."""
        place = self.settings.place
        return place("runs", self.name, self.seed), place("checkpoints", self.name, self.seed)

    def train(self, **changes: Any) -> dict[str, Any]:
        """Train, and return the record; ``changes`` are to what `training.run.train` is given."""
        out, checkpoints = self.places
        weights = load_backbone(self.settings.profile.backbone, self.settings.root)
        dataset = DataSet.open(self.settings.place("datasets", "voc2012"))
        options = {"device": "cpu", "precision": "32-true", **changes}
        plan = options.pop("plan", self.settings.plan(self.name))
        return run.train(
            plan, dataset, weights, self.seed, out=out, checkpoints=checkpoints, **options
        )

    @staticmethod
    def stop_at(monkeypatch: pytest.MonkeyPatch, update: int) -> None:
        """Make the update raise `Stop`."""
        step = run.Segmentation.training_step

        def stopping(self: run.Segmentation, *arguments: Any) -> Any:
            if self.global_step == update:
                raise Stop
            return step(self, *arguments)

        monkeypatch.setattr(run.Segmentation, "training_step", stopping)

    def partial(self, monkeypatch: pytest.MonkeyPatch, update: int = 18) -> Path:
        """Train up to ``update`` and return the last checkpoint."""
        with monkeypatch.context() as patch:
            self.stop_at(patch, update)
            with pytest.raises(Stop):
                self.train()
        return self.places[1] / "last.ckpt"


@pytest.fixture
def toy(tiny: Settings) -> Toy:
    """The run, not trained yet."""
    return Toy(tiny)
