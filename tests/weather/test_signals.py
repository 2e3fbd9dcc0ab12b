"""Killed, terminated or interrupted at any moment, the same command ends with the same result.

Every program of the pipeline at toy size, at moments that a seed draws from the time that it takes
undisturbed. ``REPLICATION_WEATHER=20`` draws twenty moments for each program and signal in place of
one for each program.
"""

import json
import os
import random
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from replication.plan import Settings

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
MOMENTS = int(os.environ.get("REPLICATION_WEATHER", "0"))
KINDS = (
    "datasets", "runs", "scores", "searches", "refined", "results", "metrics", "tables", "figures",
    "report",
)  # fmt: skip
# What says how long something took, how much of it an earlier call did, or hashes such a record.
CLOCKS = ("seconds", "images_per_second", "peak_memory_mib", "resumed", "sha256_of_records")


def timeless(value: Any) -> Any:
    """Return JSON data without what depends on the clock."""
    if isinstance(value, dict):
        return {k: timeless(v) for k, v in value.items() if not any(c in k for c in CLOCKS)}
    return [timeless(item) for item in value] if isinstance(value, list) else value


def content(path: Path) -> Any:
    """Return what a file says, but for seconds."""
    if path.suffix == ".json":
        return timeless(json.loads(path.read_text()))
    if path.suffix == ".jsonl":
        return [timeless(json.loads(line)) for line in path.read_text().splitlines() if line]
    return path.read_bytes()


def made(root: Path) -> dict[str, Any]:
    """Return all that the stages have made under ``root``, as DVC would see it, by place."""
    return {
        path.relative_to(root).as_posix(): content(path)
        for kind in KINDS
        for path in sorted((root / kind).rglob("*"))
        if path.is_file() and not path.name.endswith(".lock")
    }


def moments(rng: random.Random) -> list[tuple[signal.Signals, float]]:
    """Draw signals with the share of a program's time at which they come."""
    if MOMENTS:
        return [(kind, rng.random()) for kind in SIGNALS for _ in range(MOMENTS)]
    return [(rng.choice(SIGNALS), rng.random())]


def disturbed(
    host: Any, root: Path, program: tuple[str, ...], kind: signal.Signals, wait: float
) -> bool:
    """Run a program and send it a signal after ``wait`` seconds; return whether that ended it."""

    def disturb(pid: int) -> None:
        time.sleep(wait)
        os.kill(pid, kind)  # the host has not waited for it yet: the id is still its own

    ended = host(root, "stage", *program, disturb=disturb)
    assert ended.status in (0, 1, 2, 130, 143, -kind), ended.said
    return bool(ended.status != 0)


@pytest.mark.timeout(3600 if MOMENTS else 600)
def test_every_program_ends_with_the_undisturbed_result(
    toy: Settings, host: Any, programs: tuple[tuple[str, ...], ...], tmp_path: Path
) -> None:
    rng = random.Random(20261123)
    ended = 0
    for program in programs:
        before = tmp_path / "before"
        shutil.rmtree(before, ignore_errors=True)
        shutil.copytree(toy.root, before, symlinks=True)
        calm = host(toy.root, "stage", *program)
        assert calm.status == 0, calm.said
        wanted = made(toy.root)
        for kind, share in moments(rng):
            root = tmp_path / "again" / "root"
            shutil.rmtree(root.parent, ignore_errors=True)
            shutil.copytree(before, root)
            broken = disturbed(host, root, program, kind, share * calm.seconds)
            ended += broken
            again = host(root, "stage", *program)
            assert again.status == 0, again.said
            found = made(root)
            where = f"{program}, {kind.name} at {share * calm.seconds:.2f} s, {broken=}"
            assert found.keys() == wanted.keys(), where
            assert [name for name in wanted if found[name] != wanted[name]] == [], where
    assert ended >= len(programs) // 3
