"""Memory that a thread's convolutions use in turn, and threads that fill it together.

A fresh array of a hundred megabytes costs more time, a page fault for every 4 KiB, than Winograd's
transforms take to fill it. So the planes of a convolution are made in chunks, in memory that stays.
"""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from math import prod
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

_APART = 16  # floats between two planes, so that they fall into different sets of a cache
_LANES = 8  # channels a step
CHUNK = 2**25  # bytes of planes that are worked on at once: they stay in a cache


class _Buffers(threading.local):
    def __init__(self) -> None:
        self.held: dict[str, Tensor] = {}

    def get(self, name: str, length: int, dtype: torch.dtype = torch.float32) -> Tensor:
        held = self.held.get(name)
        if held is None or len(held) < length or held.dtype != dtype:
            del held
            self.held.pop(name, None)  # before the larger one is asked for
            with torch.inference_mode(False):  # training may follow scoring
                self.held[name] = torch.empty(length, dtype=dtype)
        return self.held[name]


_buffers = _Buffers()


class Planes:
    """36 matrices (rows, channels) float32, in the buffer ``name``: they last until its next use.

    Attributes:
        rows: the first row of the whole that they hold, and the end.
        matrices: (36, end - first, channels), a view.
        flat: the same memory for kernels.
        plane: values from one matrix to the next.
    """

    def __init__(self, name: str, rows: tuple[int, int], channels: int) -> None:
        self.rows = rows
        count = rows[1] - rows[0]
        self.plane = count * channels + _APART
        whole = _buffers.get(name, 36 * self.plane)
        self.flat: np.ndarray = whole.numpy()
        self.matrices = whole.as_strided((36, count, channels), (self.plane, channels, 1))


def buffer(name: str, *size: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return an array of a size, not filled, that lasts until the next of its name."""
    length = prod(size)
    return _buffers.get(name, length, dtype)[:length].view(size)


def chunks(rows: int, channels: int) -> list[tuple[int, int]]:
    """Cut rows into equal ranges whose `Planes` of so many channels take at most `CHUNK` bytes."""
    count = -(-rows * channels * 36 * 4 // CHUNK)
    ends = [rows * n // count for n in range(count + 1)]
    return [(first, end) for first, end in pairwise(ends) if end > first]


def shares(
    rows: tuple[int, int], channels: int, threads: int, *, by: Literal["rows", "channels"]
) -> list[tuple[int, int, int, int]]:
    """Cut rows, or channels (a multiple of 8), into shares, one a thread or as many as there are.

    A share is (first row, end, first channel, end), as kernels take it.
    """
    first, end = rows
    if by == "rows":
        cuts = [first + (end - first) * n // threads for n in range(threads + 1)]
        return [(a, b, 0, channels) for a, b in pairwise(cuts) if b > a]
    steps = channels // _LANES
    cuts = [_LANES * (steps * n // threads) for n in range(threads + 1)]
    return [(first, end, a, b) for a, b in pairwise(cuts) if b > a]


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="convolve")


def spread(
    kernel: Callable[..., None],
    *arguments: Any,
    rows: tuple[int, int],
    channels: int,
    by: Literal["rows", "channels"],
) -> None:
    """Run a kernel over rows and channels by as many threads as torch uses."""
    threads = torch.get_num_threads()
    if threads == 1:
        kernel(*arguments, *rows, 0, channels)
        return
    parts = shares(rows, channels, threads, by=by)
    list(_pool(threads).map(lambda part: kernel(*arguments, *part), parts))
