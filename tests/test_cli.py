"""The command line as a user meets it: help that answers at once, errors of one line."""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from replication.choose import choose
from replication.cli import app
from replication.errors import ReplicationError
from replication.plan import load

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A copy of the settings, to edit."""
    for name in ("params.yaml", "experiments.yaml"):
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / "profiles", tmp_path / "profiles")
    return tmp_path


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "replication", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def test_help_names_every_command_and_imports_nothing_heavy(root: Path) -> None:
    code = (
        "import sys; from replication.cli import app; from typer.testing import CliRunner; "
        "print(CliRunner().invoke(app, ['--help']).output); "
        "print('heavy', sorted({'torch', 'numpy', 'pydantic', 'pandas', 'lightning', 'numba'} "
        "& set(sys.modules)))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    ).stdout
    for name in ("runs", "compare", "profile", "predict", "stage", "crf", "doctor", "verify"):
        assert re.search(rf"^  {name} ", shown, re.MULTILINE)
    assert "heavy []" in shown


def test_help_answers_within_half_a_second_of_processor_time(root: Path) -> None:
    run("--help", cwd=root)  # once for the disk's cache
    before, start = os.times(), time.perf_counter()
    assert run("--help", cwd=root).returncode == 0
    after = os.times()
    used = after.children_user - before.children_user + after.children_system
    assert min(used - before.children_system, time.perf_counter() - start) < 0.5


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("stage", "train", "aspp_xl"), "no run is called 'aspp_xl'; use one of fov_7x7_r4"),
        (("stage", "score", "aspp_l"), "no prepared data set here; run the stage `prepare` first"),
        (("profile", "papers"), "`profile` is 'papers'"),
        (("profile", "photos", "--folder", "nowhere"), "--folder nowhere is not a folder"),
    ],
)
def test_what_a_user_gets_wrong_is_one_line_and_status_2(
    root: Path, arguments: tuple[str, ...], said: str
) -> None:
    before = (root / "params.yaml").read_text()
    done = run(*arguments, cwd=root)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert said in done.stderr
    assert (root / "params.yaml").read_text() == before


def test_choosing_a_profile_changes_its_lines_and_no_other(root: Path, tmp_path: Path) -> None:
    mine = tmp_path / "it's mine"
    mine.mkdir()
    before = (root / "params.yaml").read_text().splitlines()
    choose(root, "photos", folder=str(mine), backbone="some.npz")
    after = (root / "params.yaml").read_text().splitlines()
    changed = [new for old, new in zip(before, after, strict=True) if old != new]
    assert [line.split(":")[0].strip() for line in changed] == ["profile", "folder", "backbone"]
    settings = load(root)
    assert (settings.name, settings.params.data.folder) == ("photos", str(mine))


def test_a_profile_that_does_not_hold_leaves_params_as_they_were(root: Path) -> None:
    before = (root / "params.yaml").read_text()
    with pytest.raises(ReplicationError, match=r"data\.folder"):
        choose(root, "photos", folder=None, backbone=None)
    assert (root / "params.yaml").read_text() == before


def test_runs_lists_each_run_with_the_papers_numbers(root: Path) -> None:
    shown = CliRunner().invoke(app, ["runs", "--root", str(root)], env={"COLUMNS": "160"})
    assert shown.exit_code == 0, shown.output
    for name in load(root).experiments.runs:
        assert name in shown.output
    assert "68.96 / 71.57" in shown.output  # table 3, ASPP-L
