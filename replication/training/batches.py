"""What feeds a training: its crops from a given update on, this process's share of every batch."""

import os

from torch import Tensor
from torch.utils.data import DataLoader

from replication.data.canonical import DataSet
from replication.plan import Plan
from replication.training.crops import Crops, From
from replication.training.processes import Processes


def crop_loader(
    plan: Plan,
    dataset: DataSet,
    seed: int,
    start: int,
    *,
    device: str,
    processes: Processes,
    cache_mib: int,
) -> DataLoader[tuple[Tensor, Tensor]]:
    """Return a loader of the batches of updates ``start`` to the last.

    Each is images (B, 3, S, S) float32 and labels (B, S, S) uint8, B the batch over the processes.
    ``cache_mib`` of decoded images are kept on each node, in equal parts by its processes' workers.
    """
    batch, workers = plan.recipe.batch_size, _workers(device, processes.devices)
    readers = processes.devices * max(1, workers)
    crops = Crops(
        dataset,
        plan.train_split,
        plan.profile.crop,
        seed,
        plan.rescale,
        cache=cache_mib * 2**20 // readers,
    )
    share = From(
        start * batch,
        plan.recipe.iterations * batch,
        batch,
        rank=processes.rank,
        processes=processes.count,
    )
    return DataLoader(
        crops,
        batch_size=batch // processes.count,
        sampler=share,
        num_workers=workers,
        pin_memory=device == "cuda",
        persistent_workers=False,
    )


def _workers(device: str, devices: int) -> int:
    """Use loader processes where the processor waits for a device; on a CPU they take its cores."""
    return 0 if device == "cpu" else min(8, max(1, (os.cpu_count() or 1) // devices))
