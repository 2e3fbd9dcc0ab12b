"""One task per image, spread over processes or a Dask cluster, with a progress bar."""

import importlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from replication.errors import ReplicationError

Result = TypeVar("Result")

_FEW = 16  # below this many tasks per process, starting a process costs more than it saves


def processes(jobs: int | None, tasks: int, few: int = _FEW) -> int:
    """Return how many processes serve ``tasks``: ``jobs``, or the usable cores if None.

    Never more than one per ``few`` tasks; 1 means this very process.

    Raises:
        ReplicationError: ``jobs`` is below 1.
    """
    import joblib

    if jobs is not None and jobs < 1:
        raise ReplicationError(f"`jobs` is {jobs}; set at least 1, or null for all cores")
    wanted = joblib.cpu_count() if jobs is None else jobs
    return int(max(1, min(wanted, tasks // few)))


@contextmanager
def _connected(address: str | None, label: str) -> Iterator[Any]:
    """Yield a client of a Dask scheduler; None, for this machine, without an address.

    Raises:
        ReplicationError: Dask is not installed, nothing answers at the address, there is no worker,
            or one died.
    """
    if address is None:
        yield None
        return
    try:
        distributed: Any = importlib.import_module("distributed")
    except ImportError as error:
        raise ReplicationError(
            f"{label}: a Dask cluster needs the package `distributed` ({error}): "
            "`pip install distributed`, or leave the cluster out"
        ) from None
    try:
        client = distributed.Client(address, timeout=15, set_as_default=False)
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ReplicationError(
            f"{label}: no Dask scheduler answers at {address} ({reason}): start one with `dask "
            "scheduler`, and workers with `dask worker ADDRESS`"
        ) from None
    with client:
        if not client.ncores():
            raise ReplicationError(
                f"{label}: the Dask scheduler at {address} has no worker: start some with `dask "
                f"worker {address}`"
            )
        try:
            yield client
        except distributed.KilledWorker as error:
            reason = str(error).splitlines()[0]
            raise ReplicationError(
                f"{label}: a Dask worker died ({reason}): see its log; what is written stays"
            ) from None


def _sized(function: Callable[..., Result], size: int, task: tuple[Any, ...]) -> tuple[int, Result]:
    return size, function(*task)


def over_images(
    function: Callable[..., Result],
    tasks: Sequence[tuple[Any, ...]],
    label: str,
    jobs: int | None = None,
    few: int = _FEW,
    *,
    sizes: Sequence[int] | None = None,
    unit: str = "image",
    cluster: str | None = None,
) -> Iterator[Result]:
    """Yield ``function(*task)`` for each task *as it finishes*, in no order.

    Results that have been yielded are whole: a caller that writes each down loses nothing when a
    later task fails. The bar goes to stderr, and only to a terminal.

    Args:
        function: importable by name from a fresh process.
        tasks: its arguments, one tuple per image.
        label: what the bar says.
        jobs: processes; None takes all usable cores. Not used with ``cluster``.
        few: tasks that a process must have to be worth starting.
        sizes: how many units of the bar each task is; None counts each as one.
        unit: what the bar counts.
        cluster: address of a Dask scheduler, such as ``tcp://host:8786``, whose workers have this
            package and see the same files; None stays on this machine.

    Raises:
        ReplicationError: raised by a task; or a process was killed (as when memory runs out), or
            the cluster is not there.
    """
    from joblib import Parallel, delayed, parallel_config
    from joblib.externals.loky.process_executor import BrokenProcessPool
    from tqdm import tqdm

    # joblib replaces a process whose memory has grown by 300 MiB, as large lattices do, and warns,
    # though nothing is lost and nobody can act on it.
    warnings.filterwarnings("ignore", message="A worker stopped while some jobs")
    workers = processes(jobs, len(tasks), few)
    each = [1] * len(tasks) if sizes is None else sizes
    bar = tqdm(total=sum(each), desc=label, unit=unit, disable=None)
    with _connected(cluster, label) as client, bar:
        where = {"backend": "loky"} if client is None else {"backend": "dask", "client": client}
        with parallel_config(**where):
            parallel = Parallel(
                n_jobs=workers if client is None else -1, return_as="generator_unordered"
            )
        results = parallel(
            delayed(_sized)(function, size, task) for size, task in zip(each, tasks, strict=True)
        )
        try:
            for size, result in results:
                bar.update(size)
                yield result
        except BrokenProcessPool:
            raise ReplicationError(
                f"{label}: one of {workers} processes was killed, as when memory runs out: set "
                f"`jobs` to {max(1, workers // 2)}; what is written stays"
            ) from None
