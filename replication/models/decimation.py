"""ImageNet's fc6 of 7x7 taps, decimated to the kernels of table 1."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor


def subsample_taps(weight: Float[Tensor, "O I 7 7"], kernel: int) -> Float[Tensor, "O I k k"]:
    """Decimate a 7x7 filter in space: ``kernel`` taps spread evenly from edge to edge.

    7 to 3 keeps taps 0, 3, 6; 7 to 4 keeps 0, 2, 4, 6: at rate 12 and 8 they fall exactly where
    they were at rate 4.
    """
    taps = _kept_taps(weight.shape[-1], kernel)
    return weight[:, :, taps][:, :, :, taps]


def gather_taps(weight: Float[Tensor, "O I 7 7"], kernel: int) -> Float[Tensor, "O I k k"]:
    """Decimate as `subsample_taps` does, but add what is left out to the nearest taps that stay.

    A tap between two that stay is shared between them by its distance from each (the transpose of
    linear interpolation), so the response to features that vary linearly from tap to tap, a
    constant among them, is the 7x7 filter's own.
    """
    size = weight.shape[-1]
    kept = _kept_taps(size, kernel).numpy()
    rows = [np.interp(np.arange(size), kept, one) for one in np.eye(kernel)]
    share = torch.tensor(np.stack(rows), dtype=weight.dtype)  # (kernel, size), columns sum to 1
    return torch.einsum("oiyx,ky,lx->oikl", weight, share, share)


def _kept_taps(size: int, kernel: int) -> Tensor:
    # One tap alone is the middle one: linspace would begin at the corner.
    first = 0 if kernel > 1 else (size - 1) / 2
    return torch.linspace(first, size - 1, kernel).round().long()
