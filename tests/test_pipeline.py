"""dvc.yaml: a named chain of stages for every run, whatever the profile."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from replication.paper import reported
from replication.plan import load
from replication.repro import FIRST, waves

ROOT = Path(__file__).resolve().parents[1]
EXPERIMENTS = yaml.safe_load((ROOT / "experiments.yaml").read_text())
FAMILIES = EXPERIMENTS["families"]
ALL = EXPERIMENTS["runs"] | {name: run for runs in FAMILIES.values() for name, run in runs.items()}
MEASURED = [name for name, run in ALL.items() if run["search"] is not None]
SEARCHES = {name: search["run"] for name, search in EXPERIMENTS["searches"].items()}
DATASETS = EXPERIMENTS["datasets"]
OF_THE_PAPER = reported.load().runs()
CHAIN = ("train", "score", "refine", "evaluate")


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A repository with the pipeline, its settings and its inputs, and no data made yet."""
    for name in ("dvc.yaml", "params.yaml", "experiments.yaml"):
        shutil.copy(ROOT / name, tmp_path / name)
    for path in ROOT.glob("pipelines/*/dvc.yaml"):
        (tmp_path / path.relative_to(ROOT)).parent.mkdir(parents=True)
        shutil.copy(path, tmp_path / path.relative_to(ROOT))
    shutil.copytree(ROOT / "profiles", tmp_path / "profiles")
    shutil.copytree(ROOT / ".dvc", tmp_path / ".dvc", ignore=shutil.ignore_patterns("cache", "tmp"))
    package = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "replication", tmp_path / "replication", ignore=package)
    for folder in ("archives", "backbones"):
        (tmp_path / "data" / "sample" / folder).mkdir(parents=True)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    return tmp_path


def dvc(*arguments: str, cwd: Path) -> str:
    command = [sys.executable, "-m", "dvc", *arguments]
    environment = {**os.environ, "DVC_NO_ANALYTICS": "1", "DVC_SITE_CACHE_DIR": str(cwd / ".site")}
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


@pytest.mark.parametrize("profile", ["demo", "paper"])
def test_a_dry_run_lists_every_stage_of_every_run(workspace: Path, profile: str) -> None:
    params = workspace / "params.yaml"
    params.write_text(params.read_text().replace("profile: demo", f"profile: {profile}"))
    listed = [
        line.removeprefix("> replication stage ")
        for line in dvc("repro", "--dry", "--force", cwd=workspace).splitlines()
        if line.startswith("> ")
    ]
    assert sorted(listed) == sorted(
        [
            *("imagenet", "tables", "figures", "report"),
            *(f"{stage} {name}" for stage in ("fetch", "prepare") for name in DATASETS),
            *(f"{stage} {run}" for stage in CHAIN for run in MEASURED),
            *(f"train {run}" for run in ALL if run not in MEASURED),
            *(f"search {name}" for name in SEARCHES),
        ]
    )
    assert listed[-1] == "report"
    for name, scored in SEARCHES.items():
        assert listed.index(f"score {scored}") < listed.index(f"search {name}")
    for run in MEASURED:  # each stage after what it reads
        data, start = ALL[run]["data"], ALL[run]["init"]
        first = "imagenet" if start == "imagenet" else f"train {start}"
        assert listed.index(first) < listed.index(f"train {run}")
        places = [listed.index(f"{stage} {data}") for stage in ("fetch", "prepare")]
        places += [listed.index(f"{stage} {run}") for stage in CHAIN]
        assert places == sorted(places)
        assert places[-1] < listed.index("tables")
        search = ALL[run]["search"]
        assert listed.index(f"search {search}") < listed.index(f"refine {run}")


@pytest.mark.parametrize("jobs", [2, 3, 5])
def test_what_runs_side_by_side_shares_nothing_unfinished(workspace: Path, jobs: int) -> None:
    """By DVC's own graph: whatever a stage needs was made before, or by the same process."""
    needs: dict[str, set[str]] = {}
    for line in dvc("dag", "--dot", cwd=workspace).splitlines():
        if found := re.fullmatch(r'"(\S+)" -> "(\S+)";', line.strip()):
            needs.setdefault(found[2], set()).add(found[1])  # DVC draws them downstream
    everything = set(needs).union(*needs.values())
    finished = {name for name in everything if name.split("@")[0] in (*FIRST, "fetch", "data.dvc")}
    assert set().union(*(needs.get(name, set()) for name in finished)) <= finished
    in_turn = waves(load(workspace), jobs)
    assert max(map(len, in_turn)) == jobs
    for wave in in_turn:
        made: set[str] = set()
        for share in wave:
            mine: set[str] = set()
            for target in share:
                assert target not in finished | made | mine
                assert needs[target] <= finished | mine
                mine.add(target)
            made |= mine
        finished |= made
    assert {name.split("@")[0] for name in everything - finished} == {"tables", "figures", "report"}


def test_families_have_the_stages_of_the_root() -> None:
    root = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    assert {path.parent.name for path in ROOT.glob("pipelines/*/dvc.yaml")} == set(FAMILIES)
    for family, runs in FAMILIES.items():
        found = yaml.safe_load((ROOT / "pipelines" / family / "dvc.yaml").read_text())
        assert found["vars"] == ["../../params.yaml", "../../experiments.yaml"]
        measured = all(run["search"] is not None for run in runs.values())
        assert list(found["stages"]) == list(CHAIN if measured else ("train",))
        for name, stage in found["stages"].items():
            assert stage["do"].pop("wdir") == "../.."
            text = yaml.safe_dump(stage).replace(f"families.{family}", "runs")
            assert text == yaml.safe_dump(root[name]), f"{family}: {name}"


def test_params_and_profiles_have_the_keys_that_stages_depend_on() -> None:
    # DVC knows no defaults: it refuses to record a stage whose parameter is not in the file.
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"].values()
    asked: set[str] = set()
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    for stage in stages:
        for entry in stage.get("do", stage).get("params", []):
            if isinstance(entry, dict):
                asked.update(entry.get("profiles/${profile}.yaml", []))
                continue
            value = params
            for key in entry.split("."):
                assert key in value, f"params.yaml: {entry}"
                value = value[key]
    assert {"search_samples", "train_split"} <= asked
    for path in (ROOT / "profiles").glob("*.yaml"):
        assert asked <= yaml.safe_load(path.read_text()).keys(), path.name


def test_where_the_work_is_done_makes_no_stage_run_again() -> None:
    texts = [path.read_text() for path in (ROOT / "dvc.yaml", *ROOT.glob("pipelines/*/dvc.yaml"))]
    for text in texts:
        for stage in yaml.safe_load(text)["stages"].values():
            named = {p for p in stage.get("do", stage).get("params", []) if isinstance(p, str)}
            assert not named & {"jobs", "cluster", "device", "devices", "num_nodes", "image_cache"}


def test_plots_name_every_run() -> None:
    plots = yaml.safe_load((ROOT / "dvc.yaml").read_text())["plots"]
    named = 0
    for plot in plots:
        if isinstance(plot, str):  # an image
            continue
        ((title, spec),) = plot.items()
        (place, *others) = spec["y"]
        runs = [run for run in EXPERIMENTS["runs"] if run in OF_THE_PAPER]  # no one's own
        if others:  # a file for each run
            assert [Path(place).parts[2] for place in spec["y"]] == runs
        else:  # a column for each run
            stage = title.split()[-2]
            assert spec["y"][place] == [f"{run}_{stage}" for run in runs]
        named += 1
    assert named == 4


def test_plots_name_every_run_of_a_family() -> None:
    for family, runs in EXPERIMENTS["families"].items():
        (plot,) = yaml.safe_load((ROOT / "pipelines" / family / "dvc.yaml").read_text())["plots"]
        ((_, spec),) = plot.items()
        assert [Path(place).parts[4] for place in spec["y"]] == list(runs)
