"""A convolution as one matrix product for each tap, over the outputs where it reads the map.

At large atrous rates most taps of most outputs read padding: on the 27 positions of a crop of 209
pixels, half of the multiplications of LargeFOV's fc6, and five of six at ASPP-L's rate 24, are by
zero. They are left out.

In bfloat16 oneDNN leaves them out too, but forward alone: there the backward pass is taken by taps.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from replication.models.convolve.scratch import buffer
from replication.models.convolve.ways import Shape, overlap


class _Tap(NamedTuple):
    """A tap's place in the kernel, the outputs that it counts for, and the inputs they read."""

    row: int
    column: int
    outputs: tuple[slice, slice]
    inputs: tuple[slice, slice]


def _taps(shape: Shape) -> Iterator[_Tap]:
    for row in range(shape.kernel):
        for column in range(shape.kernel):
            offsets = (shape.offset(row), shape.offset(column))
            sides = (shape.height, shape.width)
            outputs = tuple(map(overlap, sides, offsets))
            if any(span.stop <= span.start for span in outputs):
                continue
            inputs = tuple(
                slice(span.start + by, span.stop + by)
                for span, by in zip(outputs, offsets, strict=True)
            )
            yield _Tap(row, column, outputs, inputs)  # type: ignore[arg-type]


def _part(of: Tensor, where: tuple[slice, slice]) -> Tensor:
    """Return a part of a map (B, h, w, C) as a matrix (positions, C)."""
    return of[:, where[0], where[1]].reshape(-1, of.shape[3])


def _add(to: Tensor, where: tuple[slice, slice], a: Tensor, b: Tensor) -> None:
    """Add the product of two matrices to a part of a map (B, h, w, C) in 32 bits."""
    part = to[:, where[0], where[1]]
    part += torch.mm(a, b, out=buffer("product", len(a), b.shape[1], dtype=a.dtype)).view(
        part.shape
    )


def _by_tap(weight: Tensor) -> Tensor:
    """Return filters (K, C, k, k) as a matrix for each tap: (k, k, K, C), rows k * k * C apart."""
    return weight.detach().contiguous(memory_format=torch.channels_last).permute(2, 3, 0, 1)


class _Taps(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, shape: Shape) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.shape = shape
        if x.dtype == torch.bfloat16:
            reach = -shape.offset(0)
            return F.conv2d(x, weight, bias, padding=reach, dilation=shape.rate)
        map_, matrices = channels_last(x), _by_tap(weight)
        size = (shape.images, shape.outputs, shape.height, shape.width)
        y = torch.empty(size, memory_format=torch.channels_last)
        y.copy_(bias.detach()[:, None, None].expand(size))
        for tap in _taps(shape):
            _add(
                channels_last(y),
                tap.outputs,
                _part(map_, tap.inputs),
                matrices[tap.row, tap.column].T,
            )
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        shape: Shape = ctx.shape
        map_, gradient = channels_last(x), channels_last(dy)
        matrices = _by_tap(weight)
        dx = torch.zeros(map_.shape) if ctx.needs_input_grad[0] else None
        # Taps that read nothing but padding learn nothing.
        d_matrices = torch.zeros_like(matrices) if ctx.needs_input_grad[1] else None
        for tap in _taps(shape):
            outputs = _part(gradient, tap.outputs)
            if d_matrices is not None:
                learned = d_matrices[tap.row, tap.column]
                torch.mm(outputs.T, _part(map_, tap.inputs), out=learned)
            if dx is not None:
                _add(dx, tap.inputs, outputs, matrices[tap.row, tap.column])
        return (
            None if dx is None else dx.permute(0, 3, 1, 2).to(x.dtype),
            None if d_matrices is None else d_matrices.permute(2, 3, 0, 1),
            dy.sum((0, 2, 3)) if ctx.needs_input_grad[2] else None,
            None,
        )


def taps(
    x: Float[Tensor, "B C h w"],
    weight: Float[Tensor, "K C k k"],
    bias: Float[Tensor, " K"] | None,
    rate: int,
) -> Float[Tensor, "B K h w"]:
    """Convolve at stride 1 and an atrous ``rate``, padded so that the size stays, on a CPU.

    float32, or bfloat16: then sums of taps' products are in 32 bits as in oneDNN's, the products
    themselves rounded. ``rate * (k - 1)`` is even. The result lies channels last.
    """
    if weight.shape[2] == 1:  # one tap, which reads no padding
        return F.linear(x.permute(0, 2, 3, 1), weight.flatten(1), bias).permute(0, 3, 1, 2)
    images, inputs, height, width = x.shape
    shape = Shape(images, height, width, inputs, len(weight), weight.shape[2], rate)
    if bias is None:
        bias = torch.zeros(len(weight), dtype=weight.dtype)
    result: Tensor = _Taps.apply(x, weight, bias, shape)  # type: ignore[no-untyped-call]
    return result


def channels_last(x: Tensor) -> Tensor:
    """Return a map (B, C, h, w) as (B, h, w, C), contiguous."""
    return x.detach().permute(0, 2, 3, 1).contiguous()
