"""How a training process takes turns: an update for every line it reads, its seconds in JSON."""

import json
import sys
import time
from collections.abc import Iterator
from typing import Any


def turns() -> Iterator[None]:
    """Yield once for every line that the measuring process writes."""
    for _ in sys.stdin:
        yield


def tell(**values: Any) -> None:
    """Answer the measuring process."""
    print(json.dumps(values), flush=True)


def now(device: str) -> tuple[float, float]:
    """Return the wall clock's and the processor's seconds, when the device has ended its work."""
    if device == "cuda":
        import torch

        torch.cuda.synchronize()
    return time.perf_counter(), time.process_time()


def tell_since(start: tuple[float, float], device: str) -> None:
    """Tell the seconds of an update that began at ``start``."""
    wall, processor = (end - begin for end, begin in zip(now(device), start, strict=True))
    tell(wall=wall, processor=processor)
