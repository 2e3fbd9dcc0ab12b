"""The stage `evaluate` from files to files: the result, and its counts of images beside it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from replication import stages
from replication.data.canonical import DataSet
from replication.data.labels import write_label
from replication.inference.store import write_scores
from replication.plan import Settings, load
from replication.reporting.evidence import Evidence
from replication.reporting.tables import write_tables

ROOT = Path(__file__).resolve().parents[2]
RUN = "aspp_l"


@pytest.fixture
def settings(tmp_path: Path, write_dataset: Callable[..., DataSet]) -> Settings:
    """A root with two seeds of one run, scored and refined at random."""
    rng = np.random.default_rng(0)
    shutil.copytree(ROOT / "profiles", tmp_path / "profiles")
    shutil.copy(ROOT / "experiments.yaml", tmp_path)
    params = (ROOT / "params.yaml").read_text().replace("seeds: [0]", "seeds: [0, 3]")
    (tmp_path / "params.yaml").write_text(params)
    settings = load(tmp_path)
    pixels = {}
    for name in "abcdef":
        truth = rng.choice(np.array([0, 1, 2, 255], np.uint8), (20, 27))
        pixels[name] = np.zeros((20, 27, 3), np.uint8), truth
        for seed in (0, 3):
            scores = settings.place("scores", RUN, seed)
            write_scores(scores / f"{name}.npz", rng.normal(size=(3, 4, 5)))
            refined = rng.integers(0, 3, (20, 27)).astype(np.uint8)
            write_label(settings.place("refined", RUN, seed) / f"{name}.png", refined)
    write_dataset(pixels, ["a", "b", "c"])
    settings.place("datasets", "voc2012").parent.mkdir(parents=True)
    (tmp_path / "data").rename(settings.place("datasets", "voc2012"))
    train = {"parameters": 9, "field_of_view": 224, "configuration": {}, "seconds": 1.0}
    train |= {"images_per_second": 1.0, "updates": 1, "device": "cpu", "precision": "32-true"}
    for seed in (0, 3):
        settings.place("runs", RUN, seed).mkdir(parents=True)
        for kind, name, record in (
            ("runs", "train.json", train),
            ("scores", "score.json", {}),
            ("refined", "refine.json", {}),
        ):
            (settings.place(kind, RUN, seed) / name).write_text(json.dumps(record))
        curve = settings.place("runs", RUN, seed) / "curve.tsv"
        curve.write_text(f"step\tloss\tlr\n10\t3.5\t0.001\n20\t2.{seed}\t0.0005\n")
    return settings


def test_tables_bootstrap_from_what_the_stage_leaves(settings: Settings, tmp_path: Path) -> None:
    stages.evaluate(settings, RUN)
    results = settings.place("results")
    assert sorted(p.name for p in results.iterdir()) == [f"{RUN}.json", f"{RUN}.npz"]
    first = (results / f"{RUN}.npz").read_bytes()
    seeds = json.loads((results / f"{RUN}.json").read_text())["seeds"]
    assert [seed["seed"] for seed in seeds] == [0, 3]
    for seed in seeds:
        curve = {"step": [10, 20], "loss": [3.5, float(f"2.{seed['seed']}")], "lr": [0.001, 0.0005]}
        assert seed["train"]["curve"] == curve
        assert len(seed["before"]["trimap"]["miou"]) == len(seed["after"]["trimap"]["width"]) == 40
    for kind in ("scores", "refined", "datasets"):
        shutil.rmtree(settings.place(kind))
    evidence = Evidence(results, settings.name)
    counts = evidence.counts(RUN)
    assert counts is not None
    assert counts.ids == tuple("abcdef")
    interval = evidence.interval(RUN, "after.miou")
    assert interval is not None
    low, high = interval
    assert low < np.mean([seed["after"]["miou"] for seed in seeds]) < high
    write_tables(results, tmp_path / "tables", settings.name)
    text = (tmp_path / "tables" / "table3.md").read_text()
    assert f"[{low:.2f}, {high:.2f}]" in text
    assert (results / f"{RUN}.npz").read_bytes() == first
