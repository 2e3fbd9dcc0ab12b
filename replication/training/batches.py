"""What feeds a training: its crops from a given update on, this process's share of every batch."""

from collections.abc import Callable

from torch import Tensor
from torch.utils.data import DataLoader

from replication.data.canonical import DataSet
from replication.plan import Plan
from replication.training.crops import Crops, From
from replication.training.loading import loader_workers
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
    say: Callable[[str], object],
) -> tuple[Crops, DataLoader[tuple[Tensor, Tensor]]]:
    """Return all crops, and a loader of the batches of updates ``start`` to the last.

    Each is images (B, 3, S, S) float32 and labels (B, S, S) uint8, B the batch over the processes.
    ``cache_mib`` of decoded images are kept on each node, in equal parts by its processes' workers.
    ``say`` is told where shared memory leaves no room for them.
    """
    batch, crop = plan.recipe.batch_size, plan.profile.crop
    share = batch // processes.count
    workers = loader_workers(device, share, crop, say, devices=processes.devices)
    readers = processes.devices * max(1, workers)
    crops = Crops(
        dataset,
        plan.train_split,
        crop,
        seed,
        plan.rescale,
        cache=cache_mib * 2**20 // readers,
    )
    numbers = From(
        start * batch,
        plan.recipe.iterations * batch,
        batch,
        rank=processes.rank,
        processes=processes.count,
    )
    loader = DataLoader(
        crops,
        batch_size=share,
        sampler=numbers,
        num_workers=workers,
        pin_memory=device == "cuda",
        persistent_workers=False,
    )
    return crops, loader
