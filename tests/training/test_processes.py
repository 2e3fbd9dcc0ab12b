"""Two processes (gloo, on this machine) against one: the same losses, the same weights."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from safetensors.torch import load_file

from replication.errors import ReplicationError
from replication.plan import Settings, load
from replication.provenance import read_record
from replication.training.crops import From
from replication.training.module import dropout_seed
from replication.training.processes import Processes, choose_processes, is_first

RUN, SEED, UPDATES = "poly_b10_20k", 3, 20
# A file, and no `python -c`: the first process starts the second by its own command.
SCRIPT = """
import sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from replication import stages
from replication.plan import load
from replication.training import callbacks
callbacks.LOG_EVERY = 1
stages.train(load(Path(sys.argv[1])), sys.argv[2])
"""
LIMIT = 300


@pytest.fixture
def root(tiny: Settings) -> Path:
    """Return a root where a run takes 20 updates of 4 crops, without dropout."""
    change(tiny.root / "profiles" / "tiny.yaml", dropout=0.0, iterations_factor=0.001)
    (tiny.root / "script.py").write_text(SCRIPT)
    return tiny.root


def change(path: Path, **values: Any) -> None:
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | values))


def start(root: Path, **variables: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(root / "script.py"), str(root), RUN],
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def finish(*processes: subprocess.Popen[str]) -> str:
    """Wait for all; return what they said."""
    said = [process.communicate(timeout=LIMIT)[0] for process in processes]
    assert not any(process.returncode for process in processes), "\n".join(said)
    return "\n".join(said)


Outcome = tuple[pd.DataFrame, dict[str, torch.Tensor], dict[str, Any]]


def outcome(root: Path) -> Outcome:
    """Return the curve, the weights and the record of the run, and forget it."""
    settings = load(root)
    assert not settings.place("checkpoints", RUN, SEED).exists()
    out = settings.place("runs", RUN, SEED)
    found = (
        pd.read_csv(out / "curve.tsv", sep="\t"),
        load_file(out / "weights.safetensors"),
        read_record(out / "train.json"),
    )
    shutil.rmtree(out)
    return found


def trained(root: Path, devices: int) -> Outcome:
    change(root / "params.yaml", devices=devices)
    finish(start(root))
    return outcome(root)


def same_but_for_rounding(one: Outcome, two: Outcome) -> None:
    assert one[0]["step"].tolist() == two[0]["step"].tolist() == list(range(1, UPDATES + 1))
    np.testing.assert_allclose(two[0]["loss"], one[0]["loss"], rtol=0, atol=1e-4)
    np.testing.assert_array_equal(two[0]["lr"], one[0]["lr"])
    for name, weights in one[1].items():
        torch.testing.assert_close(two[1][name], weights, rtol=1e-3, atol=1e-5, msg=name)


def test_two_processes_learn_what_one_learns_killed_and_gone_on_by_srun(root: Path) -> None:
    one, two = trained(root, 1), trained(root, 2)
    assert (one[2]["processes"], two[2]["processes"]) == (1, 2)
    assert (one[2]["device"], two[2]["device"]) == ("cpu", "2 x cpu")  # speeds are not compared
    assert one[2]["fingerprint"] == two[2]["fingerprint"]
    same_but_for_rounding(one, two)
    assert np.ptp(one[0]["loss"]) > 1e-3  # the bound of 1e-4 is one that can be missed

    last = load(root).place("checkpoints", RUN, SEED) / "last.ckpt"
    first = start(root)
    deadline = time.monotonic() + LIMIT
    while not last.is_file():
        assert first.poll() is None, first.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.kill(first.pid, signal.SIGKILL)
    first.communicate(timeout=60)  # the second process holds the pipe until it ends, too
    assert torch.load(last, weights_only=True)["global_step"] in (7, 14)

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    slurm = {"JOB_ID": "7", "NTASKS": "2", "NTASKS_PER_NODE": "2", "NNODES": "1"}
    slurm |= {"STEP_NUM_TASKS": "2", "NODEID": "0", "NODELIST": "127.0.0.1"}
    tasks = [slurm | {"PROCID": n, "LOCALID": n} for n in "01"]
    named = [{f"SLURM_{key}": value for key, value in task.items()} for task in tasks]
    said = finish(*(start(root, MASTER_PORT=port, **task) for task in named))
    assert said.count("goes on from update") == 1
    gone_on = outcome(root)
    assert all(torch.equal(gone_on[1][name], two[1][name]) for name in two[1])
    pd.testing.assert_frame_equal(gone_on[0], two[0])


def test_two_processes_average_by_image_and_over_scales_as_one(root: Path) -> None:
    """The other divisor of the loss, four terms of it, and a micro-batch for each crop."""
    path = root / "experiments.yaml"
    experiments = yaml.safe_load(path.read_text())
    run = experiments["runs"][RUN]
    run["recipe"] = run["recipe"] | {"average": "image"}
    run["multi_scale"] = {}
    path.write_text(yaml.safe_dump(experiments))
    change(root / "profiles" / "tiny.yaml", micro_batch=1)
    same_but_for_rounding(trained(root, 1), trained(root, 2))


def test_a_process_that_fails_says_why_and_ends_the_other(root: Path) -> None:
    """Crop 2 is the second process's: its label is broken."""
    settings = load(root)
    place = settings.place("datasets", "voc2012")
    order = np.random.default_rng((SEED, 0, 0)).permutation(6)
    broken = place / "labels" / f"t{order[2]}.png"
    broken.write_bytes(broken.read_bytes()[:40])
    change(root / "params.yaml", devices=2)
    process = start(root)
    said = process.communicate(timeout=LIMIT)[0]
    assert process.returncode
    assert f"{broken}: the label PNG is broken" in said


def test_shares_of_a_batch_are_the_batch() -> None:
    alone = list(From(12, 36, 12))
    assert alone == list(range(12, 36)) == list(From(12, 36))
    shares = [list(From(12, 36, 12, rank=rank, processes=3)) for rank in range(3)]
    assert shares[1] == [16, 17, 18, 19, 28, 29, 30, 31]
    batches = [chain(*(share[n : n + 4] for share in shares)) for n in (0, 4)]
    assert list(chain(*batches)) == alone


def test_dropout_differs_between_processes_and_is_the_old_one_in_the_first() -> None:
    assert dropout_seed(3, 9) == int(np.random.SeedSequence((3, 2, 9)).generate_state(1)[0])
    assert len({dropout_seed(3, 9, process) for process in range(8)}) == 8


def choose(devices: Any = 1, nodes: int = 1, device: str = "cpu", batch: int = 10) -> Processes:
    return choose_processes(devices, nodes, device, run="aspp_l", batch=batch)


def refusal(**options: Any) -> str:
    with pytest.raises(ReplicationError) as caught:
        choose(**options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_an_uneven_share_is_refused() -> None:
    assert "`devices` 4 x `num_nodes` 1) can't share the batch of 10 of run 'aspp_l' evenly" in (
        refusal(devices=4)
    )
    assert "use 1, 2, 5, 10 in all" in refusal(devices=3)
    assert choose(devices=5).count == 5


def test_devices_that_are_not_there_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert "`devices` is 5, and this machine has 2 of cuda" in refusal(devices=5, device="cuda")
    assert choose("auto", device="cuda").count == 2
    assert choose("auto").count == 1


def test_who_started_the_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    told = ("SLURM_", "MASTER_", "NODE_RANK", "LOCAL_RANK")
    for name in [name for name in os.environ if name.startswith(told)]:
        monkeypatch.delenv(name)
    assert "started alone; start it on every node" in refusal(nodes=2)
    assert is_first()
    alone = choose(2)
    assert (alone.rank, alone.environment.creates_processes_externally) == (0, False)
    # inside sbatch, outside srun: this process starts the others
    monkeypatch.setenv("SLURM_NTASKS", "4")
    monkeypatch.setenv("SLURM_PROCID", "0")
    assert not choose(2).environment.creates_processes_externally
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "4")
    monkeypatch.setenv("SLURM_PROCID", "3")
    assert "srun started 4 processes, and params.yaml: `devices` 2" in refusal(devices=2)
    assert "--ntasks-per-node" in refusal(devices=2, nodes=2, batch=8)
    monkeypatch.setenv("SLURM_NTASKS_PER_NODE", "2")
    by_srun = choose(2, 2, batch=8)
    assert (by_srun.rank, by_srun.count, by_srun.writes) == (3, 4, False)
    assert not is_first()
    assert not by_srun.environment.auto_requeue  # type: ignore[attr-defined]
