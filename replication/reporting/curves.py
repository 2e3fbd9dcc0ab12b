"""Learning curves of a profile's runs: loss and learning rate by update, a row for each table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from replication.errors import ReplicationError
from replication.paper import reported
from replication.reporting.captions import Caption
from replication.reporting.context import Context
from replication.reporting.style import COLOURS, LINES, PAGE, save

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_NEEDED = ("step", "loss", "lr")
_CURE = "remove its folder and train the run again"
_POINTS = "A point is logged every ten updates, its loss their mean."
_RAMPS = "The step policy divides its rate at one update: the ramps are from one point to the next."
_SUMS = (
    "With inputs at several scales the loss is a sum, of a term for each scale and one for their "
    "maximum (four at three scales): not to be compared with that of one scale."
)
_SMOOTHED_PART = 10  # the moving average's span is this part of a run
Curves = Mapping[str, Sequence["pd.DataFrame"]]  # by run, one for each seed


def make(context: Context) -> Caption:
    """Draw the profile's learning curves; ReplicationError where nothing has been trained."""
    runs_dir = context.settings.place("runs")
    learning_curves(runs_dir, context.out("learning_curves"), profile=context.profile)
    curves = sorted(runs_dir.glob("*/seed_*/curve.tsv"))
    runs = tuple(dict.fromkeys(path.parts[-3] for path in curves))
    all_runs = context.settings.experiments.all_runs
    known = [all_runs[run] for run in runs if run in all_runs]
    notes = [_POINTS]
    if any(run.recipe.policy == "step" for run in known):
        notes.append(_RAMPS)
    if any(run.multi_scale is not None for run in known):
        notes.append(_SUMS)
    return Caption(
        name="learning_curves",
        title="Learning curves",
        caption=(
            "Training loss (left) and base learning rate (right) by update, a row for each table "
            f"of the paper, of {len(runs)} run{'' if len(runs) == 1 else 's'} of profile "
            f"{context.profile}. Faint: as logged; bold: moving average. {' '.join(notes)}"
        ),
        alt="Lines of loss and of learning rate against the update, one for each run.",
        runs=runs,
        files=tuple(context.name(path) for path in curves),
    )


def learning_curves(runs_dir: Path, out: Path, *, profile: str) -> list[Path]:
    """Draw the learning curves of all runs that have one, and write ``out``.png and ``out``.pdf.

    Args:
        runs_dir: the profile's runs, ``runs/<profile>``, each with ``<run>/seed_<s>/curve.tsv``
            (columns step, loss, lr; tab-separated). Runs without curves are left out; runs that
            fill no table go into a last row of their own.
        out: the figure's path without suffix.
        profile: the profile's name, for the title.

    Returns:
        The two files.

    Raises:
        ReplicationError: there is no curve at all, or one is broken; names the file.
    """
    found = {
        folder.name: [read_curve(path) for path in sorted(folder.glob("seed_*/curve.tsv"))]
        for folder in sorted(runs_dir.glob("*"))
    }
    found = {run: curves for run, curves in found.items() if curves}
    if not found:
        raise ReplicationError(f"{runs_dir}: no <run>/seed_<s>/curve.tsv; train a run first")
    paper = reported.load()
    groups = {f"Table {table.number}": table.runs() for table in paper.own_tables()}
    groups["Other runs"] = [run for run in found if run not in paper.runs()]
    panels = {
        title: {run: found[run] for run in runs if run in found} for title, runs in groups.items()
    }
    return _draw({title: curves for title, curves in panels.items() if curves}, out, profile)


def read_curve(path: Path) -> pd.DataFrame:
    """Read one curve: float columns step, loss, lr, at least one line.

    Raises:
        ReplicationError: unreadable, a column is missing, not numbers, or empty.
    """
    import pandas as pd

    try:
        curve = pd.read_csv(path, sep="\t").loc[:, list(_NEEDED)].astype(float)
    except (OSError, ValueError, KeyError) as error:  # pandas' parser errors are ValueErrors
        raise ReplicationError(f"{path}: no learning curve ({_reason(error)}); {_CURE}") from error
    if curve.empty:
        raise ReplicationError(f"{path}: no learning curve (no line); {_CURE}")
    return curve


def _reason(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def smooth(loss: pd.Series[float]) -> pd.Series[float]:
    """Return the exponential moving average over a tenth of the run, started without bias."""
    return loss.ewm(span=max(1, len(loss) / _SMOOTHED_PART)).mean()


def _draw(panels: Mapping[str, Curves], out: Path, profile: str) -> list[Path]:
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
                loss.plot(curve["step"], curve["loss"], color=colour, alpha=0.3, lw=0.6)
                average = smooth(curve["loss"])
                loss.plot(curve["step"], average, ls=line_style, color=colour, lw=1.3, label=label)
            # Every seed of a run has the same learning rates. Runs may have them too: the first
            # is drawn widest, so that it shows beneath the next.
            width = 1.3 + 1.2 * (len(curves) - 1 - index)
            rate.plot(seeds[0]["step"], seeds[0]["lr"], color=colour, lw=width)
        _frame(loss, rate, title, curves)
    figure.suptitle(
        f"Learning curves, profile {profile} (faint: as logged; bold: moving average)",
        fontsize=10,
    )
    return save(figure, out)


def _frame(loss: Axes, rate: Axes, title: str, curves: Curves) -> None:
    raw = np.concatenate([c["loss"].to_numpy() for seeds in curves.values() for c in seeds])
    finite = raw[np.isfinite(raw)]
    if finite.size and finite.max() > 0:
        # single points may shoot far out; the axis follows the rest
        loss.set_ylim(0, 1.05 * float(np.quantile(finite, 0.995)))
    loss.set_title(f"{title}: training loss", fontsize=9)
    rate.set_title(f"{title}: base learning rate", fontsize=9)
    loss.legend(fontsize=7, frameon=False, loc="upper right")
    for axis in (loss, rate):
        axis.set_xlabel("update", fontsize=8)
        axis.tick_params(labelsize=7)
        axis.grid(color="0.9", linewidth=0.5)
        axis.set_axisbelow(True)
