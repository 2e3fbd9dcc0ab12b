"""Killed or interrupted at any moment, a run goes on and ends as if nothing had happened."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from replication import stages
from replication.plan import Settings
from replication.provenance import sha256_file
from replication.training import run

# A training process that kills itself while it writes checkpoint number argv[3], if given.
CHILD = """
import os, signal, sys
from pathlib import Path
import torch
torch.set_num_threads(int(sys.argv[2]))
import lightning as L
from replication import stages
from replication.plan import load
if len(sys.argv) > 3:
    save, count = L.Trainer.save_checkpoint, 0
    def killed(self, path, *args, **kwargs):
        global count
        count += 1
        save(self, path, *args, **kwargs)
        if count == int(sys.argv[3]):
            Path(path).write_bytes(Path(path).read_bytes()[:5000])
            os.kill(os.getpid(), signal.SIGKILL)
    L.Trainer.save_checkpoint = killed
stages.train(load(Path(sys.argv[1])), "poly_b10_20k")
"""


def child(settings: Settings, *arguments: str) -> subprocess.Popen[bytes]:
    threads = str(torch.get_num_threads())
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(settings.root), threads, *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def test_killed_twice_and_resumed_equals_undisturbed(tiny: Settings, toy: Any) -> None:
    out, checkpoints = toy.places
    process = child(tiny)
    curve = checkpoints / "live" / "plots" / "metrics" / "lr.tsv"
    last = checkpoints / "last.ckpt"
    deadline = time.monotonic() + 300
    # A moment mid-way: a checkpoint is there, and a row of the curve that is perhaps beyond it.
    while not (last.is_file() and curve.is_file() and len(curve.read_text().splitlines()) > 1):
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (out / "train.json").exists()
    first = torch.load(last, weights_only=True)["global_step"]
    assert first in (7, 14, 21)

    # Killed again while the next checkpoint is half written: the one before it must serve.
    if first < 21:
        assert child(tiny, "1").wait() == -signal.SIGKILL
        assert torch.load(last, weights_only=True)["global_step"] == first

    stages.train(tiny, toy.name)
    killed = load_file(out / "weights.safetensors")
    rows = pd.read_csv(out / "curve.tsv", sep="\t")
    record = json.loads((out / "train.json").read_text())
    assert not checkpoints.exists()

    shutil.rmtree(tiny.place("runs"))
    stages.train(tiny, toy.name)
    undisturbed = load_file(out / "weights.safetensors")
    assert killed.keys() == undisturbed.keys()
    assert all(torch.equal(killed[name], undisturbed[name]) for name in killed)
    assert record["weights_sha256"] == sha256_file(out / "weights.safetensors")
    # No update stands twice, none is missing, and the numbers are the same.
    assert rows["step"].tolist() == [10, 20, 24]
    pd.testing.assert_frame_equal(rows, pd.read_csv(out / "curve.tsv", sep="\t"))


@pytest.mark.parametrize("update", [10, 14])
def test_interrupted_at_any_update_the_curve_is_whole(
    monkeypatch: pytest.MonkeyPatch, update: int, toy: Any
) -> None:
    last = toy.partial(monkeypatch, update)
    assert torch.load(last, weights_only=True)["global_step"] == update // 7 * 7
    for file in last.parent.glob("live/plots/metrics/*.tsv"):
        file.write_text("")  # cut short by a crash
    live: list[list[str]] = []
    write = run.Curves.write

    def spy(self: run.Curves, path: Path) -> None:
        loss = self.folder / "plots" / "metrics" / "loss.tsv"
        live.append([line.split("\t")[0] for line in loss.read_text().splitlines()])
        write(self, path)

    monkeypatch.setattr(run.Curves, "write", spy)
    toy.train()
    rows = pd.read_csv(toy.places[0] / "curve.tsv", sep="\t")
    assert rows["step"].tolist() == [10, 20, 24]
    assert live == [["step", "10", "20", "24"]]  # what `dvc plots show` draws, too
