"""Refinement on a real Dask scheduler with two workers, each a process of its own."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from replication import stages
from replication.cli import app
from replication.crf import ledger, run
from replication.crf.folder import read_folders
from replication.crf.parameters import PRESETS
from replication.crf.run import Setting, refine_images
from replication.data.canonical import DataSet
from replication.errors import ReplicationError
from replication.inference.store import write_scores
from replication.plan import load

ROOT = Path(__file__).resolve().parents[2]
SETTING = Setting(PRESETS["resnet_ports"].parameters, 8, 3)


def files(folder: Path, pattern: str = "*.png") -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob(pattern))}


def not_here(*_: object, **__: object) -> None:
    raise AssertionError("this process refined an image")


@pytest.fixture
def whole(folders: Any, tmp_path: Path) -> dict[str, bytes]:
    """The labels of `folders` as this process makes them."""
    out = tmp_path / "whole"
    refine_images(read_folders(folders.images, folders.scores), out, SETTING, jobs=1)
    return files(out)


def test_the_command_has_workers_write_the_same_bytes(
    folders: Any,
    tmp_path: Path,
    cluster: str,
    whole: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(folders.root)  # the workers are elsewhere: paths must not be relative
    monkeypatch.setattr(run, "refine_many", not_here)
    given = "--images images --scores scores --out there --save-probabilities --cluster"
    done = CliRunner().invoke(
        app, ["crf", "refine", *given.split(), cluster], catch_exceptions=False
    )
    assert "5 label maps in there" in done.output
    assert files(folders.root / "there") == whole
    monkeypatch.undo()
    again = tmp_path / "again"
    items = read_folders(folders.images, folders.scores)
    refine_images(items, again, SETTING, jobs=1, save_probabilities=True)
    for name in folders.ids:
        with (
            np.load(again / f"{name}.npz") as here,
            np.load(folders.root / "there" / f"{name}.npz") as there,
        ):
            np.testing.assert_array_equal(here["probabilities"], there["probabilities"])


def test_a_fault_in_a_worker_is_one_line_and_the_rest_is_kept(
    folders: Any, tmp_path: Path, cluster: str, whole: dict[str, bytes]
) -> None:
    out, spoilt = tmp_path / "out", folders.scores / "d.npz"
    kept = spoilt.read_bytes()
    spoilt.write_bytes(kept[:99])
    items = read_folders(folders.images, folders.scores)
    with pytest.raises(ReplicationError, match=r"d\.npz: .*can't be read") as caught:
        refine_images(items, out, SETTING, cluster=cluster)
    assert "\n" not in str(caught.value)
    assert not (out / "refine.json").exists()
    done = ledger.read(out)
    assert "d" not in done
    spoilt.write_bytes(kept)
    record = refine_images(items, out, SETTING, cluster=cluster)
    assert record["resumed"] == len(done)
    assert files(out) == whole


def test_broken_off_it_goes_on_without_the_cluster_and_then_needs_none(
    folders: Any,
    tmp_path: Path,
    cluster: str,
    whole: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out, items = tmp_path / "out", read_folders(folders.images, folders.scores)
    append, written = ledger.append, list[str]()

    def broken_off(folder: Path, entry: ledger.Entry) -> None:
        if len(written) == 2:
            raise KeyboardInterrupt
        append(folder, entry)
        written.append(entry["id"])

    monkeypatch.setattr(ledger, "append", broken_off)
    with pytest.raises(KeyboardInterrupt):
        refine_images(items, out, SETTING, cluster=cluster)
    monkeypatch.undo()
    assert not (out / "refine.json").exists()
    assert refine_images(items, out, SETTING, jobs=1)["resumed"] == 2
    assert files(out) == whole
    nobody = "tcp://127.0.0.1:1"
    assert refine_images(items, out, SETTING, cluster=nobody)["resumed"] == 5


def test_labels_that_a_worker_wrote_elsewhere_are_not_taken_for_done(
    folders: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, items = tmp_path / "out", read_folders(folders.images, folders.scores)

    def elsewhere(function: Any, tasks: Any, *_: object, **__: object) -> Any:
        for task in tasks:
            done = function(*task)
            task[3].png.unlink()  # as where the folder is the worker's own
            yield done

    monkeypatch.setattr(run, "over_images", elsewhere)
    with pytest.raises(ReplicationError, match=r"a\.png: a Dask worker has written it, and here"):
        refine_images(items, out, SETTING, cluster="tcp://x:1")
    assert ledger.read(out) == {}
    assert not (out / "refine.json").exists()


@pytest.fixture
def settings_of(
    folders: Any, tmp_path: Path, write_dataset: Callable[..., DataSet]
) -> Callable[[str, str | None], Any]:
    """A function that makes a root with a scored run, and settings that may name a cluster."""
    rng = np.random.default_rng(0)
    pixels = {
        name: (rng.integers(0, 256, (20, 27, 3)).astype(np.uint8), np.zeros((20, 27), np.uint8))
        for name in "abc"
    }
    dataset = write_dataset(pixels, ["a", "b", "c"])

    def make(name: str, address: str | None) -> Any:
        root = tmp_path / name
        shutil.copytree(ROOT / "profiles", root / "profiles")
        shutil.copy(ROOT / "experiments.yaml", root)
        params = yaml.safe_load((ROOT / "params.yaml").read_text())
        params |= {"profile": "smoke", "seeds": [0], "cluster": address}
        params["crf"]["parameters"] = "resnet_ports"
        (root / "params.yaml").write_text(yaml.safe_dump(params))
        settings = load(root)
        shutil.copytree(dataset.root, root / "datasets" / "smoke" / "voc2012")
        draw = np.random.default_rng(1)
        for image in pixels:
            path = settings.place("scores", "aspp_l", 0) / f"{image}.npz"
            write_scores(path, draw.normal(scale=4, size=(3, 4, 5)))
        return settings

    return make


def test_the_stage_obeys_params(
    settings_of: Callable[[str, str | None], Any], cluster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = settings_of("here", None), settings_of("there", cluster)
    stages.refine(here, "aspp_l")
    monkeypatch.setattr(run, "refine_many", not_here)
    stages.refine(there, "aspp_l")
    refined = [settings.place("refined", "aspp_l", 0) for settings in (here, there)]
    assert len(files(refined[0])) == 3
    assert files(refined[0]) == files(refined[1])
    records = [json.loads((folder / "refine.json").read_text()) for folder in refined]
    assert records[0]["labels_sha256"] == records[1]["labels_sha256"]
