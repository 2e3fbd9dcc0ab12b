"""The SLURM script of docs/scale.md, given to a real SLURM: two nodes, both of this machine."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from getpass import getuser
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml
from safetensors.torch import load_file

from replication.plan import Settings
from replication.provenance import read_record

RUN, SEED, UPDATES = "poly_b10_20k", 3, 200
HERE = Path(__file__).resolve().parents[2]
LIMIT = 300  # seconds
PATH = f"{os.environ['PATH']}{os.pathsep}/usr/sbin"
CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
AuthType=auth/none
CredType=cred/none
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/controller.pid
SlurmdPidFile={folder}/%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
NodeName=one NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} State=UNKNOWN
NodeName=two NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} State=UNKNOWN
PartitionName=all Nodes=one,two Default=YES State=UP
"""

Call = Callable[..., str]


def free_ports(count: int) -> list[int]:
    held = [socket.socket() for _ in range(count)]
    for each in held:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in held]
    for each in held:
        each.close()
    return ports


@pytest.fixture
def slurm(tmp_path: Path) -> Iterator[Call]:
    """A function that runs a SLURM command, and fails with what the daemons said."""
    if not all(shutil.which(name, path=PATH) for name in ("slurmctld", "slurmd", "sbatch")):
        pytest.skip("SLURM is not installed (Debian's package slurm-wlm)")
    folder = tmp_path / "slurm"
    (folder / "state").mkdir(parents=True)
    host, ports = socket.gethostname().split(".")[0], free_ports(4)
    given = {"host": host, "user": getuser(), "folder": folder, "ports": ports}
    (folder / "slurm.conf").write_text(CONFIGURATION.format(**given))
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{PATH}",
        "SLURM_CONF": str(folder / "slurm.conf"),
        # `one` and `two` are no hosts' names
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(ports[3]),
    }
    daemons = []
    log = folder / "log.txt"
    with log.open("w") as said:
        for command in (["slurmctld"], ["slurmd", "-N", "one"], ["slurmd", "-N", "two"]):
            program = shutil.which(command[0], path=PATH)
            assert program
            daemons.append(
                subprocess.Popen(
                    [program, "-D", *command[1:]],
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=said,
                    stderr=said,
                )
            )

    def call(*command: str, cwd: Path = tmp_path) -> str:
        ran = subprocess.run(
            command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=60
        )
        assert ran.returncode == 0, f"{command}: {ran.stderr}\n{log.read_text()}"
        return ran.stdout

    def ready() -> bool:
        asked = subprocess.run(["sinfo", "-h", "-o", "%D %T"], env=environment, capture_output=True)
        return asked.stdout.split() == [b"2", b"idle"]

    try:
        wait_for(ready, log.read_text)
        yield call
    finally:
        for daemon in daemons:
            daemon.terminate()
        for daemon in daemons:
            daemon.wait(30)


def wait_for(what: Callable[[], bool], said: Callable[[], str], pause: float = 0.2) -> None:
    deadline = time.monotonic() + LIMIT
    while not what():
        assert time.monotonic() < deadline, said()
        time.sleep(pause)


def script(root: Path) -> str:
    """Return the script of docs/scale.md with this machine's numbers and the test's run.

    Its last line, `dvc repro`, is left out: the root is no repository.
    """
    text = (HERE / "docs" / "scale.md").read_text(encoding="utf-8")
    found = re.search(r"```sh\n(#!/bin/bash\n.*?)```", text, re.DOTALL)
    assert found
    lines = found[1].replace("aspp_l", RUN).splitlines()
    left_out = ("#SBATCH --gpus", "source .venv", "dvc repro")
    assert [sum(line.startswith(start) for line in lines) for start in left_out] == [1, 1, 1]
    kept = "\n".join(line for line in lines if not line.startswith(left_out))
    kept, tasks = re.subn(r"(--ntasks-per-node|--cpus-per-task)=\d+", r"\1=1", kept)
    assert tasks == 2
    assert "#SBATCH --nodes=2" in kept
    assert "#SBATCH --requeue" in kept
    assert f"srun replication stage train {RUN}" in kept
    (root / "job.sh").write_text(kept + "\n")
    return "job.sh"


def test_the_script_trains_on_two_nodes_and_goes_on_when_it_is_queued_again(
    tiny: Settings, slurm: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tiny.root
    for path, values in (
        (root / "profiles" / "tiny.yaml", {"dropout": 0.0, "iterations_factor": UPDATES / 20_000}),
        (root / "params.yaml", {"devices": 1, "num_nodes": 2}),
    ):
        path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | values))
    out, last = tiny.place("runs", RUN, SEED), tiny.place("checkpoints", RUN, SEED) / "last.ckpt"
    log = root / "job.txt"

    def trained(*, again: bool) -> tuple[pd.DataFrame, dict[str, torch.Tensor]]:
        job = slurm("sbatch", "--parsable", "--output", str(log), script(root), cwd=root).strip()
        if again:
            wait_for(lambda: last.is_file() or out.is_dir(), log.read_text, pause=0.005)
            slurm("scontrol", "requeue", job)
            wait_for(lambda: "PENDING" in slurm("squeue", "-h", "-o", "%T"), log.read_text)
            slurm("scontrol", "update", f"JobId={job}", "StartTime=now")  # SLURM would wait
        wait_for(lambda: not slurm("squeue", "-h"), log.read_text)
        state = slurm("scontrol", "show", "job", job)
        assert "JobState=COMPLETED" in state, log.read_text()
        record = read_record(out / "train.json")
        assert (record["processes"], record["device"]) == (2, "2 x cpu")
        found = pd.read_csv(out / "curve.tsv", sep="\t"), load_file(out / "weights.safetensors")
        shutil.rmtree(out)
        return found

    undisturbed = trained(again=False)
    assert undisturbed[0]["step"].iloc[-1] == UPDATES
    gone_on = trained(again=True)
    assert "goes on from update" in log.read_text()
    pd.testing.assert_frame_equal(gone_on[0], undisturbed[0])
    assert all(torch.equal(gone_on[1][name], undisturbed[1][name]) for name in undisturbed[1])
