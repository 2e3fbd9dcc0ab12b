"""Convolutions that a CPU computes with fewer multiplications.

`Conv2d` is torch's, with the same parameters and, but for rounding, the same function. Where a
large convolution meets a CPU, it takes the way that should be fastest (`ways`): in 32 bits
Winograd's (`winograd`) or, of kernels wider than 3, Fourier's (`fourier`), a matrix product for
each tap that reads more than padding (`taps`), or torch's own.
"""

from replication.models.convolve.conv2d import Conv2d

__all__ = ["Conv2d"]
