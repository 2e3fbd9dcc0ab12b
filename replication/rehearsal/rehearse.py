"""Run a workspace's stages by the command itself, a process each, and note what they cost."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from replication.atomic import write_json
from replication.data.canonical import DataSet
from replication.errors import ReplicationError
from replication.plan import Settings, load
from replication.provenance import environment, read_record
from replication.settings import IMAGENET, Run

RUN_STAGES = ("train", "score", "refine", "evaluate")


def with_starts(all_runs: Mapping[str, Run], runs: Iterable[str]) -> list[str]:
    """Return ``runs`` in the order in which they can run, with those that others start from."""
    ordered: dict[str, None] = {}
    for run in runs:
        if (start := all_runs[run].init) != IMAGENET:
            ordered[start] = None
        ordered[run] = None
    return list(ordered)


def stages_of(run: Run) -> tuple[str, ...]:
    """Return the stages that a run goes through: one without a search only starts others."""
    return RUN_STAGES if run.search is not None else RUN_STAGES[:1]


def rehearse(settings: Settings, runs: Sequence[str], folder: Path, out: Path) -> dict[str, Any]:
    """Run every stage of ``runs`` in the workspace ``folder``; write and return the record.

    Runs that others start from come first, whether or not they are named. Searches are left out:
    the CRF takes a published setting, which costs as much.

    Returns:
        ``runs``: for each run and stage, ``seconds`` and ``memory_mib`` (the largest resident
        memory of its process), and what the stage itself recorded: ``update_seconds`` (the first
        one's set-up included), ``score_seconds`` and ``refine_seconds`` (an image), ``device``,
        ``device_memory_mib`` (of a GPU); ``val_images`` of each data set; ``environment``. Runs of
        an earlier rehearsal in ``out`` stay.

    Raises:
        ReplicationError: a stage failed; its last lines.
    """
    work = load(folder)
    all_runs = settings.experiments.all_runs
    runs = with_starts(all_runs, runs)
    record: dict[str, Any] = read_record(out) if out.is_file() else {}
    record |= {"profile": settings.name, "environment": environment()}
    done = record.setdefault("runs", {})
    names: list[str] = list(dict.fromkeys(all_runs[run].data for run in runs))
    tasks = [(stage, data) for data in names for stage in ("fetch", "prepare")]
    tasks = [t for t in tasks if not (work.place("datasets", t[1]) / "meta.json").is_file()]
    tasks += [(stage, run) for run in runs for stage in stages_of(all_runs[run])]
    with tqdm(tasks, desc=f"rehearse {settings.name}", unit="stage", disable=None) as bar:
        for stage, name in bar:
            bar.set_postfix_str(f"{stage} {name}")
            cost = _run(stage, name, folder)
            if stage == "score":
                data = all_runs[name].data
                images = DataSet.open(work.place("datasets", data)).ids("val")
                record.setdefault("val_images", {})[data] = len(images)
            if stage in RUN_STAGES:
                done.setdefault(name, {})[stage] = cost | _told(work, stage, name)
                write_json(out, record)
    return record


def _run(stage: str, name: str, folder: Path) -> dict[str, float]:
    """Run one stage; return its seconds and its largest resident memory."""
    command = [sys.executable, "-m", "replication", "stage", stage, name, "--root", str(folder)]
    log = folder / f"{stage}_{name}.log"
    before = time.perf_counter()
    with log.open("w") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        last = log.read_text(errors="replace").strip().splitlines()[-1:] or ["no word"]
        raise ReplicationError(f"`replication stage {stage} {name}`: {last[0]} (all of it: {log})")
    factor = 2**20 if sys.platform == "darwin" else 2**10
    return {
        "seconds": round(time.perf_counter() - before, 2),
        "memory_mib": round(usage.ru_maxrss / factor, 1),
    }


def _told(work: Settings, stage: str, run: str) -> dict[str, Any]:
    """Return what the stage's own record says of the cost of an update or an image."""
    seed = work.params.seeds[0]
    if stage == "train":
        said = json.loads((work.place("runs", run, seed) / "train.json").read_text())
        on_cpu = said["device"].endswith("cpu")  # "2 x cpu": two processes
        return {
            "update_seconds": round(said["seconds"] / said["updates"], 3),
            "device": said["device"],
            "device_memory_mib": None if on_cpu else said["peak_memory_mib"],
        }
    if stage == "score":
        said = json.loads((work.place("scores", run, seed) / "score.json").read_text())
        return {"score_seconds": round(1 / said["network_images_per_second"], 4)}
    if stage == "refine":
        said = json.loads((work.place("refined", run, seed) / "refine.json").read_text())
        return {"refine_seconds": said["seconds_per_image"]}
    return {}
