"""A profile's results, read once, with intervals bootstrapped from their counts of images."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from replication.errors import ReplicationError
from replication.evaluation.bootstrap import percentiles, resampled_miou
from replication.evaluation.class_counts import class_counts
from replication.evaluation.image_counts import STAGES, ImageCounts, Stage, read_image_counts
from replication.paper.reported import ResultField
from replication.paper.verdicts import Bounds
from replication.reporting.results import Result, read_result

_STAGE_OF: dict[str, Stage] = {
    f"{stage}.{name}": stage for stage in STAGES for name in ("miou", "near_miou")
}
# What DVC calls a stage of a run, seen from the root (`replication.plan.Settings.target`).
Target = Callable[[str, str], str]


def root_target(stage: str, run: str) -> str:
    """Return what DVC calls a stage of a run that the root's dvc.yaml makes."""
    return f"{stage}@{run}"


def counts_path(results_dir: Path, run: str) -> Path:
    """Return where the counts of images of ``run`` lie in a profile's results folder."""
    return results_dir / f"{run}.npz"


class Evidence:
    """The results of one profile, ``results/<profile>``, and how sure they are.

    Everything is read when it is first asked for, and kept. A result without counts of images (an
    older one, or one whose ``.npz`` is not here) has no interval.
    """

    def __init__(self, results_dir: Path, profile: str, target: Target = root_target) -> None:
        """Look for results in ``results_dir`` that carry the name of ``profile``.

        ``target`` names the stages that make a result, for whoever lacks it.
        """
        self.results_dir = results_dir
        self.profile = profile
        self.target = target
        self._results: dict[str, Result | None] = {}
        self._counts: dict[str, ImageCounts | None] = {}
        self._draws: dict[tuple[str, ResultField], Float64[np.ndarray, " draws"]] = {}

    def result(self, run: str | None) -> Result | None:
        """Return a run's result, or None; ReplicationError names a file that is corrupt."""
        if run is None:
            return None
        if run not in self._results:
            self._results[run] = read_result(self.results_dir, run, self.profile)
        return self._results[run]

    def counts(self, run: str) -> ImageCounts | None:
        """Return a run's counts of images, or None where there are none.

        Raises:
            ReplicationError: the file is broken, or does not add up to the result beside it.
        """
        if run not in self._counts:
            result = self.result(run)
            path = counts_path(self.results_dir, run)
            counts = None if result is None else read_image_counts(path)
            if counts is not None and result is not None and not _adds_up(result, counts):
                raise ReplicationError(
                    f"{path}: its counts do not add up to the confusion matrices of {run}.json: "
                    "make both again, "
                    f"`dvc repro --single-item --force {self.target('evaluate', run)}`"
                )
            self._counts[run] = counts
        return self._counts[run]

    def interval(self, run: str | None, field: ResultField) -> Bounds | None:
        """Return the 95 % interval of a mean IOU over images, in percent; None where unknown."""
        draws = self._drawn(run, field)
        return None if draws is None else percentiles(draws)

    def difference(
        self, of: tuple[str | None, ResultField], over: tuple[str | None, ResultField]
    ) -> Bounds | None:
        """Return the paired 95 % interval of one mean IOU minus another, in points.

        None where one is unknown, or the two were not measured on the same images of the same
        data.
        """
        first, second = self._drawn(*of), self._drawn(*over)
        if first is None or second is None or not self._same_images(of[0], over[0]):
            return None
        return percentiles(first - second)

    def _same_images(self, *runs: str | None) -> bool:
        data, ids = set(), set()
        for run in runs:
            result, counts = self.result(run), None if run is None else self.counts(run)
            data.add(None if result is None else result.data.meta_sha256)
            ids.add(None if counts is None else counts.ids)
        return len(data) == len(ids) == 1

    def _drawn(self, run: str | None, field: ResultField) -> Float64[np.ndarray, " draws"] | None:
        """Return mean IOU in each draw: the same draws for all runs on as many images."""
        stage = _STAGE_OF.get(field)
        counts = None if run is None else self.counts(run)
        if run is None or stage is None or counts is None or len(counts.ids) < 2:
            return None
        table = counts.near_of(stage) if field.endswith("near_miou") else counts.of(stage)
        if table is None:
            return None
        if (run, field) not in self._draws:
            self._draws[run, field] = resampled_miou(table)
        return self._draws[run, field]


def _adds_up(result: Result, counts: ImageCounts) -> bool:
    if len(result.seeds) != len(counts.counts):
        return False
    for place, seed in enumerate(result.seeds):
        for stage in STAGES:
            evaluation = seed.before if stage == "before" else seed.after
            if evaluation is None:
                continue
            whole = class_counts(np.array(evaluation.confusion, dtype=np.int64))
            if not np.array_equal(counts.of(stage)[place].sum(axis=0), whole):
                return False
    return True
