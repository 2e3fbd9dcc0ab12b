"""`replication doctor`: what is wrong is named with its cure, and what is right passes."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from typer.testing import CliRunner

from replication.cli import app
from replication.data.labels import write_label
from replication.doctor import disk, engines, examine, inputs, machine, repository, versions
from replication.doctor.finding import Finding, gib
from replication.plan import Settings, load

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The repository's settings, to edit."""
    for name in ("params.yaml", "experiments.yaml", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "profiles", tmp_path / "profiles")
    return tmp_path


def change(root: Path, **values: Any) -> Settings:
    """Set values of params.yaml, a dot in a name as two underscores; load the settings."""
    path = root / "params.yaml"
    params = yaml.safe_load(path.read_text())
    for name, value in values.items():
        place, (*above, key) = params, name.split("__")
        for part in above:
            place = place.setdefault(part, {})
        place[key] = value
    path.write_text(yaml.safe_dump(params))
    return load(root, values.get("profile"))


def one(findings: Iterator[Finding]) -> Finding:
    (found,) = findings
    return found


# Versions -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("wanted", "status"), [(">=3.11", "ok"), (">=3.99", "wrong")])
def test_python(root: Path, wanted: str, status: str) -> None:
    (root / "pyproject.toml").write_text(f'[project]\nrequires-python = "{wanted}"\n')
    found = one(versions.python(root))
    assert found.status == status
    assert sys.version.split()[0] in found.said


def project(root: Path, dependencies: list[str], lock: str | None) -> Finding:
    text = f"[project]\nrequires-python = '>=3.11'\ndependencies = {json.dumps(dependencies)}\n"
    (root / "pyproject.toml").write_text(text)
    if lock is not None:
        (root / "requirements.lock").write_text(lock)
    return one(versions.packages(root))


@pytest.mark.parametrize(
    ("dependencies", "lock", "status", "said"),
    [
        (["numpy>=2"], f"numpy=={np.__version__} \\\n    --hash=sha256:00\n", "ok", "all 1 as in"),
        (["numpy>=99"], "", "wrong", "numpy is .*, needed >=99"),
        (["not-there>=1"], "", "wrong", "not-there is missing"),
        (["numpy>=2"], "numpy==1.0.0 \\\n", "note", r"numpy .* \(lock: 1\.0\.0\)"),
        (["numpy>=2"], "not-there==1.0 \\\n", "note", "not here: not-there"),
        (["numpy>=2"], "not-there==1.0 ; sys_platform == 'beos' \\\n", "ok", "all 0"),
        (["numpy>=2"], None, "note", "does not exist: versions are not compared"),
    ],
)
def test_packages(
    root: Path, dependencies: list[str], lock: str | None, status: str, said: str
) -> None:
    found = project(root, dependencies, lock)
    assert found.status == status
    assert re.search(said, found.said)
    assert bool(found.cure) == (status != "ok" and lock is not None)


def test_the_lock_is_read_as_uv_wrote_it() -> None:
    text = (ROOT / "requirements.lock").read_text()
    found = list(versions.locked(text))
    plain = re.findall(r"^([\w.-]+)==(\S+) \\$", text, re.M)  # those without markers
    assert set(plain) <= set(found)
    assert len(found) <= len(re.findall(r"^\S+==", text, re.M))
    assert dict(found)["torch"] == re.search(r"^torch==(\S+)", text, re.M)[1]  # type: ignore[index]


@pytest.mark.parametrize(
    ("torch_version", "vision_version", "status", "said"),
    [
        (None, "0.26.0", "wrong", "torch is not installed"),
        ("2.11.0+cpu", "0.26.0+cu128", "wrong", "built for different devices"),
        ("2.10.0", "0.26.0", "wrong", "which needs torch ==2.11.0"),
        ("2.11.0+cpu", "0.26.0+cpu", "ok", "from one place"),
    ],
)
def test_torch_and_torchvision_must_be_a_pair(
    monkeypatch: pytest.MonkeyPatch,
    torch_version: str | None,
    vision_version: str,
    status: str,
    said: str,
) -> None:
    monkeypatch.setattr(
        versions, "version", {"torch": torch_version, "torchvision": vision_version}.get
    )
    monkeypatch.setattr(versions.metadata, "requires", lambda _: ["numpy", "torch==2.11.0"])
    found = one(versions.torch_pair())
    assert (found.status, said in found.said) == (status, True)
    assert ("at once" in found.cure) == (status == "wrong" and torch_version is not None)


# The machine --------------------------------------------------------------------------------------


def test_the_device_is_what_torch_has(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(machine.shutil, "which", lambda _: None)
    assert one(machine.devices(load(root))).said.startswith("cpu, precision ")
    paper = one(machine.devices(load(root, "paper")))
    assert (paper.status, "sized for a GPU" in paper.said) == ("note", True)
    found = one(machine.devices(change(root, device="cuda")))
    assert found.status == "wrong"
    assert "use auto or cpu" in found.said


def test_a_gpu_is_named_with_its_memory_and_precision(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda n: f"GPU {n}")
    properties = SimpleNamespace(total_memory=80 * 2**30)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: properties)
    for fast, precision in ((True, "bf16-mixed"), (False, "32-true")):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda fast=fast, **_: fast)
        found = one(machine.devices(load(root, "paper")))
        assert found.status == "ok"
        assert found.said == f"cuda, precision {precision}: GPU 0, GPU 1, 80.0 GiB"


def test_a_gpu_that_torch_cannot_use_and_slow_bfloat16_are_noted(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(machine.shutil, "which", lambda _: "/usr/bin/nvidia-smi")
    assert "torch has no CUDA" in one(machine.devices(load(root))).said
    monkeypatch.setattr(machine.shutil, "which", lambda _: None)
    monkeypatch.setattr("replication.training.device._cpu_multiplies_bfloat16", lambda: False)
    found = one(machine.devices(change(root, precision="bf16-mixed")))
    assert (found.status, "emulated" in found.cure) == ("note", True)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert one(machine.devices(load(root))).said.startswith("mps, precision ")


def test_more_jobs_than_cores_are_noted(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("replication.repro.usable_cores", lambda: 2)
    assert one(machine.threads(load(root))).status == "ok"
    found = one(machine.threads(change(root, jobs=64)))
    assert (found.status, found.cure) == ("note", "set `jobs` in params.yaml to 2 or null")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert (
        "OMP_NUM_THREADS is 1"
        in one(machine.threads(change(root, jobs=None, profile="paper"))).said
    )


@pytest.mark.parametrize(
    ("usable", "status", "cure"), [(9, "ok", ""), (5, "note", "JOBS=2"), (1, "wrong", "micro_b")]
)
def test_memory_is_held_against_what_was_measured(
    root: Path, monkeypatch: pytest.MonkeyPatch, usable: int, status: str, cure: str
) -> None:
    """A training of 2 GiB, of which four run at once."""
    settings = load(root)
    monkeypatch.setattr("replication.repro.usable_cores", lambda: 4)
    monkeypatch.setattr(machine, "usable_memory", lambda: (usable * 2**30, ""))
    assert "no training of demo is measured" in one(machine.memory(settings)).said
    settings.place("results").mkdir(parents=True)
    for run, device, mib in (("a", "cpu", 100), ("b", "cpu", 2048), ("c", "cuda", 9999)):
        train = {"device": device, "peak_memory_mib": mib}
        path = settings.place("results") / f"{run}.json"
        path.write_text(json.dumps({"seeds": [{"train": train}]}))
    (settings.place("results") / "d.json").write_text("broken")
    found = one(machine.memory(settings))
    assert (found.status, "b trained in 2.0 GiB" in found.said) == (status, True)
    assert cure in found.cure


def test_a_limit_on_the_process_is_what_counts() -> None:
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (4 * 2**30, 4 * 2**30)); "
        "from replication.doctor.machine import usable_memory; print(usable_memory())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert done.strip() == f"({float(4 * 2**30)}, ' (ulimit -v)')"


@pytest.mark.parametrize(("free", "status"), [(64 * 2**20, "wrong"), (64 * 2**30, "ok")])
def test_shared_memory_is_for_the_loader_of_a_gpu(
    root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, free: int, status: str
) -> None:
    monkeypatch.setattr(machine, "_SHARED", tmp_path)
    monkeypatch.setattr(
        machine.shutil, "disk_usage", lambda _: SimpleNamespace(free=free, total=free, used=0)
    )
    monkeypatch.setattr("replication.training.device.choose_device", lambda _: "cpu")
    assert one(machine.shared_memory(load(root, "paper"))).status == "ok"
    monkeypatch.setattr("replication.training.device.choose_device", lambda _: "cuda")
    found = one(machine.shared_memory(load(root, "paper")))
    assert (found.status, "--shm-size" in found.cure) == (status, status == "wrong")


# Disk ---------------------------------------------------------------------------------------------


def test_the_need_is_above_what_the_archives_and_the_demo_take(root: Path) -> None:
    listed = 0
    for path in (ROOT / "dvc.lock", *ROOT.glob("pipelines/*/dvc.lock")):
        for stage in yaml.load(path.read_text(), yaml.CSafeLoader)["stages"].values():
            outs = [out for out in stage.get("outs", []) if "/demo" in out["path"]]
            listed += sum(out.get("size", 0) for out in outs)
    assert listed < disk.needed_bytes(load(root)) < 6 * listed
    from replication.data.sources import SOURCES

    archives = sum(source.size or 0 for source in SOURCES.values())
    assert archives > 3 * 10**9
    assert 3 * archives < disk.needed_bytes(load(root, "paper")) < 10**12


def test_room_counts_what_is_made_already(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(root)
    needed = disk.needed_bytes(settings)
    monkeypatch.setattr(
        disk.shutil, "disk_usage", lambda _: SimpleNamespace(free=int(needed / 2), total=0, used=0)
    )
    found = one(disk.room(settings))
    assert (found.status, found.cure.startswith("make room")) == ("wrong", True)
    place = settings.place("scores")
    place.mkdir(parents=True)
    with (place / "all").open("wb") as stream:
        stream.truncate(int(needed / 3))
    assert one(disk.room(settings)).status == "ok"


def test_folders_that_cannot_be_written_to_are_named(root: Path) -> None:
    assert one(disk.folders(load(root))).status == "ok"
    (root / "scores").mkdir()
    (root / "scores" / "demo").write_text("a file")
    found = one(disk.folders(load(root)))
    assert found.status == "wrong"
    assert str(root / "scores" / "demo") in found.said


# The repository -----------------------------------------------------------------------------------


def test_git(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outside = one(repository.git(root))
    assert (outside.status, "not a git repository" in outside.said) == ("wrong", True)
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    for commit, status in (("a" * 40, "ok"), ("a" * 40 + "+changes", "note"), (None, "note")):
        monkeypatch.setattr(repository, "git_commit", lambda commit=commit: commit)
        assert one(repository.git(root)).status == status
    monkeypatch.setenv("PATH", str(root))
    assert one(repository.git(root)).cure == "install git"


def test_dvc(root: Path) -> None:
    assert one(repository.dvc(root)).cure == "restore it with `git checkout .dvc`"
    (root / ".dvc" / "tmp").mkdir(parents=True)
    (root / ".dvc" / "config").write_text("")
    assert one(repository.dvc(root)).status == "ok"
    lock = root / ".dvc" / "tmp" / "rwlock"
    gone = subprocess.Popen(["true"])
    gone.wait()
    for pid, status in ((os.getpid(), "note"), (gone.pid, "ok")):
        holder = {"pid": pid, "cmd": "dvc repro"}
        for held in ({"write": {"a": holder}}, {"read": {"a": [holder]}}):
            lock.write_text(json.dumps(held))
            assert one(repository.dvc(root)).status == status
    for broken in ("", '{"write"', "[]", '{"write": {"a": {"cmd": 1}}}'):
        lock.write_text(broken)
        found = one(repository.dvc(root))
        assert (found.status, found.cure) == ("wrong", "delete it while no DVC runs")


def test_the_sample(root: Path) -> None:
    missing = one(repository.sample(root, load(root)))
    assert (missing.status, "`dvc pull data.dvc`" in missing.cure) == ("wrong", True)
    assert one(repository.sample(root, load(root, "paper"))).status == "note"
    folder = root / "data" / "sample" / "archives"
    folder.mkdir(parents=True)
    (folder / "a.tar").write_bytes(b"abc")
    digest = hashlib.sha256(b"abc").hexdigest()
    listed = {"a.tar": {"sha256": digest, "size": 3}}
    (folder / "checksums.json").write_text(json.dumps(listed))
    assert one(repository.sample(root, load(root))).status == "ok"
    (folder / "a.tar").write_bytes(b"abd")
    assert "missing or damaged (a.tar)" in one(repository.sample(root, None)).said
    (folder / "checksums.json").write_text("[1]")
    assert "is broken" in one(repository.sample(root, None)).said


# What a profile starts from -----------------------------------------------------------------------


def test_weights(root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def found(settings: Settings) -> dict[str, Finding]:
        return {finding.what: finding for finding in inputs.weights(settings)}

    both = found(load(root))
    assert [one.status for one in both.values()] == ["wrong", "wrong"]
    file = root / "mine.npz"
    settings = change(root, data__backbone="mine.npz", data__resnet_backbone="mine.npz")
    file.write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    assert "note of git-lfs" in found(settings)["vgg16 weights"].said
    file.write_bytes(b"PK")
    assert found(settings)["vgg16 weights"].status == "ok"
    assert "ends in '.npz'" in found(settings)["resnet101 weights"].said
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    settings = change(
        root, data__backbone=None, data__resnet_backbone=None, data__folder=".", profile="photos"
    )
    # the profile makes no ResNet
    assert list(found(settings)) == ["vgg16 weights"]
    assert found(settings)["vgg16 weights"].status == "note"
    kept = tmp_path / "torch" / "hub" / "checkpoints" / "vgg16-397923af.pth"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"")
    assert found(settings)["vgg16 weights"].status == "ok"


def test_a_folder_of_ones_own(root: Path) -> None:
    mine = root / "mine"
    settings = change(root, profile="photos", data__folder="mine")
    assert one(inputs.data(settings)).status == "wrong"
    lists = mine / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    for split, name in (("train", "a"), ("val", "b")):
        (lists / f"{split}.txt").write_text(f"{name}\n")
        (mine / "JPEGImages").mkdir(exist_ok=True)
        Image.new("RGB", (3, 2)).save(mine / "JPEGImages" / f"{name}.jpg")
        write_label(mine / "SegmentationClass" / f"{name}.png", np.zeros((2, 3), np.uint8))
    assert one(inputs.data(settings)).said.endswith("mine: train 1, val 1")


def test_official_archives(root: Path) -> None:
    settings = change(
        root, profile="paper", data__archives__voc2012="VOC.tar", data__archives__sbd="b.tgz"
    )
    (root / "VOC.tar").write_bytes(b"")
    coco = settings.place("archives", "coco") / "train2014.zip"
    coco.parent.mkdir(parents=True)
    coco.write_bytes(b"")
    meta = settings.place("datasets", "pascal_context") / "meta.json"
    meta.parent.mkdir(parents=True)
    meta.write_text("{}")
    lines = [(found.status, found.what, found.said) for found in inputs.data(settings)]
    by_archive = {said.split(":")[0]: status for status, _, said in lines}
    assert by_archive["voc2012"] == "ok"
    assert by_archive[f"{root / 'b.tgz'}, which data.archives.sbd names, does not exist"] == "wrong"
    assert by_archive["coco_images"] == "ok"
    assert by_archive["coco_annotations"] == by_archive["voc2010"] == "note"
    assert by_archive["cityscapes_images"] == "wrong"  # an account is needed
    assert ("ok", "data pascal_context", "prepared") in lines


# The CRF's engines and the whole ------------------------------------------------------------------


def test_engines(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert one(engines.numba()).status == "ok"
    monkeypatch.setattr("replication.crf.lattice.compiled.cache_folder", lambda: None)
    assert "NUMBA_CACHE_DIR" in one(engines.numba()).cure

    def broken(_: str) -> None:
        raise ImportError("no module")

    monkeypatch.setattr(engines, "import_module", broken)
    assert one(engines.pydensecrf(load(root))).status == "note"
    wanted = one(engines.pydensecrf(change(root, crf__engine="pydensecrf")))
    assert (wanted.status, "`crf.engine: lattice`" in wanted.cure) == ("wrong", True)


def test_one_part_that_breaks_or_settings_that_do_not_hold_stop_no_other(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(_: Path) -> Iterator[Finding]:
        raise RuntimeError("unforeseen")

    monkeypatch.setattr(versions, "torch_pair", lambda: iter(()))
    monkeypatch.setattr(repository, "git", breaks)
    (root / "params.yaml").write_text("profile: [")
    found = {one.what: one for one in examine.examine(root)}
    assert "params.yaml" in found["settings"].said
    assert found["git"].said == "can't be examined (RuntimeError: unforeseen)"
    assert {"python", "packages", "numba", "dvc", "sample"} <= found.keys()
    assert "disk" not in found


@pytest.mark.parametrize(
    ("statuses", "code"), [(("ok", "note"), 0), (("ok", "wrong", "note"), 1), (("ok",), 0)]
)
def test_the_command_prints_a_line_each_and_its_status_tells(
    monkeypatch: pytest.MonkeyPatch, statuses: tuple[Any, ...], code: int
) -> None:
    made = [Finding(status, "a part", "seen\ntwice", "cure") for status in statuses]
    monkeypatch.setattr(examine, "examine", lambda *_: made)
    shown = CliRunner().invoke(app, ["doctor"])
    assert shown.exit_code == code
    assert shown.output.splitlines() == [f"{s:<5}  a part  seen twice; cure" for s in statuses]
    as_json = CliRunner().invoke(app, ["doctor", "--json"])
    assert as_json.exit_code == code
    assert [line["status"] for line in json.loads(as_json.stdout)] == list(statuses)


def test_sizes_in_words() -> None:
    assert [gib(2**30 * 3.14), gib(2**29), gib(40 * 2**20)] == ["3.1 GiB", "0.5 GiB", "40 MiB"]


def test_on_this_very_machine(tmp_path: Path) -> None:
    """What the tests run in is in order; where the sample is pulled, that is too."""
    found = {one.what: one for one in examine.examine(ROOT, "demo")}
    assert found["settings"].status == "ok"
    for what in ("python", "torch", "numba", "device", "folders", "memory"):
        assert found[what].status != "wrong", found[what]
    assert {one.line(0).count("\n") for one in found.values()} == {0}
