"""All figures of a profile, in the order of display: the stage `figures`.

A figure is a module with a function ``make``, which draws it from what is on disk and returns its
caption; what it needs and does not find is a ReplicationError. Then the figure is left out, with a
line that says why, and the others are drawn. Figures know nothing of each other: where there are
several cores, several are drawn at a time.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from importlib import import_module

from replication.errors import ReplicationError
from replication.evaluation.parallel import over_images
from replication.plan import Settings
from replication.reporting.captions import Caption, write_captions
from replication.reporting.context import Context

Maker = Callable[[Context], Caption]

_FEW = 3  # figures that a process must have to be worth starting

# By the figure's name, which is that of its files, the module that makes it.
_MODULES = {
    "figure2": "figure2",
    "figure3": "figure3",
    "figure4": "figure4",
    "figure5": "figure5",
    "before_after": "before_after",  # figure 6
    "figure7": "figure7",
    "figure8": "figure8",
    "figure9": "figure9",
    "figure10a": "figure10a",
    "figure10b": "figure10b",
    "figure11": "before_after",  # PASCAL-Context
    "figure12": "before_after",  # PASCAL-Person-Part
    "figure13": "before_after",  # Cityscapes
    "figure14": "figure14",
    "paper_against_ours": "dot_plot",
    "claims": "claims_figure",
    "learning_curves": "curves",
}


def makers(settings: Settings) -> dict[str, Maker]:
    """Return what makes each figure of a profile, by its name, in the order of display."""

    def module(name: str) -> Callable[..., Caption]:
        make: Callable[..., Caption] = import_module(f"replication.reporting.{name}").make
        return make

    all_makers: dict[str, Maker] = {
        name: partial(module(place), name=name) if place == "before_after" else module(place)
        for name, place in _MODULES.items()
    }
    for search in settings.experiments.searches:
        all_makers[f"crf_search_{search}"] = partial(module("heatmap"), search=search)
    return all_makers


def _draw(name: str, make: Maker, context: Context) -> tuple[str, Caption | str]:
    """Return the figure's name and its caption, or why it is left out."""
    try:
        return name, make(context)
    except ReplicationError as reason:
        return name, str(reason)


def draw_figures(settings: Settings, chosen: Mapping[str, Maker] | None = None) -> list[Caption]:
    """Draw figures/<profile>/NAME.png and .pdf, and write captions.json last.

    Args:
        settings: of the repository's root and profile; ``params.jobs`` processes draw.
        chosen: what makes each figure, by name; all figures if None.

    Returns:
        The captions of the figures that were drawn, in the order of the names.
    """
    wanted = makers(settings) if chosen is None else chosen
    context = Context(settings)
    with suppress(ReplicationError):  # the figures that show it will say so
        _ = context.example  # looks at every label: once, before the processes part
    tasks = [(name, make, context) for name, make in wanted.items()]
    made = dict(over_images(_draw, tasks, "figures", settings.params.jobs, _FEW, unit="figure"))
    captions = []
    for name in wanted:
        drawn = made[name]
        if isinstance(drawn, Caption):
            captions.append(drawn)
            continue
        print(f"figures: {name} is left out: {drawn}", file=sys.stderr)
        for old in settings.place("figures").glob(f"{name}.*"):  # of an earlier time
            old.unlink()
    write_captions(captions, settings.place("figures"))
    return captions
