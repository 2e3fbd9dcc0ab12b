"""`dvc repro` and its stage are stopped together, three times on the way from data to report.

The whole pipeline of one run at toy size, with DVC and the programs as a user starts them: some two
minutes. ``REPLICATION_WEATHER=1`` asks for it, ``REPLICATION_WEATHER=20`` for twenty storms.
Besides: what DVC makes of files whose times jump.
"""

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pytest
import yaml

from replication.plan import Settings

RUN, SEARCH, SEED = "poly_b10_20k", "vgg_large_fov", 3
KINDS = ("archives", "datasets", "runs", "scores", "searches", "refined", "results", "metrics")
HERE = Path(__file__).resolve().parents[2]
STORMS = int(os.environ.get("REPLICATION_WEATHER", "0"))
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
# A storm has a signal in a stage of each of these.
PARTS = (
    ("prepare@voc2012", f"train@{RUN}"),
    (f"score@{RUN}", f"search@{SEARCH}", f"refine@{RUN}", f"evaluate@{RUN}"),
    ("tables", "figures", "report"),
)
Made = Callable[[Path], dict[str, Any]]
# DVC as its command does it, heeding SIGINT whoever started the tests.
DVC = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from dvc.cli import main
sys.exit(main(sys.argv[1:]))
"""


def dvc(root: Path, *arguments: str) -> "subprocess.Popen[str]":
    """Start DVC in a process group of its own."""
    environment = os.environ | {
        "DVC_NO_ANALYTICS": "1",
        "DVC_SITE_CACHE_DIR": str(root / ".site"),
        "PYTHONPATH": str(HERE),
        "PYTHONUNBUFFERED": "1",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    return subprocess.Popen(
        [sys.executable, "-c", DVC, *arguments],
        cwd=root,
        env=environment,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def repository(root: Path) -> None:
    """Make a repository of one run around a root: its search, and no other."""
    experiments = yaml.safe_load((HERE / "experiments.yaml").read_text())
    experiments |= {"datasets": ["voc2012"], "families": {}}
    for kind, name in (("runs", RUN), ("searches", SEARCH)):
        experiments[kind] = {name: experiments[kind][name]}
    (root / "experiments.yaml").write_text(yaml.safe_dump(experiments))
    for name in ("dvc.yaml", ".dvcignore", ".gitignore"):
        shutil.copy(HERE / name, root)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(HERE / "replication", root / "replication", ignore=ignored)
    for folder in ("archives", "backbones"):
        (root / "data" / "sample" / folder).mkdir(parents=True)
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    who = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    first = ["git", *who, "commit", "-q", "--allow-empty", "-m", "first"]
    subprocess.run(first, cwd=root, check=True)  # DVCLive asks for its hash
    assert dvc(root, "init", "-q").communicate() == ("", None)


def repro(
    root: Path, watch: Callable[[int, str], object] = lambda *_: None
) -> tuple[int, list[str], str]:
    """Run `dvc repro` to its end; ``watch`` is given its id, and each stage as it starts.

    Returns its status, the stages that it started, and what it said.
    """
    started, said = [], ""
    with dvc(root, "repro") as process:
        assert process.stdout is not None
        for line in process.stdout:
            said += line
            if found := re.match(r"Running stage '(\S+)':", line):
                started.append(found[1])
                watch(process.pid, found[1])
    return process.returncode, started, said


def calm(root: Path) -> dict[str, float]:
    """Run `dvc repro` undisturbed; return each stage's seconds, in order."""
    times: list[float] = []
    status, stages, said = repro(root, lambda *_: times.append(time.monotonic()))
    assert status == 0, said
    times.append(time.monotonic())
    return {stage: times[n + 1] - times[n] for n, stage in enumerate(stages)}


def disturbed(
    root: Path, kind: signal.Signals, stages: Collection[str], wait: float
) -> tuple[int, list[str]]:
    """Run `dvc repro`; send it and its stage a signal, seconds after one of ``stages`` starts.

    Returns its status, and the stages that it started.
    """
    sent = False

    def send(group: int, stage: str) -> None:
        nonlocal sent
        if not sent and stage in stages:
            time.sleep(wait)
            os.killpg(group, kind)
            sent = True

    status, started, said = repro(root, send)
    assert sent, said
    return status, started


def pages_made_again(root: Path, made: Made) -> dict[str, Any]:
    """Return the report that is made, undisturbed, of what is there: its pages show seconds."""
    shutil.rmtree(root / "report")
    command = [sys.executable, "-m", "replication", "stage", "report"]
    environment = os.environ | {"PYTHONPATH": str(HERE)}
    subprocess.run(command, cwd=root, env=environment, check=True)
    return {name: found for name, found in made(root).items() if name.startswith("report/")}


def jump(root: Path) -> int:
    """Set the times of all that the stages have made to 1970 or 2100, in turn; return how many."""
    files = [path for kind in KINDS for path in (root / kind).rglob("*") if path.is_file()]
    for number, path in enumerate(files):
        seconds = (0, 4_102_444_800)[number % 2]
        os.utime(path, (seconds, seconds))
    return len(files)


def up_to_date(root: Path, *targets: str) -> bool:
    """Whether `dvc status` finds nothing to do."""
    with dvc(root, "status", "--quiet", *targets) as process:
        assert process.stdout is not None
        said = process.stdout.read()
    assert not said
    return process.returncode == 0


def test_file_times_that_jump_leave_nothing_to_do(
    finished: Callable[[str, Path], Settings], tmp_path: Path
) -> None:
    root = finished("tables", tmp_path / "root").root
    repository(root)
    chain = [f"{stage}@{RUN}" for stage in ("train", "score", "refine", "evaluate")]
    targets = ["imagenet", f"search@{SEARCH}", *chain]
    with dvc(root, "commit", "--force", "--quiet", *targets) as process:  # as if DVC had run them
        assert process.stdout is not None
        assert not process.stdout.read()
    assert up_to_date(root, *targets)
    assert jump(root) > 20
    assert up_to_date(root, *targets)
    (root / "scores" / "toy" / RUN / f"seed_{SEED}" / "v0.npz").write_bytes(b"changed")
    assert jump(root) > 20
    assert not up_to_date(root, *targets)


@pytest.mark.skipif(not STORMS, reason="takes minutes: set REPLICATION_WEATHER=1")
@pytest.mark.timeout(1200 * max(1, STORMS))
def test_dvc_repro_goes_on_to_the_report(toy: Settings, made: Made, tmp_path: Path) -> None:
    repository(toy.root)
    shutil.copytree(toy.root, tmp_path / "calm" / "root", symlinks=True)
    seconds = calm(tmp_path / "calm" / "root")
    order, wanted = list(seconds), made(tmp_path / "calm" / "root")
    assert {"tables/toy/table3.md", "figures/toy/figure10b.png", "report/toy/index.html"} < set(
        wanted
    )
    for number in range(STORMS):
        rng, root = random.Random(number), tmp_path / "stormy" / "root"
        shutil.rmtree(root.parent, ignore_errors=True)
        shutil.copytree(toy.root, root, symlinks=True)
        ran, hit, ended = Counter[str](), Counter[str](), 0
        for kind, part in zip(rng.sample(SIGNALS, 3), PARTS, strict=True):
            stage = rng.choice(part)
            later = order[order.index(stage) :]  # a faster machine than before may be beyond it
            wait = rng.uniform(0.1, 0.6) * seconds[stage]
            status, started = disturbed(root, kind, later, wait)
            ran.update(started)
            hit.update(started[-1:])
            ended += status != 0
        assert ended > 1
        status, started, said = repro(root)
        assert status == 0, said
        ran.update(started)
        # each stage ran once, and at most those that were hit once more: nothing finished is lost
        assert Counter(order) <= ran <= Counter(order) + hit
        jump(root)
        assert up_to_date(root)
        found = made(root)
        assert found.keys() == wanted.keys()
        others = [name for name in wanted if found[name] != wanted[name]]
        assert [name for name in others if not name.endswith(".html")] == []
        again = pages_made_again(root, made)
        assert [name for name in again if found[name] != again[name]] == []
