"""``replication repro``: `dvc repro`, with several runs side by side.

DVC runs one stage at a time, and locks what a stage reads and writes, so that several `dvc repro`
may work in one repository (DVC's manual, "Parallel stage execution"). Small networks leave most of
a machine idle: here each of several `dvc repro` takes its share of the runs. They go in waves,
because two must not need the same unfinished stage; what they leave, a last `dvc repro` does.
"""

import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from itertools import chain
from pathlib import Path

from replication.errors import ReplicationError
from replication.plan import Settings
from replication.process_groups import ProcessGroups
from replication.settings import IMAGENET

FIRST = ("prepare", "imagenet")  # with what they need: no two runs share anything else unmade
MOST = 8
# What DVC says at every stage, and helps nobody among the lines of others.
_QUIET = ("> replication stage", "Updating lock file", "Stage '", "'")
Waves = list[list[list[str]]]  # in order: for each process its targets


def usable_cores() -> int:
    """Return how many cores this process may use."""
    import joblib

    return int(joblib.cpu_count())


def processes(settings: Settings, jobs: int | None, cores: int) -> int:
    """Return how many `dvc repro` run at once.

    ``jobs``, or as many as ``cores`` allow where the profile says how many ``threads`` a network
    keeps busy; 1 where it does not: one network then takes the whole machine.

    Raises:
        ReplicationError: ``jobs`` is below 1.
    """
    if jobs is not None:
        if jobs < 1:
            raise ReplicationError(f"`--jobs` is {jobs}; set at least 1")
        return jobs
    threads = settings.profile.threads
    return 1 if threads is None else max(1, min(MOST, cores // threads))


def waves(settings: Settings, jobs: int) -> Waves:
    """Return what to ask of ``jobs`` processes, one wave after the other, after `FIRST`.

    Trainings and scores first, of runs that start from another run's weights after the others; then
    the searches; then the CRF and the measuring. Each process is given every stage that it is to
    run, in order, and DVC asked to look at no other (``--single-item``): it locks what it looks at.
    """
    every = settings.experiments.all_runs
    made = {name: run for name, run in every.items() if not settings.leaves_out(name)}

    def share(names: Iterable[str], *stages: str) -> list[list[str]]:
        chains = [
            [
                settings.target(stage, name)
                for stage in stages
                if stage == "train" or name not in starts
            ]
            for name in names
        ]
        return [list(chain.from_iterable(part)) for n in range(jobs) if (part := chains[n::jobs])]

    starts = [name for name, run in made.items() if run.search is None]
    measured = [name for name in made if name not in starts]
    first = [name for name in measured if made[name].init == IMAGENET]
    later = [name for name in measured if made[name].init != IMAGENET]
    in_turn = [
        share([*starts, *first], "train", "score"),
        share(later, "train", "score"),
        share(sorted({made[name].search or "" for name in measured}), "search"),
        share(measured, "refine", "evaluate"),
    ]
    return [wave for wave in in_turn if wave]


def repro(settings: Settings, jobs: int, cores: int) -> None:
    """Run `dvc repro`, as ``jobs`` processes where that is more than one.

    Raises:
        ReplicationError: a stage failed; its own words stand above.
    """
    groups = ProcessGroups()
    if jobs > 1 and _changed(settings.root):
        share = str(max(1, cores // jobs))
        limits = dict.fromkeys(
            ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "LOKY_MAX_CPU_COUNT"), share
        )
        _look([_dvc(groups, settings.root, FIRST, {}, "")])
        for wave in waves(settings, jobs):
            with ThreadPoolExecutor(len(wave)) as pool, groups.told():
                tasks = [
                    pool.submit(
                        _dvc,
                        groups,
                        settings.root,
                        ["--single-item", *targets],
                        limits,
                        f"{number}| ",
                    )
                    for number, targets in enumerate(wave, start=1)
                ]
                wait(tasks)
            _look(task.result() for task in tasks)
    _look([_dvc(groups, settings.root, [], {}, "")])


def _changed(root: Path) -> bool:
    command = [sys.executable, "-m", "dvc", "status", "--quiet"]
    return subprocess.run(command, cwd=root, check=False).returncode != 0


def _dvc(
    groups: ProcessGroups,
    root: Path,
    arguments: Sequence[str],
    limits: Mapping[str, str],
    mark: str,
) -> int:
    """Run `dvc repro`; print its lines after ``mark``, if there is one; return its status."""
    command = [sys.executable, "-m", "dvc", "--wait-for-lock", "repro", *arguments]
    environment = {**os.environ, **limits}
    with groups.running(command, root, environment, piped=bool(mark)) as process:
        if not mark:
            with groups.told():
                return process.wait()
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip() and not line.startswith(_QUIET):
                print(f"{mark}{line}", end="", flush=True)
    return process.returncode


def _look(codes: Iterable[int]) -> None:
    if any(codes):
        raise ReplicationError(
            "a stage failed, and its reason stands above; mend it and run the command again, which "
            "goes on from what is done"
        )
