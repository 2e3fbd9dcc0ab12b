"""What stands first: how much of the paper holds, what it cost, what it ran on."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from replication.paper.verdicts import ClaimVerdict, Verdict
from replication.report.links import run_page
from replication.reporting.claims import JudgedClaim
from replication.reporting.comparison import Comparison
from replication.reporting.results import Result, SeedResult

_MINUTE, _HOUR = 60, 3600
_PACKAGES = ("torch", "numpy", "numba", "dvc")
_UNKNOWN = "not recorded"


@dataclass(frozen=True)
class Count:
    """How many cells or claims have a verdict."""

    verdict: str
    times: int


def count_cells(comparisons: Sequence[Comparison]) -> list[Count]:
    """Count the verdicts on all cells of our tables, the best first."""
    found = Counter(
        cell.verdict for table in comparisons for row in table.rows for cell in row.cells.values()
    )
    order = [Verdict.WITHIN_TOLERANCE, Verdict.WITHIN_INTERVAL, Verdict.OFF]
    order += [verdict for verdict in reversed(Verdict) if verdict not in order]
    return [Count(verdict.value, found[verdict]) for verdict in order if found[verdict]]


def count_claims(judged: Sequence[JudgedClaim]) -> list[Count]:
    """Count the verdicts on all claims, the best first."""
    found = Counter(one.verdict for one in judged)
    return [Count(v.value, found[v]) for v in reversed(ClaimVerdict) if found[v]]


@dataclass(frozen=True)
class CostRow:
    """What one run took; None where its result does not say. Sums and means are over its seeds."""

    run: str
    href: str
    seeds: int
    updates: int
    seconds: float
    images_per_second: float
    peak_memory_mib: float | None
    crf_seconds_per_image: float | None


def cost_rows(results: Sequence[Result]) -> list[CostRow]:
    """Return the cost of each run: seconds of training in all, speed, memory, the CRF's share."""
    return [
        CostRow(
            run=result.run,
            href=run_page(result.run, "#training"),
            seeds=len(result.seeds),
            updates=sum(seed.train.updates for seed in result.seeds),
            seconds=sum(seed.train.seconds for seed in result.seeds),
            images_per_second=fmean(seed.train.images_per_second for seed in result.seeds),
            peak_memory_mib=_mean(
                (seed.train.model_extra or {}).get("peak_memory_mib") for seed in result.seeds
            ),
            crf_seconds_per_image=_mean(
                _record(seed, "refine").get("seconds_per_image") for seed in result.seeds
            ),
        )
        for result in results
    ]


def duration(seconds: float) -> str:
    """Print a time with two of its units: ``4.3 s``, ``1 min 46 s``, ``2 h 05 min``."""
    if seconds < _MINUTE:
        return f"{seconds:.1f} s"
    if seconds < _HOUR:
        minutes, rest = divmod(round(seconds), _MINUTE)
        return f"{minutes} min {rest:02d} s"
    hours, rest = divmod(round(seconds / _MINUTE), 60)
    return f"{hours:,} h {rest:02d} min"


@dataclass(frozen=True)
class Fact:
    """One thing about the environment: its values, each with the runs that have it."""

    name: str
    values: list[tuple[str, list[str]]]


def environment_facts(results: Sequence[Result]) -> list[Fact]:
    """Say what the results were made on and by, grouped by value."""
    asked: list[tuple[str, Callable[[Result], str]]] = [
        ("trained on", lambda r: " and ".join(", ".join(pair) for pair in sorted(r.devices()))),
        ("processor (training)", lambda r: _training(r, "processor")),
        ("processor (evaluation)", lambda r: str(r.environment.get("processor", _UNKNOWN))),
        ("cores", lambda r: str(r.environment.get("cores", _UNKNOWN))),
        ("system", lambda r: str(r.environment.get("system", _UNKNOWN))),
        ("Python", lambda r: str(r.environment.get("python", _UNKNOWN))),
        ("packages", _packages),
        ("commit (training)", lambda r: _training(r, "commit")),
        ("commit (evaluation)", lambda r: str(r.environment.get("commit") or _UNKNOWN)),
        ("data (SHA-256 of meta.json)", lambda r: r.data.meta_sha256),
    ]
    return [Fact(name, _by_value(results, fact)) for name, fact in asked] if results else []


def _by_value(
    results: Sequence[Result], fact: Callable[[Result], str]
) -> list[tuple[str, list[str]]]:
    """Group runs by a fact; one value that all share stands alone."""
    runs: dict[str, list[str]] = {}
    for result in results:
        runs.setdefault(fact(result), []).append(result.run)
    return [(value, names if len(runs) > 1 else []) for value, names in runs.items()]


def _record(seed: SeedResult, stage: str) -> dict[str, Any]:
    found = (seed.model_extra or {}).get(stage)
    return found if isinstance(found, dict) else {}


def _training(result: Result, key: str) -> str:
    found = []
    for seed in result.seeds:
        surroundings = (seed.train.model_extra or {}).get("environment") or {}
        found.append(str(surroundings.get(key) or _UNKNOWN))
    return " and ".join(dict.fromkeys(found))


def _packages(result: Result) -> str:
    versions = result.environment.get("packages") or {}
    return ", ".join(f"{name} {versions[name]}" for name in _PACKAGES if versions.get(name)) or (
        _UNKNOWN
    )


def _mean(values: Any) -> float | None:
    known = [float(value) for value in values if value is not None]
    return fmean(known) if known else None
