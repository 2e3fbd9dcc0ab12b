"""Loader processes: how many there is room for, and what they die of in one line."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from replication.errors import FULL, ReplicationError

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108, where Linux keeps it
_MOST = 8
_AHEAD = 2  # batches that each process holds ready, torch's own choice
_ENLARGE = (
    f"enlarge {SHARED_MEMORY} (Docker: `--shm-size 2g`; else `mount -o remount,size=2g "
    f"{SHARED_MEMORY}`)"
)


def loader_workers(
    device: str, batch: int, crop: int, say: Callable[[str], object], *, devices: int = 1
) -> int:
    """Return how many processes load crops.

    0, this process itself, on a CPU, whose cores they would take from the network. Elsewhere a core
    each, as far as shared memory holds the batches that they hand over: Docker gives 64 MiB, two
    batches of the paper's, and a loader that finds no room is killed in the midst of a run.

    Args:
        device: cpu, cuda or mps.
        batch: crops of a batch of one device.
        crop: side of a crop, pixels.
        say: is told in one line where shared memory is short.
        devices: how many share this machine's cores and memory.
    """
    wanted = 0 if device == "cpu" else min(_MOST, max(1, (os.cpu_count() or 1) // devices))
    if wanted == 0 or not SHARED_MEMORY.is_dir():
        return wanted
    size = batch * crop * crop * (3 * 4 + 1)  # float32 BGR, uint8 labels
    free = shutil.disk_usage(SHARED_MEMORY).free
    fitting = max(
        0, (free // devices // size - 1) // _AHEAD
    )  # one more batch is on its way to the device
    if fitting < wanted:
        say(
            f"{SHARED_MEMORY} has {free // 2**20} MiB free, too few for {wanted} loader processes: "
            f"{fitting or 'none'} of them run; to load faster, {_ENLARGE}"
        )
    return min(wanted, fitting)


@contextmanager
def errors_in_one_line() -> Iterator[None]:
    """Say plainly what torch wraps in the traceback of a loader process.

    Raises:
        ReplicationError: one raised in a loader process, in its own words; a loader process was
            killed.
    """
    try:
        yield
    except ReplicationError as error:
        lines = str(error).strip().splitlines()
        if len(lines) == 1:
            raise
        raise ReplicationError(lines[-1].partition("ReplicationError: ")[2]) from None
    except (OSError, RuntimeError) as error:
        # Lightning hides what its loader failed by behind a fault of its own.
        first = error.__context__ if isinstance(error.__context__, OSError) else error
        nameless = isinstance(first, OSError) and first.errno in FULL and first.filename is None
        said = re.search(
            r"DataLoader worker .*(killed|exited)|shared memory|/torch_\d+", str(first)
        )
        if not (nameless or said):
            raise
        reason = str(first).strip().splitlines()[-1][:200]  # above it may stand a traceback
        raise ReplicationError(
            f"a loader process was killed ({reason}): memory has run out, or shared memory; close "
            f"other programs, or {_ENLARGE}; the last checkpoint is kept"
        ) from None
