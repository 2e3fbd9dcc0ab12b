"""What figures are drawn from: a profile's settings, its data set, and where its outputs lie."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from replication.data.canonical import DataSet
from replication.data.labels import read_label
from replication.errors import ReplicationError
from replication.plan import Settings, evaluated_ids
from replication.provenance import read_record
from replication.reporting.evidence import Evidence
from replication.reporting.results import Result, result_path

# The run whose images figures 5, 6 and 14 show: the first that has been refined.
SHOWN = ("aspp_l", "poly_b10_20k", "fov_3x3_r12")


def refined_run(settings: Settings) -> str | None:
    """Return the first run of `SHOWN` that has been refined, with the first seed."""
    for run in SHOWN:
        if (settings.place("refined", run, settings.params.seeds[0]) / "refine.json").is_file():
            return run
    return None


@dataclass(frozen=True)
class Context:
    """A profile as its figures see it; whatever is read is read once.

    Attributes:
        settings: the repository's.
    """

    settings: Settings

    @property
    def seed(self) -> int:
        """The training seed whose images are shown: the first."""
        return self.settings.params.seeds[0]

    @property
    def profile(self) -> str:
        """The profile's name."""
        return self.settings.name

    def out(self, name: str) -> Path:
        """Return a figure's path without suffix."""
        return self.settings.place("figures") / name

    def place(self, kind: str, run: str) -> Path:
        """Return where the shown seed of ``run`` has its ``runs``, ``scores`` or ``refined``."""
        return self.settings.place(kind, run, self.seed)

    def name(self, path: Path) -> str:
        """Return ``path`` as captions name it: relative to the root, with ``/``."""
        return path.relative_to(self.settings.root).as_posix()

    @cached_property
    def dataset(self) -> DataSet:
        """VOC 2012 as the profile has it; ReplicationError where it has not been prepared."""
        return DataSet.open(self.settings.place("datasets", "voc2012"))

    def dataset_of(self, run: str) -> DataSet:
        """Return the data of ``run``; ReplicationError where it has not been prepared."""
        data = self.settings.experiments.all_runs[run].data
        return DataSet.open(self.settings.place("datasets", data))

    @cached_property
    def ids(self) -> list[str]:
        """The images that are scored, refined and measured."""
        return evaluated_ids(self.settings.profile, self.dataset)

    @cached_property
    def example(self) -> tuple[str, int]:
        """The image and the class that figures of one image show (`choose`)."""
        return choose(self.dataset, self.ids)

    @cached_property
    def shown(self) -> str:
        """The run whose images are shown; ReplicationError where none has been refined."""
        run = refined_run(self.settings)
        if run is not None:
            return run
        raise ReplicationError(
            f"{self.settings.place('refined')}: none of {', '.join(SHOWN)} has been refined; "
            "run `dvc repro`"
        )

    @cached_property
    def evidence(self) -> Evidence:
        """The profile's results, with their intervals."""
        return Evidence(self.settings.place("results"), self.profile, self.settings.target)

    def results(self, runs: Iterable[str]) -> list[Result]:
        """Return those of ``runs`` that have been evaluated, in order."""
        found = (self.evidence.result(run) for run in runs)
        return [result for result in found if result is not None]

    def result_path(self, run: str) -> Path:
        """Return where the result of ``run`` lies."""
        return result_path(self.settings.place("results"), run)

    def refinement(self, run: str) -> dict[str, Any]:
        """Return the record of how ``run`` was refined: parameters, stride, engine.

        Raises:
            ReplicationError: it was not, or the record is broken or of an older version.
        """
        path = self.place("refined", run) / "refine.json"
        record = read_record(path)
        if not {"parameters", "stride", "engine"} <= record.keys():
            raise ReplicationError(f"{path} lacks a value; run the stage `refine` again")
        return record


# The rule of `choose` in a sentence, for captions.
EXAMPLE_RULE = (
    "The image is the one of val with a class, other than 0, that covers nearest to a quarter of it"
)


def choose(dataset: DataSet, ids: Sequence[str]) -> tuple[str, int]:
    """Choose an image and a class: the class, other than 0, nearest to a quarter of its image.

    Of several equally near, the first of ``ids`` and the lowest class. So figures are chosen by
    what the truth holds, never by how well a network or the CRF does.
    """
    best = (np.inf, "", 0)
    for name in ids:
        label = read_label(dataset.label_path(name), dataset.num_classes)
        shares = np.bincount(label.ravel(), minlength=dataset.num_classes) / label.size
        distance = np.abs(shares[1 : dataset.num_classes] - 0.25)
        nearest = int(distance.argmin())
        if distance[nearest] < best[0]:
            best = (float(distance[nearest]), name, nearest + 1)
    return best[1], best[2]
