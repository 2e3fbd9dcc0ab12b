"""Killed, terminated or interrupted at any moment, the same command ends with the same result.

Every program of the pipeline at toy size, each signal at a moment that a seed draws from the time
that the program takes undisturbed; ``REPLICATION_WEATHER=20`` draws twenty for each signal.
"""

import hashlib
import json
import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from replication.plan import Settings

RUN, SEED = "poly_b10_20k", 3
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
MOMENTS = max(1, int(os.environ.get("REPLICATION_WEATHER", "1")))

Made = Callable[[Path], dict[str, Any]]


def moments(rng: random.Random, seconds: float) -> list[tuple[signal.Signals, float]]:
    """Draw moments, in seconds, for each signal, in a program that takes ``seconds``.

    A short program gets them in its middle: reading its settings is a good part of it.
    """
    low, high = (0.05, 0.85) if seconds > 1 else (0.3, 0.7)
    return [(kind, rng.uniform(low, high) * seconds) for kind in SIGNALS for _ in range(MOMENTS)]


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


def storm(
    host: Any, made: Made, before: Path, program: tuple[str, ...], rng: random.Random
) -> dict[signal.Signals, int]:
    """Run a program in ``before``, then disturb it in copies of what ``before`` was.

    Each signal comes at its moments, and the same command is then given again, which must end with
    what the first run made. Returns how often each signal ended the program.
    """
    root = before.parent / "again" / "root"
    kept = before.parent / "kept"
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(before, kept, symlinks=True)
    calm = host(before, "stage", *program)
    assert calm.status == 0, calm.said
    wanted, broken = made(before), dict.fromkeys(SIGNALS, 0)
    for kind, moment in moments(rng, calm.seconds):
        for wait in (moment, moment / 2, moment / 4):  # where the machine is faster than it was
            shutil.rmtree(root.parent, ignore_errors=True)
            shutil.copytree(kept, root, symlinks=True)
            if ended := disturbed(host, root, program, kind, wait):
                break
        broken[kind] += ended
        again = host(root, "stage", *program)
        assert again.status == 0, again.said
        found = made(root)
        where = f"{program}, {kind.name} at {wait:.2f} of {calm.seconds:.2f} s, {ended=}"
        assert found.keys() == wanted.keys(), where
        assert [name for name in wanted if found[name] != wanted[name]] == [], where
    return broken


@pytest.mark.timeout(600 * MOMENTS)
def test_every_program_ends_with_the_undisturbed_result(
    toy: Settings, host: Any, made: Made, programs: tuple[tuple[str, ...], ...]
) -> None:
    rng = random.Random(20261123)
    ended = [storm(host, made, toy.root, program, rng) for program in programs]
    for kind in SIGNALS:  # the others came too late
        assert sum(one[kind] for one in ended) > len(programs) * MOMENTS / 2, (kind, ended)


@pytest.mark.timeout(600 * MOMENTS)
def test_fetching_ends_with_the_undisturbed_archives(toy: Settings, host: Any, made: Made) -> None:
    """The stage `fetch`, with two archives of made-up bytes in the place of the embedded ones."""
    folder = toy.root / "data" / "sample" / "archives"
    folder.mkdir(parents=True)
    listed = {}
    for number, name in enumerate(("VOCtrainval_sample.tar", "benchmark_sample.tgz")):
        raw = random.Random(number).randbytes(1 << 20) * 48  # 48 MiB: half a second each
        (folder / name).write_bytes(raw)
        listed[name] = {"sha256": hashlib.sha256(raw).hexdigest(), "size": len(raw)}
    (folder / "checksums.json").write_text(json.dumps(listed))
    profile = toy.root / "profiles" / "toy.yaml"
    profile.write_text(profile.read_text().replace("data: folder", "data: sample"))
    ended = storm(host, made, toy.root, ("fetch", "voc2012"), random.Random(1))
    assert sum(ended.values()) > len(SIGNALS) * MOMENTS / 2, ended
    fetched = toy.root / "archives" / "toy" / "voc2012"
    for name in listed:
        assert (fetched / name).read_bytes() == (folder / name).read_bytes()


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
