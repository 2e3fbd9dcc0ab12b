"""What the published settings reach on the images of a search, beside what the search found."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from replication.crf.grid import Point
from replication.crf.parameters import PRESETS
from replication.crf.run import Item
from replication.crf.tally import Fixed, mean_iou, tally_image
from replication.evaluation.parallel import over_images


def measure_published(
    items: Sequence[Item], fixed: Fixed, jobs: int | None = None, cluster: str | None = None
) -> list[dict[str, Any]]:
    """Score every setting of `PRESETS`, exactly, on labelled images.

    Args:
        items: images with scores and labels.
        fixed: classes, stride, engine, iterations and objective; the spatial kernel is the
            preset's own.
        jobs: processes; None takes all usable cores.
        cluster: address of a Dask scheduler; None stays here.

    Returns:
        ``name``, the five parameters, and ``miou`` (percent; of the objective), preset by preset.

    Raises:
        ReplicationError: as `replication.crf.tally.tally_image`.
    """
    mine = items if cluster is None else [item.absolute() for item in items]
    measured = []
    for name, preset in PRESETS.items():
        p = preset.parameters
        own = replace(fixed, w2=p.w2, sigma_gamma=p.sigma_gamma)
        point = Point(p.w1, p.sigma_alpha, p.sigma_beta)
        tasks = [(item, own, "exact", (point,)) for item in mine]
        total = np.zeros((3, fixed.num_classes), np.int64)
        for part in over_images(tally_image, tasks, f"preset {name}", jobs, few=4, cluster=cluster):
            total += part.counts[0]
        kernel = {"w2": p.w2, "sigma_gamma": p.sigma_gamma}
        measured.append({"name": name, **point._asdict(), **kernel, "miou": mean_iou(total)})
    return measured
