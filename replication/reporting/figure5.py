"""Figure 5 of the paper: score and belief maps of one class after 0, 1, 2 and 10 iterations.

The belief is the class's probability after the softmax. The paper's score is what enters the
softmax, which sees it only beside the other classes' scores; shown is what it sees: the log odds
log(Q / (1 - Q)) of the class against all others.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32, UInt8

from replication.crf.engine import DEFAULT, mean_field
from replication.crf.parameters import CrfParameters
from replication.crf.run import Item, read_item
from replication.errors import ReplicationError
from replication.inference.store import score_path
from replication.reporting.captions import Caption
from replication.reporting.context import EXAMPLE_RULE, Context
from replication.reporting.style import PAGE, literal, save

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ITERATIONS = (0, 1, 2, 10)
_LIMIT = 10.0  # log odds: a belief of 1 - 5e-5
# Orange against blue, white between: told apart by all readers, and by lightness from the middle.
_SCORES, _BELIEFS = "PuOr_r", "cividis"


def log_odds(belief: Float32[np.ndarray, "C H W"], label: int) -> Float32[np.ndarray, "H W"]:
    """Return log(Q / (1 - Q)) of one class, cut to -10..10; 1 - Q is the sum of the others."""
    others = np.delete(belief, label, axis=0).sum(axis=0)
    tiny = np.finfo(np.float32).tiny
    odds = np.log(np.maximum(belief[label], tiny)) - np.log(np.maximum(others, tiny))
    cut: Float32[np.ndarray, "H W"] = np.clip(odds, -_LIMIT, _LIMIT)
    return cut


def make(context: Context) -> Caption:
    """Draw figure 5 for the shown run, as it was refined; ReplicationError where it was not."""
    run, dataset = context.shown, context.dataset
    refinement, (name, label) = context.refinement(run), context.example
    image, scores = dataset.image_path(name), score_path(context.place("scores", run), name)
    figure5(
        image,
        scores,
        CrfParameters(**refinement["parameters"]),
        label,
        context.out("figure5"),
        stride=refinement["stride"],
        class_name=dataset.classes[label],
        engine=refinement["engine"],
    )
    return Caption(
        name="figure5",
        title="Figure 5: score and belief maps",
        caption=(
            f"Class {dataset.classes[label]} of run {run} on {name}: the score as log odds of the "
            "class against all others (above) and the belief, its probability (below), before the "
            f"CRF and after 1, 2 and 10 mean-field iterations. {EXAMPLE_RULE}."
        ),
        alt=(
            "Five columns: the photograph, then maps of score and belief after 0, 1, 2 and 10 "
            "iterations."
        ),
        runs=(run,),
        files=(context.name(image), context.name(scores)),
    )


def figure5(
    image: Path,
    scores: Path,
    parameters: CrfParameters,
    label: int,
    out: Path,
    *,
    stride: int = 8,
    iterations: Sequence[int] = ITERATIONS,
    class_name: str | None = None,
    engine: str = DEFAULT,
) -> list[Path]:
    """Draw one image's maps and write ``out``.png and ``out``.pdf.

    Args:
        image: the photograph; the figure shows it: the caller decides whether it may be published.
        scores: ``.npz`` or ``.npy``, scores before softmax (C, h, w).
        parameters: of the CRF; its iterations are not used.
        label: the class, 0 to C - 1.
        out: the figure's path without suffix.
        stride: output stride of the scores, pixels.
        iterations: after how many a column shows the maps.
        class_name: of the class, for the title.
        engine: that runs the CRF.

    Returns:
        The two files.

    Raises:
        ReplicationError: a file is missing or broken, does not fit, or has no such class.
    """
    photograph, large = read_item(Item(image.stem, image, scores), stride, None)
    if not 0 <= label < large.shape[0]:
        raise ReplicationError(
            f"{scores}: has classes 0 to {large.shape[0] - 1}, and class {label} was asked for"
        )
    beliefs = [
        mean_field(large, photograph, parameters.model_copy(update={"iterations": n}), engine)
        for n in iterations
    ]
    title = (
        f"Score and belief of class {label if class_name is None else literal(class_name)} on "
        f"{literal(image.stem)}"
        f"\n$w_1$ {parameters.w1:g}, $\\sigma_\\alpha$ {parameters.sigma_alpha:g}, $\\sigma_\\beta$"
        f" {parameters.sigma_beta:g}, $w_2$ {parameters.w2:g}, $\\sigma_\\gamma$ "
        f"{parameters.sigma_gamma:g}"
    )
    maps = [(log_odds(belief, label), belief[label]) for belief in beliefs]
    return save(_draw(photograph, maps, iterations, title), out)


def _heading(count: int) -> str:
    if count == 0:
        return "Before the CRF"
    return f"{count} iteration{'' if count == 1 else 's'}"


def _draw(
    photograph: UInt8[np.ndarray, "H W 3"],
    maps: Sequence[tuple[Float32[np.ndarray, "H W"], Float32[np.ndarray, "H W"]]],
    iterations: Sequence[int],
    title: str,
) -> Figure:
    from matplotlib.figure import Figure

    ratio = photograph.shape[0] / photograph.shape[1]
    columns = len(maps) + 1
    height = 2 * ratio * PAGE / (columns + 0.5) + 0.9
    figure = Figure(figsize=(PAGE, height), layout="constrained")
    axes = figure.subplots(2, columns, squeeze=False)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
        for side in axis.spines.values():
            side.set(color="0.6", linewidth=0.5)
    axes[0, 0].imshow(photograph, interpolation="antialiased")
    axes[0, 0].set_title("Image", fontsize=8)
    axes[1, 0].set_axis_off()
    rows = (
        ("score (log odds)", _SCORES, -_LIMIT, _LIMIT),
        ("belief", _BELIEFS, 0.0, 1.0),
    )
    for row, (what, colours, least, most) in enumerate(rows):
        for column, pair in enumerate(maps, start=1):
            shown = axes[row, column].imshow(
                pair[row], cmap=colours, vmin=least, vmax=most, interpolation="nearest"
            )
            if row == 0:
                axes[row, column].set_title(_heading(iterations[column - 1]), fontsize=8)
        bar = figure.colorbar(shown, ax=axes[row, :], pad=0.01, aspect=12)
        bar.set_label(what, fontsize=8)
        bar.ax.tick_params(labelsize=7)
    figure.suptitle(title, fontsize=9)
    return figure
