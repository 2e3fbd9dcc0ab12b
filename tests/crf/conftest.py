"""Made-up folders of images, scores and labels for `refine` and `search`, and a Dask cluster."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from replication.data.labels import write_label


@dataclass(frozen=True)
class Folders:
    """The three folders, and the ids in them."""

    root: Path
    ids: tuple[str, ...]

    @property
    def images(self) -> Path:
        return self.root / "images"

    @property
    def scores(self) -> Path:
        return self.root / "scores"

    @property
    def labels(self) -> Path:
        return self.root / "labels"

    def options(self, labels: bool = False) -> list[str]:
        """Return the folders as command-line options."""
        given = ["--images", str(self.images), "--scores", str(self.scores)]
        return [*given, "--labels", str(self.labels)] if labels else given


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    """Five images of about 30x42 pixels: coloured blobs, noisy scores at stride 8, 3 classes."""
    rng = np.random.default_rng(0)
    made = Folders(tmp_path / "mine", tuple("abcde"))
    colours = np.array([[40, 60, 90], [150, 90, 60], [90, 160, 80]])
    for folder in (made.images, made.scores, made.labels):
        folder.mkdir(parents=True)
    for number, name in enumerate(made.ids):
        height, width = 30 + number, 42 - number
        row, column = np.mgrid[:height, :width]
        label = np.zeros((height, width), np.uint8)
        label[(row - 14) ** 2 + (column - 12) ** 2 < 90] = 1
        label[(abs(row - 16) < 8) & (abs(column - 30) < 6)] = 2
        image = colours[label] + rng.normal(scale=12, size=(height, width, 3))
        Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(made.images / f"{name}.png")
        small = label[::8, ::8]
        small = np.pad(small, ((0, 1), (0, 1)), mode="edge")  # (h, w), reaching over the image
        scores = 2.0 * (small == np.arange(3)[:, None, None]) + rng.normal(size=(3, *small.shape))
        np.savez(made.scores / f"{name}.npz", scores=scores.astype(np.float32))
        label[abs(row - 16) + abs(column - 21) < 3] = 255
        write_label(made.labels / f"{name}.png", label)
    return made


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a scheduler that two workers have joined."""
    with _started(tmp_path_factory.mktemp("dask")) as (address, _):
        yield address


@pytest.fixture
def frail_cluster(tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The address and the scheduler of a cluster of one's own, which gives no task two workers."""
    setting = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0"}
    with _started(tmp_path, **setting) as (address, (scheduler, *_)):
        yield address, scheduler


@contextmanager
def _started(folder: Path, **setting: str) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """Start a scheduler and two workers; yield its address and the processes, its own first."""
    pytest.importorskip(
        "distributed", reason="no Dask here: the package `distributed` is not installed"
    )
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
            command,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": paths, **setting},
            stdout=log,
            stderr=log,
        )
        for command in commands
    ]
    try:
        yield _wait(known, folder / "log"), started
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
