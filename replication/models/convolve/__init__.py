"""Convolutions that a CPU without bfloat16 computes with fewer multiplications.

`Conv2d` is torch's, with the same parameters and, but for rounding, the same function. Where a
large convolution in 32 bits meets a CPU, it takes the way that should be fastest (`ways`):
Winograd's (`winograd`), a matrix product for each tap that reads more than padding (`taps`), or
torch's own.
"""

from replication.models.convolve.conv2d import Conv2d

__all__ = ["Conv2d"]
