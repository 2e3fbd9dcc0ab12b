"""`replication repro` with DVC's real locks, and stages that only write what theirs would."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from replication.errors import ReplicationError
from replication.plan import load
from replication.repro import processes, repro

ROOT = Path(__file__).resolve().parents[1]
STUB = """#!{python}
import os, sys, time
from pathlib import Path
_, stage, *name = sys.argv[1:]
name = name[0] if name else ""
places = {{
    "fetch": ["archives/demo/{{0}}/a"], "prepare": ["datasets/demo/{{0}}/meta.json"],
    "imagenet": ["runs/demo/imagenet/a"], "train": ["runs/demo/{{0}}/a"],
    "score": ["scores/demo/{{0}}/a"], "search": ["searches/demo/{{0}}.json"],
    "refine": ["refined/demo/{{0}}/a"], "tables": ["tables/demo/a"],
    "evaluate": ["results/demo/{{0}}.json", "results/demo/{{0}}.npz", "metrics/demo/{{0}}.json"],
    "figures": ["figures/demo/a"], "report": ["report/demo/a"],
}}
with open("said", "a") as log:
    print(stage, name, file=log)
if Path("hang").exists() and stage == "train":
    Path(f"hanging_{{name}}").write_text(str(os.getpid()))
    time.sleep(600)
if Path("broken").exists() and (stage, name) == ("score", "aspp_l"):
    sys.exit("error: the disk is full")
partners = {{"aspp_l": "train resnet_coco", "resnet_coco": "train aspp_l"}}
if stage == "train" and name in partners:  # each waits for the other: only side by side they end
    for _ in range(600):
        if partners[name] in Path("said").read_text():
            break
        time.sleep(0.1)
    else:
        sys.exit("error: alone for a minute")
for place in places[stage]:
    path = Path(place.format(name))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{{}}")
"""


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of three runs: one starts from another of them, which is of a family."""
    experiments = yaml.safe_load((ROOT / "experiments.yaml").read_text())
    families = experiments["families"]
    first = families["coco"]["resnet_coco"] | {"data": "voc2012"}
    then = families["voc_resnet"]["resnet_msc_coco"] | {"search": "vgg_aspp"}
    experiments |= {
        "datasets": ["voc2012"],
        "runs": {"aspp_l": experiments["runs"]["aspp_l"]},
        "families": {"coco": {"resnet_coco": first}, "voc_resnet": {"resnet_msc_coco": then}},
        "searches": {"vgg_aspp": {"run": "aspp_l", "data": "voc2012"}},
    }
    for name in ("coco", "voc_resnet"):
        shutil.copytree(ROOT / "pipelines" / name, tmp_path / "pipelines" / name)
        (tmp_path / "pipelines" / name / "dvc.lock").unlink(missing_ok=True)
    for name in ("params.yaml", "profiles", "dvc.yaml"):
        place = ROOT / name
        (shutil.copytree if place.is_dir() else shutil.copy)(place, tmp_path / name)
    (tmp_path / "experiments.yaml").write_text(yaml.safe_dump(experiments))
    for folder in ("data/sample/archives", "data/sample/backbones"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "a").write_text("")
    for path in (ROOT / "replication").rglob("*.py"):  # DVC hashes the code that stages name
        copy = tmp_path / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text("# code\n")
    (tmp_path / "bin").mkdir()
    stub = tmp_path / "bin" / "replication"
    stub.write_text(STUB.format(python=sys.executable))
    stub.chmod(0o755)
    monkeypatch.setenv("PATH", f"{stub.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / ".site"))
    for command in (["git", "init", "-q"], [sys.executable, "-m", "dvc", "init", "-q"]):
        subprocess.run(command, cwd=tmp_path, check=True)
    return tmp_path


def said(workspace: Path) -> list[str]:
    return sorted((workspace / "said").read_text().splitlines())


def test_all_is_made_once_and_trainings_run_side_by_side(workspace: Path) -> None:
    repro(load(workspace), jobs=2, cores=2)
    runs = ("aspp_l", "resnet_msc_coco")
    expected = [
        *("imagenet ", "fetch voc2012", "prepare voc2012", "search vgg_aspp", "train resnet_coco"),
        *("tables ", "figures ", "report "),
        *(f"{stage} {run}" for stage in ("train", "score", "refine", "evaluate") for run in runs),
    ]
    assert said(workspace) == sorted(expected)
    (workspace / "said").write_text("")
    repro(load(workspace), jobs=2, cores=2)
    assert said(workspace) == []
    command = [sys.executable, "-m", "dvc", "status", "--quiet"]
    assert subprocess.run(command, cwd=workspace, check=False).returncode == 0


def test_a_stage_that_fails_is_named_and_what_is_made_stays(
    workspace: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (workspace / "broken").touch()
    with pytest.raises(ReplicationError, match="a stage failed"):
        repro(load(workspace), jobs=2, cores=2)
    told = capfd.readouterr().out
    assert "the disk is full" in told
    assert "score@aspp_l" in told
    assert "train resnet_coco" in said(workspace)
    (workspace / "broken").unlink()
    (workspace / "said").write_text("")
    repro(load(workspace), jobs=2, cores=2)
    assert "score aspp_l" in said(workspace)
    assert not [line for line in said(workspace) if line.startswith(("train aspp_l", "prepare"))]


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def await_(condition: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_it_alone_ends_the_stages_too(
    workspace: Path, jobs: int, kind: signal.Signals
) -> None:
    (workspace / "hang").touch()
    # What a shell starts in the background ignores SIGINT, this test's runner perhaps too.
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    code += "from replication.cli import main; main()"
    options = ["repro", "--jobs", str(jobs), "--root", str(workspace)]
    process = subprocess.Popen(
        [sys.executable, "-c", code, *options], cwd=ROOT, stderr=subprocess.PIPE, text=True
    )
    await_(lambda: len(list(workspace.glob("hanging_*"))) == jobs)
    await_(lambda: all(path.read_text() for path in workspace.glob("hanging_*")))
    process.send_signal(kind)
    _, told = process.communicate(timeout=90)
    assert process.returncode == 128 + kind
    assert told.splitlines()[-1].endswith("run the same command again to go on")
    for path in workspace.glob("hanging_*"):
        pid = int(path.read_text())
        await_(lambda pid=pid: gone(pid))  # type: ignore[misc]
    (workspace / "hang").unlink()
    repro(load(workspace), jobs=2, cores=2)  # no lock is left
    assert "report " in said(workspace)


@pytest.mark.parametrize(
    ("profile", "jobs", "cores", "expected"),
    [
        ("demo", None, 2, 2),
        ("demo", None, 64, 8),
        ("demo", 3, 2, 3),
        ("paper", None, 16, 1),
        ("paper", 2, 16, 2),
    ],
)
def test_small_networks_run_side_by_side(
    profile: str, jobs: int | None, cores: int, expected: int
) -> None:
    assert processes(load(ROOT, profile), jobs, cores) == expected


def test_no_process_at_all_is_refused() -> None:
    with pytest.raises(ReplicationError, match="`--jobs` is 0; set at least 1"):
        processes(load(ROOT, "demo"), 0, 2)
