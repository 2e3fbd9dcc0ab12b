"""Damaged files: found, named, and made again, or the message says how."""

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from replication.cache import damaged
from replication.plan import Settings

HERE = Path(__file__).resolve().parents[2]
RUN, SEARCH, SEED = "poly_b10_20k", "vgg_large_fov", 3
RUNS, CHECKPOINTS = f"runs/toy/{RUN}/seed_{SEED}", f"checkpoints/toy/{RUN}/seed_{SEED}"
SCORES, REFINED = f"scores/toy/{RUN}/seed_{SEED}", f"refined/toy/{RUN}/seed_{SEED}"
DATA, MADE_DATA = "datasets/toy/voc2012", ("prepare", "voc2012")

Finished = Callable[[str, Path], Settings]


def flip(path: Path, place: float = 0.6) -> None:
    """Change one bit of a file."""
    raw = bytearray(path.read_bytes())
    raw[int(len(raw) * place)] ^= 0x10
    path.write_bytes(raw)


def cut(path: Path) -> None:
    """Leave two thirds of a file."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


@pytest.mark.parametrize(
    ("file", "damage", "reader", "said", "maker"),
    [
        (f"{SCORES}/v1.npz", flip, ("refine", RUN), "score the image again", ("score", RUN)),
        (f"{SCORES}/v1.npz", cut, ("search", SEARCH), "score the image again", ("score", RUN)),
        (f"{SCORES}/v1.npz", flip, ("evaluate", RUN), "score the image again", ("score", RUN)),
        (f"{REFINED}/v2.png", flip, ("evaluate", RUN), "get or draw it again", ("refine", RUN)),
        (f"{DATA}/labels/v0.png", flip, ("evaluate", RUN), "get or draw it again", MADE_DATA),
        (f"{DATA}/labels/t4.png", cut, ("train", RUN), "get or draw it again", MADE_DATA),
        (f"{DATA}/images/t4.png", cut, ("train", RUN), "get it again", MADE_DATA),
        (f"{DATA}/images/v1.png", cut, ("score", RUN), "get it again", MADE_DATA),
        (f"{DATA}/meta.json", cut, ("score", RUN), "prepare it again", MADE_DATA),
        (f"{DATA}/splits/val.txt", cut, ("score", RUN), "prepare the data again", MADE_DATA),
        (
            f"{RUNS}/weights.safetensors",
            flip,
            ("score", RUN),
            "train the run again",
            ("train", RUN),
        ),
        (f"searches/toy/{SEARCH}.json", cut, ("refine", RUN), "search", ("search", SEARCH)),
        (f"results/toy/{RUN}.json", cut, ("tables",), "dvc repro", ("evaluate", RUN)),
        (f"results/toy/{RUN}.npz", flip, ("tables",), "dvc repro", ("evaluate", RUN)),
    ],
)
def test_damage_is_named_and_mended_by_the_stage_that_made_it(
    *,
    finished: Finished,
    host: Any,
    tmp_path: Path,
    file: str,
    damage: Callable[[Path], None],
    reader: tuple[str, ...],
    said: str,
    maker: tuple[str, ...],
) -> None:
    root = finished(reader[0], tmp_path / "root").root
    whole = (root / file).read_bytes()
    damage(root / file)
    ended = host(root, "stage", *reader)
    assert ended.status == 2, ended.said
    line = ended.said.splitlines()[-1]
    assert line.startswith(f"error: {root / file}"), line
    assert said in line
    assert "Traceback" not in ended.said
    for program in (maker, reader):
        ended = host(root, "stage", *program)
        assert ended.status == 0, ended.said
    if not file.endswith(".json"):  # which hold seconds
        assert (root / file).read_bytes() == whole


def test_a_damaged_checkpoint_is_not_gone_on_from(
    finished: Finished, host: Any, train_until_killed: Callable[[Path], Path], tmp_path: Path
) -> None:
    root = finished("train", tmp_path / "root").root
    last = train_until_killed(root)
    flip(last)
    ended = host(root, "stage", "train", RUN)
    assert ended.status == 0, ended.said
    assert f"{last} can't be read" in ended.said.replace("\n", "")
    other = finished("score", tmp_path / "other").root
    weights = f"{RUNS}/weights.safetensors"
    assert (root / weights).read_bytes() == (other / weights).read_bytes()


def dvc(root: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "DVC_NO_ANALYTICS": "1", "DVC_SITE_CACHE_DIR": str(root / ".site")}
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(
        command,
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
        env=environment | {"PYTHONPATH": str(HERE)},
    )


def test_damage_to_what_dvc_keeps_is_found(tmp_path: Path) -> None:
    """An object of the cache that DVC trusts, and one of the remote that it has to fetch again."""
    root = tmp_path / "root"
    (root / "remote").mkdir(parents=True)
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    (root / ".dvc").mkdir()
    config = (HERE / ".dvc" / "config").read_text().replace("../sample-remote", "../remote")
    (root / ".dvc" / "config").write_text(config)
    (root / "data").write_bytes(b"what was measured" * 1000)
    for step in (("dvc", "add", "-q", "data"), ("dvc", "push", "-q")):
        assert dvc(root, *step).returncode == 0
    (cached,) = (root / ".dvc" / "cache" / "files" / "md5").glob("??/*")
    assert stat.S_IMODE(cached.stat().st_mode) == 0o444  # from here on DVC takes it on trust
    cached.chmod(0o644)
    flip(cached)
    cached.chmod(0o444)

    looked = dvc(root, "replication", "cache")
    assert looked.returncode == 2
    assert looked.stdout == f"{cached}: damaged, and deleted\n"
    assert "1 of 1 objects were damaged" in looked.stderr
    (root / "data").unlink()
    assert dvc(root, "dvc", "pull", "-q").returncode == 0
    assert (root / "data").read_bytes() == b"what was measured" * 1000
    assert not list(damaged(cached.parents[1]))

    (kept,) = (root / "remote" / "files" / "md5").glob("??/*")
    kept.chmod(0o644)
    flip(kept)
    shutil.rmtree(root / ".dvc" / "cache")
    (root / "data").unlink()
    pulled = dvc(root, "dvc", "pull")
    assert pulled.returncode != 0
    assert not (root / "data").exists()
