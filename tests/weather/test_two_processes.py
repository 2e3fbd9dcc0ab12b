"""Two processes on one training run: the second is refused in one line, a dead one bars nobody."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from replication import stages
from replication.data.locks import alone
from replication.errors import ReplicationError
from replication.plan import Settings

RUN, SEED = "poly_b10_20k", 3

# Holds a lock until it is killed.
HOLDER = """
import sys, time
from pathlib import Path
from replication.data.locks import alone
with alone(Path(sys.argv[1]), "train"):
    print("held", flush=True)
    time.sleep(600)
"""


def hold(target: Path) -> "subprocess.Popen[str]":
    """Start a process that holds the lock of ``target``."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(target)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_the_second_names_the_first_and_a_killed_one_bars_nobody(tmp_path: Path) -> None:
    target = tmp_path / "checkpoints" / "seed_3"
    with hold(target) as process:
        try:
            with pytest.raises(ReplicationError) as caught, alone(target, "train run 'x', seed 3"):
                pass
            lock = target.parent / ".seed_3.lock"
            assert str(caught.value) == (
                f"can't train run 'x', seed 3: process {process.pid} is at it already ({lock}); "
                "wait until it ends, or stop it"
            )
        finally:
            process.send_signal(signal.SIGKILL)
    with alone(target, "train"):  # the lock file lies there still
        assert lock.read_text() == f"{os.getpid()}\n"


def test_a_training_that_is_running_is_not_disturbed(toy: Settings, host: Any) -> None:
    stages.prepare(toy, "voc2012")
    seen: list[str] = []

    def second(pid: int) -> None:
        checkpoints = toy.place("checkpoints", RUN, SEED)
        until = time.monotonic() + 120
        while not (checkpoints / "live").is_dir():  # made by the first update
            assert time.monotonic() < until
            time.sleep(0.01)
        os.kill(pid, signal.SIGSTOP)
        try:
            with pytest.raises(ReplicationError) as caught:
                stages.train(toy, RUN)
            seen.append(str(caught.value))
            assert re.search(rf"process {pid} is at it already", seen[0])
            assert (checkpoints / "live").is_dir()
        finally:
            os.kill(pid, signal.SIGCONT)

    first = host(toy.root, "stage", "train", RUN, disturb=second)
    assert first.status == 0, first.said
    assert len(seen) == 1
    assert "\n" not in seen[0]
    assert (toy.place("runs", RUN, SEED) / "train.json").is_file()
