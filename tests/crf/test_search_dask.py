"""The search on a real Dask scheduler with two workers, each a process of its own."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from replication.crf.folder import read_folders
from replication.crf.grid import parse_grid
from replication.crf.kept import partial_folder
from replication.crf.search import search
from replication.crf.tally import Fixed
from replication.errors import ReplicationError
from replication.evaluation.parallel import over_images

FIXED = Fixed(num_classes=3, iterations=4, w2=1.0, sigma_gamma=2.0)
GRID = parse_grid("2:4:2", "6:12:6", "10:20:10")


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


def test_a_worker_that_dies_and_a_scheduler_that_goes_are_one_line(
    frail_cluster: tuple[str, subprocess.Popen[bytes]],
) -> None:
    address, scheduler = frail_cluster
    with pytest.raises(ReplicationError, match=r"^x: a Dask worker died \(Attempted") as caught:
        list(over_images(os._exit, [(1,)], "x", cluster=address))
    assert "\n" not in str(caught.value)
    slow = over_images(time.sleep, [(0.2,)] * 1_000, "x", cluster=address)
    next(slow)
    scheduler.kill()
    with pytest.raises(ReplicationError, match=f"^x: the Dask scheduler at {address} is gone"):
        list(slow)
