"""Learning curves of a profile's runs: loss and learning rate by update, a row for each table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from replication.errors import ReplicationError
from replication.evaluation.curve import read_curve
from replication.paper import reported
from replication.reporting.captions import Caption
from replication.reporting.context import Context
from replication.reporting.results import Curve
from replication.reporting.style import COLOURS, LINES, PAGE, save

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_POINTS = "A point is logged every ten updates, its loss their mean."
_RAMPS = "The step policy divides its rate at one update: the ramps are from one point to the next."
_SUMS = (
    "With inputs at several scales the loss is a sum, of a term for each scale and one for their "
    "maximum (four at three scales): not to be compared with that of one scale."
)
_SMOOTHED_PART = 10  # the moving average's span is this part of a run
Curves = Mapping[str, Sequence[Curve]]  # by run, one for each seed


def make(context: Context) -> Caption:
    """Draw the profile's learning curves; ReplicationError where nothing has been trained."""
    all_runs = context.settings.experiments.all_runs
    found = {run: _curves(context, run) for run in all_runs}
    curves = {run: [curve for curve, _ in its] for run, its in found.items() if its}
    if not curves:
        raise ReplicationError(
            f"{context.settings.place('runs')}: no <run>/seed_<s>/curve.tsv, and none in a result; "
            "train a run first"
        )
    learning_curves(curves, context.out("learning_curves"), profile=context.profile)
    notes = [_POINTS]
    if any(all_runs[run].recipe.policy == "step" for run in curves):
        notes.append(_RAMPS)
    if any(all_runs[run].multi_scale is not None for run in curves):
        notes.append(_SUMS)
    return Caption(
        name="learning_curves",
        title="Learning curves",
        caption=(
            "Training loss (left) and base learning rate (right) by update, a row for each table "
            f"of the paper, of {len(curves)} run{'' if len(curves) == 1 else 's'} of profile "
            f"{context.profile}. Faint: as logged; bold: moving average. {' '.join(notes)}"
        ),
        alt="Lines of loss and of learning rate against the update, one for each run.",
        runs=tuple(curves),
        files=tuple(dict.fromkeys(context.name(path) for its in found.values() for _, path in its)),
    )


def _curves(context: Context, run: str) -> list[tuple[Curve, Path]]:
    """Return the curve of each seed of a run, and the file that has it.

    A result has its training's. A run that is not evaluated, such as the pre-training on COCO, has
    left it in runs/.
    """
    kept = [
        (seed.train.curve, context.result_path(run))
        for result in context.results([run])
        for seed in result.seeds
        if seed.train.curve is not None
    ]
    folder = context.settings.place("runs") / run
    return kept or [
        (Curve.model_validate(read_curve(path)), path)
        for path in sorted(folder.glob("seed_*/curve.tsv"))
    ]


def learning_curves(curves: Curves, out: Path, *, profile: str) -> list[Path]:
    """Draw learning curves, and write ``out``.png and ``out``.pdf.

    Args:
        curves: those of each run's seeds, at least one run; runs that fill no table of the paper go
            into a last row of their own.
        out: the figure's path without suffix.
        profile: the profile's name, for the title.

    Returns:
        The two files.
    """
    paper = reported.load()
    groups = {f"Table {table.number}": table.runs() for table in paper.own_tables()}
    groups["Other runs"] = [run for run in curves if run not in paper.runs()]
    panels = {
        title: {run: curves[run] for run in runs if run in curves} for title, runs in groups.items()
    }
    return _draw({title: its for title, its in panels.items() if its}, out, profile)


def smooth(loss: pd.Series[float]) -> pd.Series[float]:
    """Return the exponential moving average over a tenth of the run, started without bias."""
    return loss.ewm(span=max(1, len(loss) / _SMOOTHED_PART)).mean()


def _draw(panels: Mapping[str, Curves], out: Path, profile: str) -> list[Path]:
    import pandas as pd
    from matplotlib.figure import Figure

    figure = Figure(figsize=(PAGE, 0.6 + 2.5 * len(panels)), layout="constrained")
    axes = figure.subplots(len(panels), 2, squeeze=False)
    for line, (title, curves) in enumerate(panels.items()):
        loss, rate = axes[line]
        for index, (run, seeds) in enumerate(curves.items()):
            colour = COLOURS[index % len(COLOURS)]
            line_style = LINES[index % len(LINES)]
            for seed, curve in enumerate(seeds):
                label = run if seed == 0 else None
                loss.plot(curve.step, curve.loss, color=colour, alpha=0.3, lw=0.6)
                average = smooth(pd.Series(curve.loss))
                loss.plot(curve.step, average, ls=line_style, color=colour, lw=1.3, label=label)
            # Every seed of a run has the same learning rates. Runs may have them too: the first
            # is drawn widest, so that it shows beneath the next.
            width = 1.3 + 1.2 * (len(curves) - 1 - index)
            rate.plot(seeds[0].step, seeds[0].lr, color=colour, lw=width)
        _frame(loss, rate, title, curves)
    figure.suptitle(
        f"Learning curves, profile {profile} (faint: as logged; bold: moving average)",
        fontsize=10,
    )
    return save(figure, out)


def _frame(loss: Axes, rate: Axes, title: str, curves: Curves) -> None:
    losses = np.concatenate([curve.loss for seeds in curves.values() for curve in seeds])
    if losses.max() > 0:
        # single points may shoot far out; the axis follows the rest
        loss.set_ylim(0, 1.05 * float(np.quantile(losses, 0.995)))
    loss.set_title(f"{title}: training loss", fontsize=9)
    rate.set_title(f"{title}: base learning rate", fontsize=9)
    loss.legend(fontsize=7, frameon=False, loc="upper right")
    for axis in (loss, rate):
        axis.set_xlabel("update", fontsize=8)
        axis.tick_params(labelsize=7)
        axis.grid(color="0.9", linewidth=0.5)
        axis.set_axisbelow(True)
