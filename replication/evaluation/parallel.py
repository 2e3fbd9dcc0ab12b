"""One task per image, spread over processes, with a progress bar."""

from collections.abc import Callable, Iterator, Sequence
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


def over_images(
    function: Callable[..., Result],
    tasks: Sequence[tuple[Any, ...]],
    label: str,
    jobs: int | None = None,
    few: int = _FEW,
) -> Iterator[Result]:
    """Yield ``function(*task)`` for each task *as it finishes*, in no order.

    Results that have been yielded are whole: a caller that writes each down loses nothing when a
    later task fails. The bar goes to stderr, and only to a terminal.

    Args:
        function: importable by name from a fresh process.
        tasks: its arguments, one tuple per image.
        label: what the bar says.
        jobs: processes; None takes all usable cores.
        few: tasks that a process must have to be worth starting.

    Raises:
        ReplicationError: raised by a task, or a process was killed (as when memory runs out).
    """
    from joblib import Parallel, delayed
    from joblib.externals.loky.process_executor import BrokenProcessPool
    from tqdm import tqdm

    workers = processes(jobs, len(tasks), few)
    parallel = Parallel(n_jobs=workers, return_as="generator_unordered")
    results = parallel(delayed(function)(*task) for task in tasks)
    try:
        yield from tqdm(results, total=len(tasks), desc=label, unit="image", disable=None)
    except BrokenProcessPool:
        raise ReplicationError(
            f"{label}: one of {workers} processes was killed, as when memory runs out: set `jobs` "
            f"to {max(1, workers // 2)}; what is written stays"
        ) from None
