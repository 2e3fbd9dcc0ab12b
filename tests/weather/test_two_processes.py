"""Two processes on one run: the second is refused in one line, a dead one bars nobody."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from replication import stages
from replication.data.locks import alone
from replication.errors import ReplicationError
from replication.plan import Settings

RUN, SEARCH, SEED = "poly_b10_20k", "vgg_large_fov", 3
REFUSED = re.compile(
    r"error: can't .+: process \d+ is at it already \(.+\.lock\); wait until it ends, or stop it"
)

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


@pytest.mark.parametrize(
    ("program", "gives_way"),
    [
        (("prepare", "voc2012"), True),
        (("score", RUN), True),
        (("search", SEARCH), True),
        (("refine", RUN), True),
        (("evaluate", RUN), False),
        (("tables",), False),
        (("report",), True),
    ],
)
def test_two_at_once_end_with_what_one_makes(
    *,
    finished: Callable[[str, Path], Settings],
    host: Any,
    other_host: Any,
    made: Callable[[Path], dict[str, Any]],
    tmp_path: Path,
    program: tuple[str, ...],
    gives_way: bool,
) -> None:
    """The second starts with the first; then, while the first is held in its middle, and after."""
    before = finished(program[0], tmp_path / "root").root
    calm_root = tmp_path / "calm" / "root"
    shutil.copytree(before, calm_root, symlinks=True)
    calm = host(calm_root, "stage", *program)
    assert calm.status == 0, calm.said
    wanted = made(calm_root)
    for number, share in enumerate((0.0, 0.35, 0.7)):
        root = tmp_path / f"two_{number}" / "root"
        shutil.copytree(before, root, symlinks=True)
        ended = two(host, other_host, root, program, share * calm.seconds)
        for one in ended:
            if one.status:
                assert gives_way, one.said
                assert one.status == 2, one.said
                assert REFUSED.fullmatch(one.said.splitlines()[-1]), one.said
                assert "Traceback" not in one.said
        assert 0 in [one.status for one in ended]
        third = host(root, "stage", *program)
        assert third.status == 0, third.said
        found = made(root)
        assert found.keys() == wanted.keys()
        assert [name for name in wanted if found[name] != wanted[name]] == []


@pytest.mark.parametrize(
    ("program", "kind", "names", "what"),
    [
        (("prepare", "voc2012"), "datasets", ("voc2012",), "prepare data set 'voc2012'"),
        (("score", RUN), "scores", (RUN, SEED), f"score run '{RUN}', seed {SEED}"),
        (("search", SEARCH), "searches", (f"{SEARCH}.json",), f"do search '{SEARCH}'"),
        (("refine", RUN), "refined", (RUN, SEED), f"refine run '{RUN}', seed {SEED}"),
        (("report",), "report", (), "build the report of profile 'toy'"),
    ],
)
def test_the_first_is_not_disturbed(
    *,
    finished: Callable[[str, Path], Settings],
    tmp_path: Path,
    program: tuple[str, ...],
    kind: str,
    names: tuple[str, ...],
    what: str,
) -> None:
    """While another process is at it, nothing is begun."""
    settings = finished(program[0], tmp_path / "root")
    name, *arguments = program
    target = settings.place(kind, *names)
    with hold(target) as process:
        try:
            with pytest.raises(ReplicationError, match=f"process {process.pid} is at it") as caught:
                getattr(stages, name)(settings, *arguments)
        finally:
            process.kill()
    assert str(caught.value).startswith(f"can't {what}: ")
    assert not target.exists()
    getattr(stages, name)(settings, *arguments)  # the lock of a killed one bars nobody
    assert target.exists()


def two(host: Any, other_host: Any, root: Path, program: tuple[str, ...], wait: float) -> list[Any]:
    """Run a program twice in one root; return how both ended.

    At once where ``wait`` is 0; else the first is held after so many seconds, until the second has
    ended.
    """
    second: list[Future[Any]] = []
    with ThreadPoolExecutor(1) as beside:

        def start(pid: int) -> None:
            time.sleep(wait)
            if wait:
                os.kill(pid, signal.SIGSTOP)
            second.append(beside.submit(other_host, root, "stage", *program))
            if wait:
                second[0].exception()  # waits for its end
                os.kill(pid, signal.SIGCONT)

        first = host(root, "stage", *program, disturb=start)
    return [first, second[0].result()]
