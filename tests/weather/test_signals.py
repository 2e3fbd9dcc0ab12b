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
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from replication.plan import Settings

RUN, SEED = "poly_b10_20k", 3
HERE = Path(__file__).resolve().parents[2]
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
MOMENTS = int(os.environ.get("REPLICATION_WEATHER", "0"))
KINDS = (
    "datasets", "runs", "scores", "searches", "refined", "results", "metrics", "tables", "figures",
    "report",
)  # fmt: skip
# What says how long something took, how much of it an earlier call did, or hashes such a record.
CLOCKS = ("seconds", "images_per_second", "peak_memory_mib", "resumed", "search_sha256")


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
        os.kill(pid, kind)

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


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGINT])
def test_a_training_that_is_stopped_fails_and_says_how_to_go_on(
    finished: Callable[[str, Path], Settings], host: Any, tmp_path: Path, kind: signal.Signals
) -> None:
    """Lightning alone ends with status 0 at SIGTERM: DVC would take the run for finished."""
    root = finished("train", tmp_path / "root").root
    last = root / "checkpoints" / "toy" / RUN / f"seed_{SEED}" / "last.ckpt"

    def stop(pid: int) -> None:
        until = time.monotonic() + 120
        while not last.is_file():
            assert time.monotonic() < until
            time.sleep(0.002)
        os.kill(pid, kind)

    ended = host(root, "stage", "train", RUN, disturb=stop)
    assert ended.status == 2, ended.said
    line = ended.said.splitlines()[-1]
    assert line.startswith(f"error: {RUN}, seed {SEED}: stopped at update ")
    assert line.endswith("run the same command again to go on from the last checkpoint")
    assert "Traceback" not in ended.said
    again = host(root, "stage", "train", RUN)
    assert again.status == 0, again.said
    assert "goes on from update" in again.said


def dvc(root: Path, *arguments: str) -> "subprocess.Popen[bytes]":
    """Start DVC in a process group of its own."""
    environment = os.environ | {
        "DVC_NO_ANALYTICS": "1",
        "DVC_SITE_CACHE_DIR": str(root / ".site"),
        "PYTHONPATH": str(HERE),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    command = [sys.executable, "-m", "dvc", *arguments]
    return subprocess.Popen(command, cwd=root, env=environment, start_new_session=True)


@pytest.mark.skipif(not MOMENTS, reason="takes minutes: set REPLICATION_WEATHER=1")
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", SIGNALS)
def test_dvc_repro_goes_on(toy: Settings, tmp_path: Path, kind: signal.Signals) -> None:
    """All of `dvc repro` is killed, DVC and the stage, several times."""
    rng = random.Random(int(kind))
    target = f"evaluate@{RUN}"
    roots = {name: tmp_path / name / "root" for name in ("calm", "stormy")}
    for root in roots.values():
        shutil.copytree(toy.root, root)
        shutil.copy(HERE / "dvc.yaml", root)
        shutil.copytree(HERE / "replication", root / "replication")
        for folder in ("archives", "backbones"):
            (root / "data" / "sample" / folder).mkdir(parents=True)
        subprocess.run(["git", "init", "-q"], cwd=root, check=True)
        who = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
        first = ["git", *who, "commit", "-q", "--allow-empty", "-m", "first"]
        subprocess.run(first, cwd=root, check=True)  # DVCLive asks for its hash
        assert dvc(root, "init", "-q").wait() == 0
    start = time.monotonic()
    assert dvc(roots["calm"], "repro", "-q", target).wait() == 0
    seconds = time.monotonic() - start
    for _ in range(3):
        process = dvc(roots["stormy"], "repro", "-q", target)
        time.sleep(rng.random() * seconds / 2)
        os.killpg(process.pid, kind)
        process.wait()
    assert dvc(roots["stormy"], "repro", "-q", target).wait() == 0
    calm, stormy = (made(roots[name]) for name in ("calm", "stormy"))
    assert stormy.keys() == calm.keys()
    assert [name for name in calm if calm[name] != stormy[name]] == []
