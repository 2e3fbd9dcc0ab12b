"""One training in several processes, a device each: who they are, and what they add up.

Nothing that is learned depends on their number. Each process takes its share of every batch
(`replication.training.crops.From`); a loss is divided by what the whole batch's processes count
together, and multiplied by their number, since DDP averages the gradients that are to be summed.
Only rounding differs, and dropout's draws.
"""

import os
from dataclasses import dataclass
from typing import Literal

import torch
import torch.distributed as dist
from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor

from replication.errors import ReplicationError

Devices = int | Literal["auto"]


@dataclass(frozen=True)
class Processes:
    """The processes of one training.

    Attributes:
        devices: processes of each node, a device each.
        nodes: machines.
        rank: this process's number, 0 to ``count`` - 1. Number 0 writes; the others wait for it.
        environment: tells Lightning who the others are; on one machine it starts them.
    """

    devices: int
    nodes: int
    rank: int
    environment: ClusterEnvironment

    @property
    def count(self) -> int:
        """How many they are."""
        return self.devices * self.nodes

    @property
    def writes(self) -> bool:
        """Whether this process is the one that writes."""
        return self.rank == 0

    def strategy(self) -> DDPStrategy | Literal["auto"]:
        """Return what Lightning brings their gradients together by."""
        if self.count == 1:
            return "auto"
        # Batch norm is frozen: its statistics are alike everywhere, and need not be sent.
        return DDPStrategy(broadcast_buffers=False, gradient_as_bucket_view=True)


def choose_processes(
    devices: Devices, nodes: int, device: str, *, run: str, batch: int
) -> Processes:
    """Return the processes that train ``run``, of which this is one.

    Args:
        devices: processes of each node; ``auto`` takes every GPU of this one, or one process.
        nodes: machines.
        device: ``cpu``, ``cuda`` or ``mps``.
        run: named in errors.
        batch: crops of an update, which the processes share evenly.

    Raises:
        ReplicationError: a machine has fewer devices; the batch can't be shared evenly; srun or
            torchrun started another number of processes, or, with several nodes, neither did.
    """
    here = {"cuda": torch.cuda.device_count(), "mps": 1}.get(device)
    each = (here or 1) if devices == "auto" else devices
    if here is not None and each > here:
        raise ReplicationError(
            f"params.yaml: `devices` is {each}, and this machine has {here} of {device}; use at "
            f"most {here}, or auto"
        )
    count = each * nodes
    if batch % count:
        fitting = ", ".join(str(n) for n in range(1, batch + 1) if batch % n == 0)
        raise ReplicationError(
            f"params.yaml: {count} processes (`devices` {each} x `num_nodes` {nodes}) can't share "
            f"the batch of {batch} of run {run!r} evenly; use {fitting} in all"
        )
    environment = _environment(count, each, nodes)
    if isinstance(environment, LightningEnvironment):
        rank = environment.node_rank() * each + environment.local_rank() if count > 1 else 0
    else:
        rank = environment.global_rank()
    return Processes(each, nodes, rank, environment)


def is_first() -> bool:
    """Whether this process is number 0, by what torchrun, srun or the first one told it.

    True where nobody told it anything; for what comes before `choose_processes` or after training.
    """
    if TorchElasticEnvironment.detect():
        return os.environ["RANK"] == "0"
    if os.environ.get("SLURM_STEP_NUM_TASKS", "1") != "1":
        return os.environ["SLURM_PROCID"] == "0"
    return {os.environ.get(name, "0") for name in ("NODE_RANK", "LOCAL_RANK")} == {"0"}


def _environment(count: int, each: int, nodes: int) -> ClusterEnvironment:
    """Return who started the processes: torchrun, srun, or else this process starts the others."""
    starters = {
        "torchrun": int(os.environ["WORLD_SIZE"]) if TorchElasticEnvironment.detect() else 1,
        # srun sets it; in a batch script outside srun, one process runs whatever was asked for.
        "srun": int(os.environ.get("SLURM_STEP_NUM_TASKS", "1")),
    }
    for name, started in starters.items():
        if started == 1:
            continue
        if started != count:
            raise ReplicationError(
                f"{name} started {started} processes, and params.yaml: `devices` {each} x "
                f"`num_nodes` {nodes} makes {count}; make them the same"
            )
        if name == "torchrun":
            return TorchElasticEnvironment()
        try:
            # Our checkpoint serves a job that is queued again; Lightning's would be a second one.
            return SLURMEnvironment(auto_requeue=False)
        except RuntimeError as error:
            raise ReplicationError(f"srun: {' '.join(str(error).split())}") from None
    if nodes > 1 and not {"MASTER_ADDR", "NODE_RANK"} <= os.environ.keys():
        raise ReplicationError(
            f"params.yaml: `num_nodes` is {nodes}, and this process was started alone; start it on "
            "every node, by srun or torchrun (docs/scale.md)"
        )
    return LightningEnvironment()


def count() -> int:
    """Return how many processes train together; 1 before they have met."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Return this process's number; 0 before they have met."""
    return dist.get_rank() if dist.is_initialized() else 0


def summed(own: Tensor) -> Tensor:
    """Return the sum over all processes of a tensor that each has its ``own`` of.

    Lightning's `reduce` waits for the device; this does not.
    """
    if dist.is_initialized():
        own = own.clone()
        dist.all_reduce(own)
    return own


def lost(error: RuntimeError) -> bool:
    """Whether an error says no more than that another process is gone."""
    text = str(error).lower()
    return count() > 1 and (isinstance(error, dist.DistError) or "gloo" in text or "nccl" in text)
