"""Convolutions that a CPU computes with fewer multiplications.

`Conv2d` is torch's, with the same parameters and, but for rounding, the same function. Where a
large convolution meets a CPU, it takes the way that should be fastest (`ways`): Winograd's, in 32
bits (`winograd`), a matrix product for each tap that reads more than padding (`taps`), or torch's
own.
"""

from replication.models.convolve.conv2d import Conv2d

__all__ = ["Conv2d"]
