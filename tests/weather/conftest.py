"""A pipeline of toy size, a host for its programs, and disks that are small or closed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from replication.data.labels import write_label
from replication.plan import Settings, load

HERE = Path(__file__).resolve().parents[2]
RUN, SEARCH, SEED = "poly_b10_20k", "vgg_large_fov", 3
# Each program, and the folders that it makes.
PROGRAMS: dict[tuple[str, ...], tuple[str, ...]] = {
    ("prepare", "voc2012"): ("datasets",),
    ("imagenet",): ("runs",),
    ("train", RUN): ("runs", "checkpoints"),
    ("score", RUN): ("scores",),
    ("search", SEARCH): ("searches",),
    ("refine", RUN): ("refined",),
    ("evaluate", RUN): ("results", "metrics"),
    ("tables",): ("tables",),
    ("figures",): ("figures",),
    ("report",): ("report",),
}
SPLITS = {"train": [f"t{i}" for i in range(6)], "val": ["v0", "v1", "v2"]}
# 20,000 iterations of a batch of 10 become 12 of 4.
TOY = {
    "about": "a test",
    "families": [],
    "data": "folder",
    "train_split": "train",
    "width": 1 / 32,
    "crop": 33,
    "test_size": 57,
    "iterations_factor": 0.0006,
    "batch_factor": 0.4,
    "base_lr_factor": 10.0,
    "micro_batch": 2,
    "backbone": "backbone.safetensors",
    "fc_std": 0.01,
    "checkpoint_every": 3,
    "score_batch": 1,
    "limit_eval": None,
    "search_samples": 3,
    "search_every": 8,
    "threads": 1,
    # as if left out
    "dropout": None,
    "decimation": "plain",
    "resnet_iterations_factor": None,
    "resnet_base_lr_factor": None,
    "resnet_backbone": "torchvision",
}


def write_folder(root: Path) -> None:
    """Write a VOC-style folder: six photographs to train on, three to measure, three classes."""
    rng = np.random.default_rng(0)
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True)
    for split, ids in SPLITS.items():
        (root / "ImageSets" / "Segmentation" / f"{split}.txt").write_text("\n".join(ids) + "\n")
        for name in ids:
            size = (int(rng.integers(20, 57)), int(rng.integers(20, 57)))
            pixels = rng.integers(0, 256, (*size, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(root / "JPEGImages" / f"{name}.png")
            label = np.repeat(rng.integers(0, 3, (1, size[1])), size[0], 0).astype(np.uint8)
            label[:2] = 255
            write_label(root / "SegmentationClass" / f"{name}.png", label)
    (root / "classes.txt").write_text("ground\nsheep\ntree\n")


@pytest.fixture(scope="session")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of made-up initial weights."""
    import torch
    from safetensors.torch import save_file

    from replication.models.vgg import VGG16

    torch.manual_seed(0)
    layers = VGG16(1 / 32).convolutions()
    tensors = {f"{n}_W": layer.weight.detach() for n, layer in layers.items()}
    tensors |= {f"{n}_b": torch.zeros(layer.out_channels) for n, layer in layers.items()}
    file = tmp_path_factory.mktemp("backbone") / "backbone.safetensors"
    save_file(tensors, file)
    return file


def write_root(root: Path, backbone: Path) -> Path:
    """Write the settings of toy size and what they start from."""
    (root / "profiles").mkdir(parents=True)
    params = yaml.safe_load((HERE / "params.yaml").read_text())
    params |= {"profile": "toy", "seeds": [SEED], "device": "cpu", "precision": "32-true"}
    params |= {"jobs": 1, "image_cache": 0}
    params["data"] |= {"folder": "mine"}
    params["crf"] |= {"iterations": 2}
    (root / "params.yaml").write_text(yaml.safe_dump(params))
    # DVC asks for every key that a stage depends on: those that the toy leaves out are of `smoke`
    profile = yaml.safe_load((HERE / "profiles" / "smoke.yaml").read_text()) | TOY
    (root / "profiles" / "toy.yaml").write_text(yaml.safe_dump(profile))
    shutil.copy(HERE / "experiments.yaml", root)
    shutil.copy(backbone, root)
    write_folder(root / "mine")
    return root


@pytest.fixture
def toy(tmp_path: Path, backbone: Path) -> Settings:
    """The settings of a root where every stage but `fetch` runs in seconds; nothing is made yet."""
    return load(write_root(tmp_path / "root", backbone))


KINDS = (
    "archives", "datasets", "runs", "scores", "searches", "refined", "results", "metrics", "tables",
    "figures", "report",
)  # fmt: skip
# What says how long something took, how much of it an earlier call did, or hashes such a record.
CLOCKS = ("seconds", "images_per_second", "peak_memory_mib", "resumed", "search_sha256")


def timeless(value: Any) -> Any:
    """Return JSON data without what depends on the clock."""
    if isinstance(value, dict):
        return {k: timeless(v) for k, v in value.items() if not any(c in k for c in CLOCKS)}
    return [timeless(item) for item in value] if isinstance(value, list) else value


def content(path: Path, root: Path) -> Any:
    """Return what a file says, but for seconds and for where the root lies."""
    if path.suffix == ".json":
        return timeless(json.loads(path.read_text().replace(str(root), "")))
    if path.suffix == ".jsonl":
        return [timeless(json.loads(line)) for line in path.read_text().splitlines() if line]
    return path.read_bytes()


@pytest.fixture(scope="session")
def made() -> Callable[[Path], dict[str, Any]]:
    """A function that returns all that the stages have made in a root, as DVC would see it."""

    def look(root: Path) -> dict[str, Any]:
        return {
            path.relative_to(root).as_posix(): content(path, root)
            for kind in KINDS
            for path in sorted((root / kind).rglob("*"))
            # locks, and what `fetch` remembers of a file's size and time
            if path.is_file() and not path.name.endswith((".lock", ".verified"))
        }

    return look


@pytest.fixture
def programs() -> tuple[tuple[str, ...], ...]:
    """The arguments of `replication stage` for every stage that the toy has, in order."""
    return tuple(PROGRAMS)


@dataclass
class Ended:
    """How a program ended: its status (minus the signal's number), and what it printed."""

    status: int
    said: str
    seconds: float


class Host:
    """Runs `replication ARGUMENTS` in processes forked from one that has imported everything."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", str(Path(__file__).with_name("host.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(HERE), "MPLBACKEND": "agg"},
        )

    def __call__(
        self, root: Path, *arguments: str, disturb: Callable[[int], object] | None = None
    ) -> Ended:
        """Run a command in ``root``; ``disturb`` is given the process's id when it has started."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.log.write_bytes(b"")
        asked = {"arguments": arguments, "folder": str(root), "log": str(self.log)}
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        pid, start = int(self.process.stdout.readline()), time.perf_counter()
        if disturb is not None:
            disturb(pid)
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        status = int(self.process.stdout.readline())
        return Ended(status, self.log.read_text(errors="replace"), time.perf_counter() - start)


@contextmanager
def hosting(log: Path) -> Iterator[Host]:
    """Start a host; end it."""
    made = Host(log)
    with made.process:
        yield made
        assert made.process.stdin is not None
        made.process.stdin.close()


@pytest.fixture(scope="session")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """The host, started once."""
    with hosting(tmp_path_factory.mktemp("host") / "log") as made:
        yield made


@pytest.fixture(scope="session")
def other_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """A second one, for programs that run beside those of the first."""
    with hosting(tmp_path_factory.mktemp("other_host") / "log") as made:
        yield made


@pytest.fixture
def train_until_killed(host: Host) -> Callable[[Path], Path]:
    """A function that trains in a root until there is a checkpoint, then kills; returns it."""

    def train(root: Path) -> Path:
        last = root / "checkpoints" / "toy" / RUN / f"seed_{SEED}" / "last.ckpt"

        def kill(pid: int) -> None:
            until = time.monotonic() + 120
            while not last.is_file():
                assert time.monotonic() < until
                time.sleep(0.005)
            os.kill(pid, signal.SIGKILL)

        assert host(root, "stage", "train", RUN, disturb=kill).status == -signal.SIGKILL
        return last

    return train


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[Path]:
    """Mount a file system in memory at ``folder``; skip the test where that may not be."""
    folder.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    allowed = shutil.which("mount") and not subprocess.run(mount, capture_output=True).returncode
    if not allowed:
        pytest.skip("may not mount a small file system here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def disk() -> Callable[[Path, str], Any]:
    """A context manager that mounts a tmpfs with options, such as ``size=1m``."""
    return mounted


@pytest.fixture
def read_only() -> Callable[[Path], None]:
    """A function that makes a mounted file system one that can only be read."""

    def close(folder: Path) -> None:
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)

    return close


@pytest.fixture(scope="session")
def finished(
    tmp_path_factory: pytest.TempPathFactory, backbone: Path, host: Host
) -> Callable[[str, Path], Settings]:
    """A function that gives a root where every program before the named one has run, once."""
    source = write_root(tmp_path_factory.mktemp("finished") / "root", backbone)
    left = list(PROGRAMS)

    def before(stage: str, into: Path) -> Settings:
        order = [program[0] for program in PROGRAMS]
        while left and order.index(left[0][0]) < order.index(stage):
            ended = host(source, "stage", *left[0])
            assert ended.status == 0, ended.said
            left.pop(0)
        later = [
            kinds
            for program, kinds in PROGRAMS.items()
            if order.index(program[0]) >= order.index(stage)
        ]
        shutil.copytree(source, into)
        for kind in {kind for kinds in later for kind in kinds} - {"runs"}:
            shutil.rmtree(into / kind, ignore_errors=True)
        if order.index(stage) <= order.index("train"):
            shutil.rmtree(into / "runs" / "toy" / RUN, ignore_errors=True)
        return load(into)

    return before
