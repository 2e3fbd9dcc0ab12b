"""Where the benchmarks' rows go, what stands beside the numbers, and what is measured on."""

import csv
import importlib
import os
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import yaml

from replication.data.canonical import DataSet
from replication.inference.enlarge import enlarge

ROOT = Path(__file__).resolve().parents[2]
HERE = ROOT / "benchmarks"
COMMITTED = sorted((HERE / "results").glob("*.csv"))


@pytest.fixture(autouse=True)
def scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `import table` work as it does for the scripts."""
    monkeypatch.syspath_prepend(str(HERE))


def module(name: str) -> ModuleType:
    return importlib.import_module(name)


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem)
def test_rows_of_older_versions_stay_as_they_are(path: Path, tmp_path: Path) -> None:
    table, out = module("table"), tmp_path / path.name
    out.write_bytes(path.read_bytes())
    before = read(path)
    fresh = {"run": "x", "way": "new", "processes": 1, **table.surroundings("numpy")}
    table.put(out, [fresh])
    table.put(out, [fresh])
    *kept, last = read(out)
    assert [{name: row[name] for name in before[0]} for row in kept] == before
    assert {name: last[name] for name in fresh} == {k: str(v) for k, v in fresh.items()}


def test_a_row_takes_the_place_of_the_one_measured_alike(tmp_path: Path) -> None:
    table, out = module("table"), tmp_path / "deep" / "x.csv"
    for seconds, processes in ((1.0, 1), (2.0, 2), (3.0, 1)):
        row = {"way": "fast", "allocator": "plain", "processes": processes, "seconds": seconds}
        table.put(out, [row])
    assert [(row["processes"], row["seconds"]) for row in read(out)] == [("1", "3.0"), ("2", "2.0")]


def test_places_are_named_by_machine_and_device(monkeypatch: pytest.MonkeyPatch) -> None:
    table, provenance = module("table"), module("replication.provenance")
    monkeypatch.setattr(provenance, "_processor", lambda: "Intel(R) Xeon(R) @ 2.2GHz")
    machine = "Intel-R-Xeon-R-2-2GHz"
    assert table.place("crf") == HERE / "results" / f"crf_{machine}.csv"
    gpu = table.place("training", "NVIDIA H100 80GB")
    assert gpu.name == f"training_{machine}_NVIDIA-H100-80GB.csv"


def test_surroundings_are_this_machines() -> None:
    found = module("table").surroundings("numpy", "torch")
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()
    assert found["commit"].removesuffix("+changes") == commit
    assert found["cores"] == os.cpu_count()
    assert found["numpy"] == np.__version__
    there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    assert 0 < found["memory_gib"] <= round(there, 1)


def test_every_run_has_the_classes_of_its_data_set() -> None:
    """Section 4: VOC 20 and background, Context 59 and background, Person-Part 6, Cityscapes 19."""
    expected = {
        "voc2012": 21,
        "coco": 21,
        "pascal_context": 60,
        "pascal_person_part": 7,
        "cityscapes": 19,
        "cityscapes_half": 19,
    }
    experiments = yaml.safe_load((ROOT / "experiments.yaml").read_text())
    families = [experiments["runs"], *experiments["families"].values()]
    workload = module("workload")
    seen = set()
    for name, run in ((name, run) for family in families for name, run in family.items()):
        plan: Any = type("Plan", (), {"data": run["data"]})
        assert workload.classes(plan) == expected[run["data"]], name
        seen.add(run["data"])
    assert seen == set(expected)


def test_make_bench_runs_every_benchmark() -> None:
    lines = (ROOT / "Makefile").read_text().split("\nbench:")[1].split("\n\n")[0].splitlines()[1:]
    run = [line.strip().removeprefix("python benchmarks/") for line in lines]
    scripts = [path.name for path in HERE.glob("*.py") if "__main__" in path.read_text()]
    assert sorted(run) == sorted(scripts)


def test_loading_without_a_folder_draws_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module("images"), "DATA", tmp_path / "nowhere")
    loading = module("loading")
    folder = loading.drawn(2, tmp_path / "drawn")
    dataset = loading.as_train(folder, 2, tmp_path)
    assert isinstance(dataset, DataSet)
    assert (len(dataset.ids("train")), len(dataset.ids("val"))) == (2, 1)


def test_scores_for_the_crf_are_the_same_in_turn_and_overlapped() -> None:
    """Linear between its points, a map enlarged 16 times is one enlarged twofold, then 8 times."""
    small = np.random.default_rng(0).normal(size=(3, 5, 5)).astype(np.float32)
    halfway = enlarge(small, 16, (65, 65))[:, ::8, ::8]
    expected = enlarge(small, 16, (50, 61))
    np.testing.assert_allclose(enlarge(halfway, 8, (50, 61)), expected, atol=1e-5)


def test_the_overlapped_pass_scores_every_image_and_refines_the_trained_scores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    inference, seen = module("inference"), list[tuple[int, ...]]()
    refined: list[np.ndarray] = []

    class Scorer:
        device = "cpu"

        def __call__(self, image: Any) -> np.ndarray:
            seen.append(tuple(image.shape))
            return np.zeros((21, 9, 9), np.float32)

    def keep(scores: np.ndarray, image: np.ndarray, *_: object) -> Any:
        refined.append(scores)
        yield type("Refined", (), {"labels": np.zeros(image.shape[:2], np.uint8)})

    monkeypatch.setattr(module("replication.predict.run"), "refine_many", keep)
    ids = inference.some_ids(3)
    parameters = module("replication.crf.parameters").PRESETS["v1"].parameters
    assert inference.overlapped(Scorer(), parameters, ids, 65) > 0
    assert seen == [(3, 65, 65)] * 3
    for name, scores in zip(ids, refined, strict=True):
        small, _ = inference.read(name)
        np.testing.assert_allclose(scores, enlarge(small, 16, (65, 65)), atol=1e-4)


def test_the_first_start_finds_no_machine_code_and_the_later_one_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    crf, folders = module("crf"), list[Path]()

    def children(commands: list[list[str]], **variables: str) -> list[str]:
        assert commands == [["--inside", "start"]]
        folders.append(Path(variables["NUMBA_CACHE_DIR"]))
        there = list(folders[-1].iterdir())
        (folders[-1] / "code").touch()
        return ["2.345\n" if there else "12.345\n"]

    monkeypatch.setattr(crf, "children", children)
    assert crf.starts() == {"first_start_seconds": 12.35, "later_start_seconds": 2.35}
    assert folders[0] == folders[1]
    assert not folders[0].exists()
