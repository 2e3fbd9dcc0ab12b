"""A full disk while anything is written: one line, what is finished stays, then it goes on."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from replication.atomic import atomic_path, write_json
from replication.errors import lack
from replication.plan import Settings

RUN, SEARCH, SEED = "poly_b10_20k", "vgg_large_fov", 3
PAGE = 4096  # what a tmpfs takes for the smallest file
FILL = "ballast"

Disk = Callable[[Path, str], Any]


def fill(disk: Path, left: int) -> Path:
    """Fill a disk but for so many pages."""
    ballast = disk / FILL
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    ballast.write_bytes(bytes(free - left * PAGE))
    assert os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize == left * PAGE
    return ballast


@pytest.mark.parametrize(
    ("kind", "program", "left", "stays"),
    [
        ("checkpoints", ("train", RUN), 4, ()),  # the curve's first row fits
        ("runs", ("train", RUN), 2, ("toy/imagenet/weights.json",)),
        ("scores", ("score", RUN), 4, ("toy/*/*/v0.npz", "toy/*/*/v1.npz")),
        ("searches", ("search", SEARCH), 2, ("toy/*.partial/*.npz",)),
        ("refined", ("refine", RUN), 3, ("toy/*/*/v0.png",)),
        ("results", ("evaluate", RUN), 1, ("toy/*.npz",)),
        ("metrics", ("evaluate", RUN), 0, ()),
        ("tables", ("tables",), 4, ("toy/table1.md", "toy/table1.csv", "toy/table1.tex")),
        ("figures", ("figures",), 60, ("toy/figure2.png",)),
        ("report", ("report",), 20, ()),
    ],
)
def test_one_line_then_it_goes_on(
    *,
    finished: Callable[[str, Path], Settings],
    host: Any,
    disk: Disk,
    tmp_path: Path,
    kind: str,
    program: tuple[str, ...],
    left: int,
    stays: tuple[str, ...],
) -> None:
    root = finished(program[0], tmp_path / "root").root
    kept = {}
    for path in (root / kind).rglob("*"):
        if path.is_file():
            kept[path.relative_to(root / kind)] = path.read_bytes()
    with disk(root / kind, "size=4m"):
        for name, raw in kept.items():
            (root / kind / name).parent.mkdir(parents=True, exist_ok=True)
            (root / kind / name).write_bytes(raw)
        ballast = fill(root / kind, left)
        full = host(root, "stage", *program)
        assert full.status == 2, full.said
        line = full.said.splitlines()[-1]
        assert line.startswith(f"error: {root / kind}/"), full.said
        assert "disk is full; make room and run" in line
        assert "Traceback" not in full.said
        for pattern in stays:
            assert list((root / kind).glob(pattern)), pattern
        litter = [p.name for p in (root / kind).rglob(".*") if "part" in p.name]
        assert not litter
        ballast.unlink()
        again = host(root, "stage", *program)
        assert again.status == 0, again.said
        if kind == "checkpoints":
            assert (root / "runs" / "toy" / RUN / f"seed_{SEED}" / "train.json").is_file()
        else:
            assert any(path.is_file() for path in (root / kind).rglob("*"))


def test_a_checkpoint_that_finds_no_room_leaves_the_one_before(
    *,
    finished: Callable[[str, Path], Settings],
    host: Any,
    train_until_killed: Callable[[Path], Path],
    disk: Disk,
    tmp_path: Path,
) -> None:
    import torch

    root = finished("train", tmp_path / "root").root
    folder = root / "checkpoints"
    # room for one, and for half of the next that is written beside it
    size = 3 * train_until_killed(root).stat().st_size // 2
    shutil.rmtree(folder)
    with disk(folder, f"size={size}"):
        full = host(root, "stage", "train", RUN)
        assert full.status == 2, full.said
        last = folder / "toy" / RUN / f"seed_{SEED}" / "last.ckpt"
        assert full.said.splitlines()[-1].startswith(f"error: {last}: the disk is full; make room")
        assert torch.load(last, weights_only=True)["global_step"] == 3
        bigger = ["mount", "-o", f"remount,size={3 * size}", str(folder)]
        assert os.spawnvp(os.P_WAIT, "mount", bigger) == 0
        again = host(root, "stage", "train", RUN)
        assert again.status == 0, again.said
        assert "goes on from update 3" in again.said


def write(path: Path) -> None:
    """Write 400 kB by what the name asks for."""
    import numpy as np
    import torch
    from safetensors.torch import save_file

    values = torch.zeros(100_000)
    if path.suffix == ".json":
        write_json(path, values.tolist())
        return
    with atomic_path(path) as part, part.open("wb") as stream:
        if path.suffix == ".torch":
            torch.save(values, part)
        elif path.suffix == ".safetensors":
            save_file({"x": values}, part)
        else:
            np.savez(stream, x=values.numpy())


@pytest.mark.parametrize("writer", ["torch", "safetensors", "npz", "json"])
def test_every_writer_comes_to_the_same_words(disk: Disk, tmp_path: Path, writer: str) -> None:
    path = tmp_path / "disk" / f"out.{writer}"
    with disk(path.parent, "size=128k"):
        write_json(path, {"old": 1})
        old = path.read_bytes()
        with pytest.raises(OSError, match="No space left on device") as caught:
            write(path)
        assert lack(caught.value) == (
            f"{path}: the disk is full; make room and run the same command again: what is "
            "finished is kept"
        )
        assert path.read_bytes() == old
        assert [p.name for p in path.parent.iterdir()] == [path.name]
