"""The paper's search for w1, sigma_alpha and sigma_beta: the coarse grid, then finer steps.

Where the search runs in mode ``fast``, the winner of each round, and every point within the noise
of it, run again in ``exact``, and the next round goes on from the best of these. The noise is that
of the mode itself: e, twice the largest difference in mean IOU between the two modes at any point
run in both, and at least 0.01. A point whose score in ``fast`` plus e does not reach the best in
``exact`` can't be better; every other is run again, until none is left. In this, classes that no
true label has, and that no more pixels are given than ``fast`` may have changed, are left out: one
such pixel costs a whole class (see `replication.crf.tally.Score`). Scores in the result are plain
mean IOU, those of ``exact`` for the points that ran again.
"""

import hashlib
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from replication.atomic import write_json
from replication.crf.engine import engine_version
from replication.crf.grid import COARSE, FINER_ROUNDS, Grid, Point, finer, in_order, slices
from replication.crf.kept import Kept, partial_folder
from replication.crf.labelling import find_mode, prepare
from replication.crf.lattice import Mode
from replication.crf.run import Item
from replication.crf.tally import Fixed, Score, mean_iou, score, tally_image
from replication.data.canonical import DataSet
from replication.errors import ReplicationError
from replication.evaluation.parallel import over_images, processes
from replication.inference.store import score_path
from replication.provenance import environment

SAMPLES = 100
"""How many images the paper searches on."""

_LEAST_NOISE = 0.01  # of mean IOU in percent
# Points of a task: more share an image's preparation, fewer are sooner safe on disk.
_MOST_POINTS = {"fast": 64, "exact": 32, "pydensecrf": 4}
_TASKS = 4  # that each process should get at least


def draw(ids: Sequence[str], samples: int, seed: int) -> list[str]:
    """Draw ``samples`` ids (all, if there are fewer), sorted.

    Those whose SHA-256, with the seed before them, is smallest: the same on any machine, and the
    draw of 50 is part of the draw of 100.
    """
    if samples < 1:
        raise ReplicationError(f"`samples` is {samples}; draw at least 1 image")

    def place(name: str) -> bytes:
        return hashlib.sha256(f"{seed}:{name}".encode()).digest()

    return sorted(sorted(ids, key=place)[:samples])


class _Search:
    """Runs points over all images and scores them."""

    def __init__(
        self, items: Sequence[Item], fixed: Fixed, kept: Kept, jobs: int | None, cluster: str | None
    ) -> None:
        self.items = items if cluster is None else [item.absolute() for item in items]
        self.fixed, self.kept = fixed, kept
        self.jobs, self.cluster = jobs, cluster

    def _most(self, mode: Mode, points: int) -> int:
        """Return how many points a task takes."""
        most = _MOST_POINTS[mode if self.fixed.engine == "lattice" else self.fixed.engine]
        workers = processes(self.jobs, len(self.items) * points, few=1)
        if workers > 1 and self.cluster is None:
            prepare(self.fixed.engine, mode)
        return min(most, math.ceil(points * len(self.items) / (_TASKS * workers)))

    def run(self, points: Sequence[Point], mode: Mode, label: str) -> dict[Point, Score]:
        """Return the scores of points, counting what is not counted yet."""
        most = self._most(mode, len(points))
        tasks = [
            (item, self.fixed, mode, part)
            for item in self.items
            for part in slices(self.kept.missing(mode, item.id, points), most)
        ]
        sizes = [len(part) for *_, part in tasks]
        for part in over_images(
            tally_image,
            tasks,
            f"search, {label}",
            self.jobs,
            few=1,
            sizes=sizes,
            unit="point",
            cluster=self.cluster,
        ):
            self.kept.add(part)
        scores = {point: score(self.kept.total(mode, point)) for point in points}
        if any(math.isnan(found.miou) for found in scores.values()):
            where = "" if self.fixed.trimap is None else " near a void contour"
            raise ReplicationError(
                f"{self.items[0].label}: neither this label nor any other of the "
                f"{len(self.items)} has a pixel{where} that counts; give labels with classes"
                + ("" if self.fixed.trimap is None else " and void pixels, or leave the trimap out")
            )
        return scores

    def settle(self, fast: dict[Point, Score], exact: dict[Point, Score]) -> float:
        """Run all points that may be the best in ``exact``, into it; return the noise."""
        while True:
            noise = max([_LEAST_NOISE, *(2 * abs(exact[p].most - fast[p].most) for p in exact)])
            if exact:
                bar = max(found.miou for found in exact.values())
            else:
                bar = max(found.miou for found in fast.values()) - noise
            rest = [p for p in in_order(fast) if p not in exact and fast[p].most + noise >= bar]
            if not rest:
                return noise
            exact |= self.run(rest, "exact", f"best {len(rest)} exactly")


def _best(scores: dict[Point, Score]) -> Point:
    """Return the point of the highest score; of equal ones, the first in the grid's order."""
    return max(in_order(scores), key=lambda point: scores[point].miou)


def search(
    items: Sequence[Item],
    fixed: Fixed,
    out: Path,
    *,
    grid: Grid = COARSE,
    finer_rounds: int = FINER_ROUNDS,
    mode: str | None = None,
    jobs: int | None = None,
    cluster: str | None = None,
    about: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Search for the parameters of the highest mean IOU on images with labels; write ``out``.

    Interrupted, the same call goes on from what it has counted (see `replication.crf.kept`).

    Args:
        items: images with different ids, scores and labels.
        fixed: what is not searched, and what is maximised.
        out: the JSON file to write.
        grid: the coarse grid.
        finer_rounds: how many rounds of halved steps follow; 0 for none.
        mode: ``fast``, ``exact``; None takes the engine's fastest.
        jobs: processes; None takes all usable cores.
        cluster: address of a Dask scheduler whose workers do the counting; None stays here.
        about: further keys for the result, such as how the images were drawn.

    Returns:
        The result, as in ``out``: ``best`` (``w1``, ``sigma_alpha``, ``sigma_beta``, ``miou``),
        ``points`` (the same keys, with ``round``, 0 for the coarse one, and ``mode``),
        ``before_miou``, ``ids``, ``objective`` (``miou``, or ``trimap_W``, which ``miou`` then
        stands for everywhere), ``engine``, ``engine_version``, ``mode``, ``noise`` (e of the
        module's text; null where all ran exactly), ``fixed``, ``grid``, ``classes``, ``seconds``
        (wall clock of this call), ``counting_seconds`` (of all tasks, earlier calls' too),
        ``environment``, and ``about``. Mean IOU in percent.

    Raises:
        ReplicationError: a file is missing or broken or does not fit the others; the engine, mode
            or cluster is not there; no pixel counts. What is counted stays.
    """
    start = time.perf_counter()
    chosen = find_mode(mode, fixed.engine, search=True)
    if not items:
        raise ReplicationError(f"{out}: there is no image to search on; give at least one id")
    if out.is_dir():
        raise ReplicationError(f"{out}: is a folder; give the name of a JSON file to write")
    kept = Kept(partial_folder(out), items, fixed)
    run = _Search(items, fixed, kept, jobs, cluster)
    scores: dict[Point, Score] = {}
    exact: dict[Point, Score] = scores if chosen == "exact" else {}
    rounds: dict[Point, int] = {}
    noise: float | None = None
    for number in range(finer_rounds + 1):
        points = finer(_best(exact), grid, number, scores) if number else grid.points()
        if points:
            scores |= run.run(points, chosen, f"finer {number}" if number else "coarse")
            rounds |= dict.fromkeys(points, number)
        if chosen == "fast":
            noise = run.settle(scores, exact)
    best = _best(exact)
    reported = scores | exact
    result = {
        "best": {**best._asdict(), "miou": exact[best].miou},
        "before_miou": mean_iou(kept.before()),
        "objective": fixed.objective,
        "seconds": 0.0,
        "counting_seconds": round(kept.seconds, 3),
        "engine": fixed.engine,
        "engine_version": engine_version(fixed.engine),
        "mode": chosen,
        "noise": noise,
        "fixed": _plain(fixed),
        "grid": grid.as_dict(),
        "classes": fixed.num_classes,
        **(about or {}),
        "ids": [item.id for item in items],
        "points": [
            {
                **point._asdict(),
                "miou": reported[point].miou,
                "round": rounds[point],
                "mode": "exact" if point in exact else chosen,
            }
            for point in rounds
        ],
        "environment": environment(),
    }
    result["seconds"] = round(time.perf_counter() - start, 3)
    write_json(out, result)
    kept.delete()
    return result


def _plain(fixed: Fixed) -> dict[str, Any]:
    return {
        "w2": fixed.w2,
        "sigma_gamma": fixed.sigma_gamma,
        "iterations": fixed.iterations,
        "normalization": fixed.normalization,
        "output_stride": fixed.stride,
    }


def items_of(dataset: DataSet, ids: Sequence[str], scores_dir: Path) -> list[Item]:
    """Return the items of a canonical data set's images, with ``scores_dir/ID.npz``."""
    return [
        Item(
            name,
            dataset.image_path(name),
            score_path(scores_dir, name),
            dataset.label_path(name),
        )
        for name in ids
    ]
