"""From images and one checkpoint to label maps, overlays and scores.

While the network scores an image, those before it are enlarged, refined and written by threads: the
CRF's kernels hold no lock of Python's.
"""

import os
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from tqdm import tqdm

from replication.atomic import atomic_path
from replication.crf.engine import DEFAULT
from replication.crf.labelling import prepare, refine_many
from replication.crf.parameters import CrfParameters
from replication.data.labels import write_label
from replication.errors import ReplicationError, one_line
from replication.evaluation.run import best_class
from replication.inference.fit import Fit, Fitted, Scorer, fit_and_score
from replication.inference.store import write_scores
from replication.models.checkpoint import Notes
from replication.predict.overlay import draw_overlay
from replication.predict.photographs import read_photograph

# Pixels of the images that wait or are worked on: their enlarged scores are 4 bytes a class and
# pixel, and the CRF takes several times that. One larger image is worked on alone.
PIXELS = 2**21


@dataclass(frozen=True)
class Setting:
    """What decides the labels, beside image and checkpoint; ``crf`` None: the network's own."""

    fit: Fit
    scales: Sequence[float]
    crf: CrfParameters | None

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data, by the names of the command's options where it has one."""
        return {
            "fit": self.fit.way,
            "size": self.fit.size,
            "tile_overlap": self.fit.overlap,
            "scales": list(self.scales),
            "crf": self.crf.model_dump() if self.crf else None,
        }


@dataclass(frozen=True)
class Target:
    """Where an image's results go; overlay and scores are None where they are not wanted."""

    label: Path
    overlay: Path | None
    scores: Path | None

    def paths(self) -> list[Path]:
        """Return every file that is wanted."""
        return [path for path in (self.label, self.overlay, self.scores) if path is not None]

    def is_whole(self) -> bool:
        """Whether all of them are there."""
        return all(path.is_file() for path in self.paths())


def target_of(image: Path, out: Path, *, overlay: bool, scores: bool) -> Target:
    """Return where an image's results go: under ``out``, by its name without suffix."""
    return Target(
        out / f"{image.stem}.png",
        out / "overlays" / f"{image.stem}.png" if overlay else None,
        out / "scores" / f"{image.stem}.npz" if scores else None,
    )


def predict(
    tasks: Sequence[tuple[Path, Target]], scorer: Scorer, notes: Notes, setting: Setting
) -> None:
    """Label every image and write its results, the label map last.

    An image that can't be read, or not be labelled, is named on the way; the others are done.

    Raises:
        ReplicationError: some images failed; says how many.
    """
    if setting.crf is not None:
        prepare(DEFAULT, "exact")
    failed: list[str] = []
    with tqdm(total=len(tasks), desc="predict", unit="image", disable=None) as bar:
        for path, error in _results(tasks, scorer, notes, setting):
            bar.update()
            if error is not None:
                said = str(error)
                failed.append(said if str(path) in said else f"{path}: {said}")
                if len(tasks) > 1:
                    tqdm.write(f"error: {one_line(failed[-1])}", file=sys.stderr)
    if failed:
        raise ReplicationError(
            failed[0]
            if len(tasks) == 1
            else f"{len(failed)} of {len(tasks)} images failed, named above; the others are done"
        )


def _results(
    tasks: Sequence[tuple[Path, Target]], scorer: Scorer, notes: Notes, setting: Setting
) -> Iterator[tuple[Path, ReplicationError | None]]:
    """Yield every image in order when its results are written, or with what it failed by."""
    waiting: deque[tuple[Path, int, Future[None]]] = deque()  # with their pixels
    # The network itself keeps a processor's cores busy.
    threads = 1 if scorer.device == "cpu" else min(8, os.cpu_count() or 1)
    with ThreadPoolExecutor(threads) as pool:
        try:
            for path, target in tasks:
                try:
                    image = read_photograph(path)
                    fitted = fit_and_score(scorer, image, setting.fit)
                except ReplicationError as error:
                    yield from _finished(waiting, 0)
                    yield path, error
                    continue
                pixels = image.shape[0] * image.shape[1]
                yield from _finished(waiting, PIXELS - pixels)
                result = pool.submit(
                    _write, path, image, fitted, target, notes=notes, setting=setting
                )
                waiting.append((path, pixels, result))
            yield from _finished(waiting, 0)
        finally:  # Ctrl-C, or a fault: what has not begun is left
            pool.shutdown(wait=False, cancel_futures=True)


def _finished(
    waiting: deque[tuple[Path, int, Future[None]]], most: int
) -> Iterator[tuple[Path, ReplicationError | None]]:
    """Wait for the first ones, until those that are left have at most so many pixels."""
    while waiting and sum(pixels for _, pixels, _ in waiting) > most:
        path, _, result = waiting.popleft()
        try:
            result.result()
        except ReplicationError as error:
            yield path, error
        else:
            yield path, None


def _write(
    path: Path,
    image: UInt8[np.ndarray, "H W 3"],
    fitted: Fitted,
    target: Target,
    *,
    notes: Notes,
    setting: Setting,
) -> None:
    """Label an image that was scored, and write its results, the label map last."""
    label = _label(image, fitted, setting.crf, str(path))
    if target.scores is not None:
        write_scores(target.scores, fitted.scores)
    if target.overlay is not None:
        picture = draw_overlay(image, label, notes.classes, notes.colours)
        with atomic_path(target.overlay) as part:
            picture.save(part, format="PNG")
    write_label(target.label, label, notes.colours)


def _label(
    image: UInt8[np.ndarray, "H W 3"], fitted: Fitted, crf: CrfParameters | None, name: str
) -> UInt8[np.ndarray, "H W"]:
    scores = fitted.enlarged((image.shape[0], image.shape[1]), name)  # (C, H, W)
    if crf is None:
        return best_class(scores)
    (refined,) = refine_many(scores, image, [crf], DEFAULT)
    return refined.labels
