"""Devices, cores, memory and shared memory of the machine, each held against what is needed."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from replication.doctor import machine
from replication.plan import load


def test_the_device_is_what_torch_has(
    root: Path, monkeypatch: pytest.MonkeyPatch, change: Any, one: Any
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(machine.shutil, "which", lambda _: None)
    assert one(machine.devices(load(root))).said.startswith("cpu, precision ")
    paper = one(machine.devices(load(root, "paper")))
    assert (paper.status, "sized for a GPU" in paper.said) == ("note", True)
    found = one(machine.devices(change(device="cuda")))
    assert found.status == "wrong"
    assert "use auto or cpu" in found.said


def test_a_gpu_is_named_with_its_memory_and_precision(
    root: Path, monkeypatch: pytest.MonkeyPatch, one: Any
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
    root: Path, monkeypatch: pytest.MonkeyPatch, change: Any, one: Any
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(machine.shutil, "which", lambda _: "/usr/bin/nvidia-smi")
    assert "torch has no CUDA" in one(machine.devices(load(root))).said
    monkeypatch.setattr(machine.shutil, "which", lambda _: None)
    monkeypatch.setattr("replication.training.device._cpu_multiplies_bfloat16", lambda: False)
    found = one(machine.devices(change(precision="bf16-mixed")))
    assert (found.status, "emulated" in found.cure) == ("note", True)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert one(machine.devices(load(root))).said.startswith("mps, precision ")


def test_more_jobs_than_cores_are_noted(
    root: Path, monkeypatch: pytest.MonkeyPatch, change: Any, one: Any
) -> None:
    monkeypatch.setattr("replication.repro.usable_cores", lambda: 2)
    assert one(machine.threads(load(root))).status == "ok"
    found = one(machine.threads(change(jobs=64)))
    assert (found.status, found.cure) == ("note", "set `jobs` in params.yaml to 2 or null")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert "OMP_NUM_THREADS is 1" in one(machine.threads(change(jobs=None, profile="paper"))).said


@pytest.mark.parametrize(
    ("usable", "status", "cure"), [(9, "ok", ""), (5, "note", "JOBS=2"), (1, "wrong", "micro_b")]
)
def test_memory_is_held_against_what_was_measured(
    root: Path, monkeypatch: pytest.MonkeyPatch, *, usable: int, status: str, cure: str, one: Any
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
    root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, free: int, status: str, one: Any
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
