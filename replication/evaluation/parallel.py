"""One task per image, spread over processes or a Dask cluster, with a progress bar."""

import importlib
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager
from itertools import islice
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
def _connected(address: str, label: str) -> Iterator[Any]:
    """Yield a client of a Dask scheduler.

    Raises:
        ReplicationError: Dask is not installed, nothing answers at the address, there is no worker,
            the scheduler ended, or one task ended several workers.
    """
    try:
        distributed: Any = importlib.import_module("distributed")
    except ImportError as error:
        raise ReplicationError(
            f"{label}: a Dask cluster needs the package `distributed` ({error}): "
            "`pip install distributed`, or leave the cluster out"
        ) from None
    # What becomes of the connection is said below, in one line.
    for name in ("distributed", "distributed.client"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
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
        except Exception as error:
            if client.status == "running" and not isinstance(error, CancelledError):
                raise
            raise ReplicationError(
                f"{label}: the Dask scheduler at {address} is gone: start it and its workers "
                "again, and the same command goes on"
            ) from None


def _on_cluster(
    client: Any, function: Callable[..., Result], tasks: Sequence[tuple[Any, ...]]
) -> Iterator[tuple[int, Result]]:
    """Yield each task's number and result as it finishes, on a cluster's workers.

    Two tasks for each of their threads are under way: few are left to themselves by a break, and
    workers that come later get theirs. If all workers end, this waits for new ones.
    """
    distributed: Any = importlib.import_module("distributed")
    waiting, numbers = iter(enumerate(tasks)), dict[Any, int]()
    running = distributed.as_completed(loop=client.loop)

    def send() -> None:
        threads = sum(client.ncores().values())
        for number, task in islice(waiting, max(1, 2 * threads - len(numbers))):
            future = client.submit(function, *task, pure=False)
            numbers[future] = number
            running.add(future)

    send()
    for future in running:
        number = numbers.pop(future)
        result = future.result()
        send()
        yield number, result


def _here(
    function: Callable[..., Result], tasks: Sequence[tuple[Any, ...]], workers: int, label: str
) -> Iterator[tuple[int, Result]]:
    """Yield each task's number and result as it finishes, in so many processes (1: this one)."""
    from joblib import Parallel, delayed
    from joblib.externals.loky.process_executor import BrokenProcessPool

    # joblib replaces a process whose memory has grown by 300 MiB, as large lattices do, and warns,
    # though nothing is lost and nobody can act on it; so it does of tasks that a fault leaves over.
    for said in ("A worker stopped while some jobs", r"\d+ tasks (have been|which were)"):
        warnings.filterwarnings("ignore", message=said)
    parallel = Parallel(n_jobs=workers, backend="loky", return_as="generator_unordered")
    try:
        yield from parallel(
            delayed(_numbered)(function, number, task) for number, task in enumerate(tasks)
        )
    except BrokenProcessPool:
        raise ReplicationError(
            f"{label}: one of {workers} processes was killed, as when memory runs out: set "
            f"`jobs` to {max(1, workers // 2)}; what is written stays"
        ) from None


def _numbered(
    function: Callable[..., Result], number: int, task: tuple[Any, ...]
) -> tuple[int, Result]:
    return number, function(*task)


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
    from tqdm import tqdm

    workers = processes(jobs, len(tasks), few)
    each = [1] * len(tasks) if sizes is None else sizes
    with ExitStack() as open_until_done:
        # What is done already needs no cluster.
        if cluster is not None and tasks:
            client = open_until_done.enter_context(_connected(cluster, label))
            results = _on_cluster(client, function, tasks)
        else:
            results = _here(function, tasks, workers, label)
        bar = open_until_done.enter_context(
            tqdm(total=sum(each), desc=label, unit=unit, disable=None)
        )
        for number, result in results:
            bar.update(each[number])
            yield result
