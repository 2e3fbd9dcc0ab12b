"""The search on a real Dask scheduler with two workers, each a process of its own."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from replication.crf.folder import read_folders
from replication.crf.grid import parse_grid
from replication.crf.kept import partial_folder
from replication.crf.search import search
from replication.crf.tally import Fixed
from replication.errors import ReplicationError

FIXED = Fixed(num_classes=3, iterations=4, w2=1.0, sigma_gamma=2.0)
GRID = parse_grid("2:4:2", "6:12:6", "10:20:10")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a scheduler that two workers have joined."""
    pytest.importorskip(
        "distributed", reason="no Dask here: the package `distributed` is not installed"
    )
    folder = tmp_path_factory.mktemp("dask")
    known = folder / "scheduler.json"
    common = ["--scheduler-file", str(known), "--no-dashboard"]
    local = ["--host", "127.0.0.1"]
    worker = ["--no-nanny", "--nthreads", "1", "--local-directory", str(folder)]
    programs = [
        ["dask_scheduler", *common, *local, "--port", "0"],
        *[["dask_worker", *common, *local, *worker]] * 2,
    ]
    commands = [[sys.executable, "-m", f"distributed.cli.{p[0]}", *p[1:]] for p in programs]
    root = Path(__file__).resolve().parents[2]
    paths = f"{root}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    log = (folder / "log").open("w")
    started = [
        subprocess.Popen(
            command, cwd=folder, env={**os.environ, "PYTHONPATH": paths}, stdout=log, stderr=log
        )
        for command in commands
    ]
    try:
        yield _wait(known, folder / "log")
    finally:
        for process in reversed(started):  # a worker whose scheduler left first may never end
            _end(process)
        log.close()


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask the process to end, and make it end where it does not."""
    process.terminate()
    try:
        process.wait(timeout=15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _wait(known: Path, log: Path) -> str:
    """Return the scheduler's address once two workers are there."""
    import json

    from distributed import Client

    for _ in range(300):
        if known.is_file() and known.stat().st_size:
            break
        time.sleep(0.1)
    else:
        raise AssertionError(f"the scheduler did not start: {log.read_text()}")
    address = json.loads(known.read_text())["address"]
    with Client(address, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=60)
    return str(address)


def items(folders: Any) -> list[Any]:
    return read_folders(folders.images, folders.scores, folders.labels)


def test_two_workers_come_to_the_same(
    folders: Any, tmp_path: Path, cluster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folders.root)  # the workers are elsewhere: paths must not be relative
    options: dict[str, Any] = {"grid": GRID, "finer_rounds": 1}
    here = search(items(folders), FIXED, tmp_path / "here.json", jobs=1, **options)
    mine = read_folders(Path("images"), Path("scores"), Path("labels"))
    there = search(mine, FIXED, tmp_path / "there.json", cluster=cluster, **options)
    for key in ("best", "points", "before_miou", "noise", "ids"):
        assert there[key] == here[key]
    from distributed import Client

    with Client(cluster, set_as_default=False) as client:
        modules = client.run(lambda: "numba" in __import__("sys").modules)
    assert list(modules.values()) == [True, True]  # each has refined something


def test_errors_of_a_worker_arrive_as_one_line(folders: Any, tmp_path: Path, cluster: str) -> None:
    (folders.scores / "d.npz").write_bytes(b"broken")
    out = tmp_path / "search.json"
    with pytest.raises(ReplicationError, match=r"d\.npz: .*can't be read") as caught:
        search(items(folders), FIXED, out, grid=GRID, cluster=cluster)
    assert "\n" not in str(caught.value)
    (folders.scores / "d.npz").write_bytes((folders.scores / "e.npz").read_bytes())
    search(items(folders), FIXED, out, grid=GRID, finer_rounds=0, cluster=cluster)
    assert not partial_folder(out).exists()


def test_a_scheduler_that_is_not_there_is_named(
    folders: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    distributed = pytest.importorskip(
        "distributed", reason="no Dask here: the package `distributed` is not installed"
    )

    def quick(address: str, **options: Any) -> Any:
        raise OSError(f"Timed out trying to connect to {address} after 15 s")

    monkeypatch.setattr(distributed, "Client", quick)
    with pytest.raises(ReplicationError, match=r"no Dask scheduler answers at tcp://nowhere:1"):
        search(items(folders), FIXED, tmp_path / "s.json", grid=GRID, cluster="tcp://nowhere:1")


def test_without_dask_one_line_says_what_to_install(
    folders: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ReplicationError, match="pip install distributed"):
        search(items(folders), FIXED, tmp_path / "s.json", grid=GRID, cluster="tcp://x:1")
