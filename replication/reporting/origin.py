"""Where a table's numbers come from, in words: whose data, which seeds, what was really run."""

from collections.abc import Callable, Mapping
from typing import Any

from replication.paper.reported import Table
from replication.reporting.blocks import NOT_RUN
from replication.reporting.results import Result

# The scaled settings of a run that a reader needs beside the paper's; places in `configuration`.
_SETTINGS = {
    "policy": ("recipe", "policy"),
    "batch": ("recipe", "batch_size"),
    "iterations": ("recipe", "iterations"),
    "base learning rate": ("recipe", "base_lr"),
    "crop": ("crop",),
    "width": ("width",),
}
# The CRF's parameters, as the paper groups them.
_CRF = {
    "CRF: w1/sigma_alpha/sigma_beta": ("w1", "sigma_alpha", "sigma_beta"),
    "w2/sigma_gamma": ("w2", "sigma_gamma"),
}
_FEW = 2  # of data sets, that a title names


def table_note(table: Table, results: list[Result], profile: str) -> str:
    """End a table's title by saying whose numbers these are; nothing here fills a test server's."""
    if table.server is not None:
        return "the test server's numbers, as the paper gives them"
    return title_note(results, profile)


def title_note(results: list[Result], profile: str) -> str:
    """Say at a title's end whose numbers these are."""
    if not results:
        return f"profile {profile}: not run yet"
    foreign = _sources(results)
    if not foreign:
        return f"profile {profile}"
    return f"on {foreign}: numbers not comparable with the paper's"


def claims_note(results: list[Result], profile: str) -> str:
    """End the claims' title by saying what data their verdicts hold for."""
    if not results:
        return f"profile {profile}: not run yet"
    foreign = _sources(results).removeprefix("rendered ")
    if not foreign:
        return f"profile {profile}"
    return f"on {foreign}: verdicts hold for these images alone"


def _sources(results: list[Result]) -> str:
    """Name the data of the results that can't be compared with the paper's; "" if all can."""
    foreign = {r.data.name: r.profile for r in results if not r.comparable}
    samples = [name for name in foreign if name.endswith(" sample")]
    kinds = []
    if samples:
        named = ", ".join(samples) if len(samples) <= _FEW else f"{len(samples)} data sets"
        kinds.append(f"rendered sample data ({named})")
    kinds += [
        f"data set {name} (profile {profile})"
        for name, profile in foreign.items()
        if name not in samples
    ]
    return " and ".join(kinds)


def made_from(results: list[Result], profile: str) -> list[tuple[str, str]]:
    """Say what the results were made from: profile, data, seeds, hardware."""
    facts: list[tuple[str, Callable[[Result], str]]] = [
        ("data", _data),
        ("seeds", lambda r: ", ".join(str(seed.seed) for seed in r.seeds)),
        ("trained on", lambda r: " and ".join(", ".join(pair) for pair in sorted(r.devices()))),
        ("evaluated on", lambda r: str(r.environment.get("processor", "unknown processor"))),
    ]
    return [("profile", profile), *((name, _by_run(results, fact)) for name, fact in facts)]


def _data(result: Result) -> str:
    data = result.data
    return f"{data.name}, {data.split}, {data.images:,} images, {len(data.classes)} classes"


def _by_run(results: list[Result], fact: Callable[[Result], str]) -> str:
    """Print a fact once where all runs share it, else each value with its runs."""
    runs: dict[str, list[str]] = {}
    for result in results:
        runs.setdefault(fact(result), []).append(result.run)
    if len(runs) < 2:
        return next(iter(runs), NOT_RUN)
    return "; ".join(f"{value} ({', '.join(names)})" for value, names in runs.items())


def setting_names() -> list[str]:
    """Return the headings of `settings_of`."""
    return [*_SETTINGS, *_CRF, "CRF chosen by"]


def settings_of(result: Result) -> list[str]:
    """Print what a run was really made with; a dash for what its result does not say."""
    refine: Mapping[str, Any] = (result.seeds[0].model_extra or {}).get("refine") or {}
    parameters = refine.get("parameters") or {}
    return [
        *(_setting(result.configuration, place) for place in _SETTINGS.values()),
        *("/".join(_setting(parameters, (key,)) for key in keys) for keys in _CRF.values()),
        _choice(refine.get("choice") or {}),
    ]


def _choice(choice: Mapping[str, Any]) -> str:
    """Say how the CRF's parameters were chosen, and whether on images that the score counts."""
    if choice.get("chosen") != "searched":
        return str(choice.get("chosen", "-"))
    kept = "left out of the score" if choice["left_out"] else "part of the score"
    return f"search {choice['search']}: {len(choice['images'])} images of val, {kept}"


def _setting(configuration: Mapping[str, Any], place: tuple[str, ...]) -> str:
    value: Any = configuration
    for key in place:
        value = value.get(key) if isinstance(value, Mapping) else None
    if value is None:
        return "-"
    return (
        f"{value:,}"
        if isinstance(value, int)
        else f"{value:g}"
        if isinstance(value, float)
        else str(value)
    )
