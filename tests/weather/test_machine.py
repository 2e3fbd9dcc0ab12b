"""Folders that can't be written, clocks that jump, little shared memory, little of everything."""

import json
import os
import random
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from replication import stages
from replication.errors import lack
from replication.plan import Settings
from replication.training import loading

HERE = Path(__file__).resolve().parents[2]
RUN, SEARCH, SEED = "poly_b10_20k", "vgg_large_fov", 3

Disk = Callable[[Path, str], Any]
Finished = Callable[[str, Path], Settings]


def weights(settings: Settings) -> bytes:
    return (settings.place("runs", RUN, SEED) / "weights.safetensors").read_bytes()


def test_data_that_can_only_be_read_serve_every_program(
    finished: Finished, host: Any, disk: Disk, read_only: Callable[[Path], None], tmp_path: Path
) -> None:
    root = finished("train", tmp_path / "root").root
    (root / "datasets").rename(root / "elsewhere")
    with disk(root / "datasets", "size=4m"):
        shutil.copytree(root / "elsewhere", root / "datasets", dirs_exist_ok=True)
        read_only(root / "datasets")
        for program in (("train", RUN), ("score", RUN), ("search", SEARCH), ("refine", RUN)):
            ended = host(root, "stage", *program)
            assert ended.status == 0, ended.said
        ended = host(root, "stage", "evaluate", RUN)
        assert ended.status == 0, ended.said


def test_photographs_that_can_only_be_read_are_prepared(
    toy: Settings, disk: Disk, read_only: Callable[[Path], None]
) -> None:
    (toy.root / "mine").rename(toy.root / "elsewhere")
    with disk(toy.root / "mine", "size=4m"):
        shutil.copytree(toy.root / "elsewhere", toy.root / "mine", dirs_exist_ok=True)
        read_only(toy.root / "mine")
        stages.prepare(toy, "voc2012")
    assert (toy.place("datasets", "voc2012") / "meta.json").is_file()


@pytest.mark.parametrize(
    ("kind", "program"),
    [
        ("datasets", ("prepare", "voc2012")),
        ("checkpoints", ("train", RUN)),
        ("runs", ("train", RUN)),
        ("scores", ("score", RUN)),
        ("results", ("evaluate", RUN)),
    ],
)
def test_a_folder_that_can_not_be_written_is_named(
    *,
    finished: Finished,
    host: Any,
    disk: Disk,
    read_only: Callable[[Path], None],
    tmp_path: Path,
    kind: str,
    program: tuple[str, ...],
) -> None:
    root = finished(program[0], tmp_path / "root").root
    shutil.rmtree(root / kind, ignore_errors=True)
    with disk(root / kind, "size=4m"):
        read_only(root / kind)
        ended = host(root, "stage", *program)
    assert ended.status == 2, ended.said
    line = ended.said.splitlines()[-1]
    assert line.startswith("error: ")
    assert f"{root / kind}/" in line
    assert "Read-only file system" in line
    assert "Traceback" not in ended.said


def test_a_clock_that_jumps_changes_neither_seconds_nor_weights(
    finished: Finished, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = finished("train", tmp_path / "root")
    rng = random.Random(0)
    start = time.perf_counter()
    with monkeypatch.context() as patch:  # to any time in a century, at every look
        patch.setattr(time, "time", lambda: rng.uniform(0, 3e9))
        patch.setattr(time, "time_ns", lambda: rng.randrange(3 * 10**18))
        stages.train(settings, RUN)
        stages.score(settings, RUN)
    most = time.perf_counter() - start
    trained = json.loads((settings.place("runs", RUN, SEED) / "train.json").read_text())
    scored = json.loads((settings.place("scores", RUN, SEED) / "score.json").read_text())
    assert 0 < trained["seconds"] < most
    assert 0 < scored["seconds"] < most
    assert trained["images_per_second"] == pytest.approx(12 * 4 / trained["seconds"], rel=0.01)
    assert scored["network_images_per_second"] > 0
    calm = finished("search", tmp_path / "calm")
    for kind, pattern in (
        ("runs", "weights.safetensors"),
        ("runs", "curve.tsv"),
        ("scores", "v?.npz"),
    ):
        places = [one.place(kind, RUN, SEED) for one in (settings, calm)]
        jumped, undisturbed = (
            [path.read_bytes() for path in sorted(place.glob(pattern))] for place in places
        )
        assert jumped == undisturbed
        assert jumped


# Trains with two loader processes where shared memory has no room, in a mount namespace of its own.
SMALL_SHARED_MEMORY = """
import subprocess, sys
from pathlib import Path
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", "/dev/shm"], check=True)
from replication import cli
from replication.training import batches, loading
if sys.argv[1] == "asked":  # as on a GPU: the processor's cores are free for loading
    loader_workers = loading.loader_workers
    batches.loader_workers = lambda device, *rest, **more: loader_workers("cuda", *rest, **more)
else:
    batches.loader_workers = lambda *_, **__: 1
sys.argv = ["replication", "stage", "train", "poly_b10_20k"]
cli.main()
"""


def without_shared_memory(root: Path, how: str) -> "subprocess.CompletedProcess[str]":
    if subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode:
        pytest.skip("may not have a file system of its own here")
    command = ["unshare", "-m", sys.executable, "-c", SMALL_SHARED_MEMORY, how]
    return subprocess.run(
        command,
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(HERE)},
    )


def test_too_little_shared_memory_loads_without_processes(
    finished: Finished, tmp_path: Path
) -> None:
    settings = finished("train", tmp_path / "root")
    ended = without_shared_memory(settings.root, "asked")
    assert ended.returncode == 0, ended.stderr
    assert "/dev/shm has 0 MiB free, too few for" in " ".join(ended.stderr.split())
    assert weights(settings) == weights(finished("score", tmp_path / "other"))


def test_a_loader_process_without_shared_memory_is_one_line(
    finished: Finished, tmp_path: Path
) -> None:
    settings = finished("train", tmp_path / "root")
    ended = without_shared_memory(settings.root, "forced")
    assert ended.returncode == 2, ended.stderr
    line = ended.stderr.splitlines()[-1]
    assert line.startswith("error: a loader process was killed (")
    assert "enlarge /dev/shm (Docker: `--shm-size 2g`" in line
    assert "Traceback" not in ended.stderr


ONE_LOADER_PROCESS = """
import sys
from replication import cli
from replication.training import batches
batches.loader_workers = lambda *_, **__: 1
sys.argv = ["replication", "stage", "train", "poly_b10_20k"]
cli.main()
"""


def test_a_broken_image_in_a_loader_process_is_one_line(finished: Finished, tmp_path: Path) -> None:
    settings = finished("train", tmp_path / "root")
    image = settings.place("datasets", "voc2012") / "images" / "t3.png"
    image.write_bytes(image.read_bytes()[:200])
    ended = subprocess.run(
        [sys.executable, "-c", ONE_LOADER_PROCESS],
        cwd=settings.root,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=os.environ | {"PYTHONPATH": str(HERE)},
    )
    assert ended.returncode == 2, ended.stderr
    assert ended.stderr.splitlines()[-1].startswith(f"error: {image}: the image is broken")
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("room", "less", "expected"), [(1000, 0, 8), (17, 0, 8), (17, 1, 7), (3, 0, 1), (2, 0, 0)]
)
def test_as_many_loader_processes_as_shared_memory_has_room_for(
    monkeypatch: pytest.MonkeyPatch, room: int, less: int, expected: int
) -> None:
    """Each process holds two batches ready, and one more is on its way to the device."""
    size = 10 * 321 * 321 * (3 * 4 + 1)  # bytes: float32 BGR, uint8 labels
    free = room * size - less
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    said: list[object] = []
    assert loading.loader_workers("cpu", 10, 321, said.append) == 0
    assert loading.loader_workers("cuda", 10, 321, said.append) == expected
    assert len(said) == (expected < 8)


@pytest.mark.timeout(900)
def test_one_core_and_4_gib_are_enough(
    toy: Settings,
    finished: Finished,
    made: Callable[[Path], dict[str, Any]],
    programs: tuple[tuple[str, ...], ...],
    tmp_path: Path,
) -> None:
    """Every program, started as a user starts it, from the data to the report."""
    code = (
        "import os, resource, sys; from replication import cli\n"
        "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))\n"
        "sys.argv[0] = 'replication'; cli.main()"
    )
    for program in programs:
        ended = subprocess.run(
            [sys.executable, "-c", code, "stage", *program],
            cwd=toy.root,
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"PYTHONPATH": str(HERE)},
        )
        assert ended.returncode == 0, f"{program}: {ended.stderr}"
    drawn = {path.name for path in (toy.root / "figures" / "toy").iterdir()}
    assert {"figure2.png", "figure10b.png", "before_after.png"} < drawn
    assert (toy.root / "report" / "toy" / "index.html").is_file()
    calm, limited = made(finished("tables", tmp_path / "calm").root), made(toy.root)
    assert [name for name in calm if limited[name] != calm[name]] == []


def test_memory_that_runs_out_is_one_line() -> None:
    code = (
        "import sys, torch; from replication import cli, stages\n"
        "def hungry(*_): torch.zeros(1 << 38)\n"
        "stages.imagenet = hungry\n"
        "sys.argv = ['replication', 'stage', 'imagenet']; cli.main()"
    )
    limit = lambda: resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))  # noqa: E731
    ended = subprocess.run(
        [sys.executable, "-c", code],
        cwd=HERE,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=limit,
    )
    assert ended.returncode == 2, ended.stderr
    line = ended.stderr.splitlines()[-1]
    assert line.startswith("error: memory has run out (")
    assert "lower `micro_batch`" in line
    assert lack(MemoryError("Unable to allocate 1 TiB")) is not None
    assert lack(ValueError("something else")) is None
