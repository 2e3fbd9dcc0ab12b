"""Memory that a thread's convolutions use in turn, and threads that fill it together.

A fresh array of a hundred megabytes costs more time, a page fault for every 4 KiB, than Winograd's
transforms take to fill it.
"""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import Tensor

_APART = 16  # floats between two planes, so that they fall into different sets of a cache
_LANES, _BLOCK = 8, 64  # channels a step, and at most in a share


class _Buffers(threading.local):
    def __init__(self) -> None:
        self.held: dict[str, Tensor] = {}

    def get(self, name: str, length: int) -> Tensor:
        if name not in self.held or len(self.held[name]) < length:
            self.held.pop(name, None)  # before the larger one is asked for
            self.held[name] = torch.empty(length)
        return self.held[name]


_buffers = _Buffers()


class Planes:
    """36 matrices (rows, channels) float32, in the buffer ``name``: they last until its next use.

    Attributes:
        matrices: (36, rows, channels), a view.
        flat: the same memory for kernels.
        plane: values from one matrix to the next.
    """

    def __init__(self, name: str, rows: int, channels: int) -> None:
        self.plane = rows * channels + _APART
        whole = _buffers.get(name, 36 * self.plane)
        self.flat: np.ndarray = whole.numpy()
        self.matrices = whole.as_strided((36, rows, channels), (self.plane, channels, 1))


def product_buffer(rows: int, channels: int) -> Tensor:
    """Return a matrix (rows, channels) float32 that lasts until the next call."""
    return _buffers.get("product", rows * channels)[: rows * channels].view(rows, channels)


def shares(images: int, channels: int, threads: int) -> list[tuple[int, int, int, int]]:
    """Cut images and channels (a multiple of 8) into shares, at least one a thread if they can be.

    A share is (first image, end, first channel, end), as kernels take it.
    """
    block = _BLOCK
    while block > _LANES and images * -(-channels // block) < threads:
        block //= 2
    pairs = product(range(images), range(0, channels, block))
    return [(n, n + 1, c, min(c + block, channels)) for n, c in pairs]


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="convolve")


def spread(kernel: Callable[..., None], *arguments: Any, images: int, channels: int) -> None:
    """Run a kernel over all images and channels by as many threads as torch uses."""
    threads = torch.get_num_threads()
    if threads == 1:
        kernel(*arguments, 0, images, 0, channels)
        return
    parts = shares(images, channels, threads)
    list(_pool(threads).map(lambda part: kernel(*arguments, *part), parts))
