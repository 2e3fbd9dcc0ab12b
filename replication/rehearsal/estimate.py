"""From a rehearsal's seconds and bytes: hours and memory of runs, tables, and all."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from replication.paper import reported
from replication.plan import Settings
from replication.rehearsal.rehearse import stages_of

# The search's points (coarse and finer), and how many times faster than `exact` its mode is:
# benchmarks/crf.py, medians of four w1 together.
SEARCH_POINTS, FAST = 180, 4.0
_HOUR = 3600


@dataclass(frozen=True)
class Cost:
    """Hours of one process, or one GPU, for each part; memory in MiB.

    ``memory`` is the GPU's where one trained, else the largest resident memory of the training.
    """

    run: str
    train: float
    score: float
    refine: float
    memory: float

    @property
    def hours(self) -> float:
        """All parts."""
        return self.train + self.score + self.refine


def cost_of(settings: Settings, run: str, measured: dict[str, Any], images: int) -> Cost:
    """Return what ``run`` costs at the profile's scale, of ``images`` of val, with every seed.

    Args:
        settings: the profile's.
        run: its name.
        measured: seconds and memory by stage, as `rehearse` notes them.
        images: how many are scored and refined.
    """
    seeds, updates = len(settings.seeds(run)), settings.plan(run).recipe.iterations
    train = measured["train"]

    def image_hours(stage: str) -> float:  # a run that only starts others has no such stage
        seconds: float = measured[stage][f"{stage}_seconds"] if stage in measured else 0.0
        return seeds * images * seconds / _HOUR

    return Cost(
        run=run,
        train=seeds * updates * train["update_seconds"] / _HOUR,
        score=image_hours("score"),
        refine=image_hours("refine"),
        memory=train["device_memory_mib"] or train["memory_mib"],
    )


def search_hours(settings: Settings, measured: dict[str, Any]) -> float:
    """Return the hours of one process for a search on scores of a run measured so."""
    seconds: float = measured["refine"]["refine_seconds"] / FAST
    return SEARCH_POINTS * settings.profile.search_samples * seconds / _HOUR


def val_images(settings: Settings, data: str, rehearsed: dict[str, int]) -> int:
    """Return how many images of val the profile evaluates.

    Args:
        settings: the profile's.
        data: a data set.
        rehearsed: how many images of val the rehearsal's data sets have, by name: those of a
            profile that is not on official data.
    """
    count = _official()[data] if settings.profile.data == "official" else rehearsed[data]
    return min(count, settings.profile.limit_eval or count)


def _official() -> dict[str, int]:
    from replication.data import cityscapes, context, person_part, voc

    city = cityscapes.COUNTS["val"]
    return {
        "voc2012": voc.EXPECTED["val"].count,
        "pascal_context": context.COUNTS["val"],
        "pascal_person_part": person_part.COUNTS["val"],
        "cityscapes": city,
        "cityscapes_half": city,
    }


def print_estimate(settings: Settings, record: dict[str, Any]) -> list[Table]:
    """Return the estimate as tables for the terminal: by run, and by table of the paper.

    Runs that were not rehearsed are named; their hours are missing in the sums.
    """
    costs = {}
    for name, measured in record["runs"].items():
        run = settings.experiments.all_runs.get(name)
        if run is not None and measured.keys() >= set(stages_of(run)) - {"evaluate"}:
            measures = run.search is not None
            images = val_images(settings, run.data, record["val_images"]) if measures else 0
            costs[name] = cost_of(settings, name, measured, images)
    by_run = Table(title=f"profile {settings.name}: hours, one process or GPU")
    for column in ("run", "train", "score", "CRF", "all", "memory (MiB)"):
        by_run.add_column(column, justify="left" if column == "run" else "right")
    for cost in costs.values():
        by_run.add_row(
            cost.run,
            *(f"{hours:.2f}" for hours in (cost.train, cost.score, cost.refine, cost.hours)),
            f"{cost.memory:,.0f}",
        )
    by_table = Table(title="by table; a run of two tables counts once in all")
    for column in ("table", "hours", "largest memory (MiB)", "not rehearsed"):
        by_table.add_column(column, justify="left" if column == "table" else "right")
    for name, table in reported.load().tables.items():
        _add(by_table, name.replace("table", "table "), table.runs(), costs)
    for search, scored in settings.experiments.searches.items():
        if scored.run in costs:
            hours = search_hours(settings, record["runs"][scored.run])
            by_table.add_row(f"search {search}", f"{hours:.2f}", "", "")
    _add(by_table, "all runs", settings.experiments.all_runs, costs)
    return [by_run, by_table]


def _add(table: Table, title: str, runs: Iterable[str], costs: dict[str, Cost]) -> None:
    wanted = list(runs)
    there = [costs[run] for run in wanted if run in costs]
    missing = [run for run in wanted if run not in costs]
    table.add_row(
        title,
        f"{sum(cost.hours for cost in there):.2f}" if there else "",
        f"{max(cost.memory for cost in there):,.0f}" if there else "",
        ", ".join(missing),
    )
