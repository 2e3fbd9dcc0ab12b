"""Convolutions of wide kernels by Fourier's transforms over the positions a rate apart.

An atrous convolution falls apart into one ordinary convolution for each phase: the positions that
are ``rate`` apart along both sides. A phase of table 1's maps is as small as its kernels (7 x 7
positions of the 27 x 27 of a crop of 209 pixels, under the 7 x 7 taps of VGG's own fc6), where a
cyclic convolution needs few points (10 x 10). At each point filters and inputs are multiplied as
matrices, a complex product being three real ones; the transforms, so short, are matrix products
as well. Of the 19,881 products that a filter's taps have with such a map, 2,368 are left.

The structure is that of Winograd's algorithms (`winograd`), outputs = T_y (T_w w . T_x x), but with
sines and cosines, which stay accurate at any size. The backward pass is by its transposes.
"""

from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from replication.models.convolve.taps import channels_last
from replication.models.convolve.ways import Phases, Shape

CHUNK = 2**27  # bytes of transformed filters that are worked on at once


class _Transforms(NamedTuple):
    """What takes filters and a phase of a map to R pairs of numbers, and their products back.

    Attributes:
        w: (R, k * k).
        x: (R, inputs of a phase).
        y: (outputs of a phase, R).
    """

    w: Tensor
    x: Tensor
    y: Tensor


@cache
def _transforms(rows: Phases, columns: Phases, kernel: int) -> _Transforms:
    """Return the transforms of a phase, in 64 bits.

    Frequencies come in conjugate pairs, of which one is kept. Where w = a + bi and x = c + di, the
    three products a (c + d), (a + b) d and (b - a) c give both parts of wx.
    """
    sizes = np.array([rows.points, columns.points])
    every = [(n, m) for n in range(sizes[0]) for m in range(sizes[1])]
    kept = np.array([at for at in every if at <= (-at[0] % sizes[0], -at[1] % sizes[1])])
    alone = np.all(2 * kept % sizes == 0, axis=1)  # its own conjugate: real

    def waves(sign: int, counts: tuple[int, int], first: tuple[int, int] = (0, 0)) -> np.ndarray:
        """Return (frequencies, places): a wave's values at a grid of places."""
        turns = [
            np.outer(kept[:, side], np.arange(counts[side]) + first[side]) / sizes[side]
            for side in (0, 1)
        ]
        both = turns[0][:, :, None] + turns[1][:, None, :]
        wave: np.ndarray = np.exp(sign * 2j * np.pi * both)
        return wave.reshape(len(kept), -1)

    w = waves(1, (kernel, kernel), (-rows.shift, -columns.shift))
    x = waves(-1, (rows.inputs, columns.inputs))
    y = waves(1, (rows.outputs, columns.outputs)) / sizes.prod()
    y *= np.where(alone, 1, 2)[:, None]
    pairs, real = ~alone, alone[:, None]
    by_w = (w.real, w.real[pairs] + w.imag[pairs], w.imag[pairs] - w.real[pairs])
    by_x = (np.where(real, x.real, x.real + x.imag), x.imag[pairs], x.real[pairs])
    by_y = (np.where(real, y.real, y.real - y.imag), -y.real[pairs], -y.imag[pairs])
    t_w, t_x, t_y = (torch.from_numpy(np.concatenate(parts)) for parts in (by_w, by_x, by_y))
    return _Transforms(t_w, t_x, t_y.T.contiguous())


def _to_phases(map_: Tensor, counts: tuple[int, int], lead: tuple[int, int], rate: int) -> Tensor:
    """Return a map (B, h, w, C), padded, as phases (B * rate * rate, places, C)."""
    images, height, width, channels = map_.shape
    padded = map_.new_zeros(images, counts[0] * rate, counts[1] * rate, channels)
    padded[:, lead[0] : lead[0] + height, lead[1] : lead[1] + width] = map_
    apart = padded.view(images, counts[0], rate, counts[1], rate, channels)
    return apart.permute(0, 2, 4, 1, 3, 5).reshape(-1, counts[0] * counts[1], channels)


def _to_map(phases: Tensor, counts: tuple[int, int], rate: int) -> Tensor:
    """Return phases as the padded map again: `_to_phases` backwards."""
    apart = phases.view(-1, rate, rate, *counts, phases.shape[2]).permute(0, 3, 1, 4, 2, 5)
    return apart.reshape(-1, counts[0] * rate, counts[1] * rate, phases.shape[2])


class _Fourier(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, shape: Shape) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.shape = shape
        rows, columns = shape.phases()
        t = _transforms(rows, columns, shape.kernel)
        inputs = _transform(t.x, _inputs(x, shape))
        outputs = x.new_empty(len(inputs), len(t.y), shape.outputs)
        taps = weight.detach().flatten(2).mT  # (K, k * k, C), however they lie in memory
        for part in _parts(shape, len(t.w)):
            filters = _transform(t.w, taps[part])
            products = x.new_empty(len(inputs), len(t.w), len(filters))
            torch.bmm(_by_product(inputs), _by_product(filters).mT, out=_by_product(products))
            outputs[:, :, part] = _transform(t.y, products)
        y = _to_map(outputs, (rows.outputs, columns.outputs), shape.rate)
        size = (shape.images, shape.outputs, shape.height, shape.width)
        result = torch.empty(size, dtype=x.dtype, memory_format=torch.channels_last)
        kept = y[:, : shape.height, : shape.width]
        torch.add(kept, bias.detach(), out=result.permute(0, 2, 3, 1))
        return result  # not a view of more: a ReLU may work in place

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        shape: Shape = ctx.shape
        rows, columns = shape.phases()
        t = _transforms(rows, columns, shape.kernel)
        inputs = _transform(t.x, _inputs(x, shape))
        d_outputs = _to_phases(
            channels_last(dy), (rows.outputs, columns.outputs), (0, 0), shape.rate
        )
        d_inputs = torch.zeros_like(inputs)
        taps, d_weight = weight.detach().flatten(2).mT, torch.empty_like(weight)
        d_taps = d_weight.flatten(2)  # a view
        for part in _parts(shape, len(t.w)):
            filters = _transform(t.w, taps[part])
            d_products = _by_product(_transform(t.y.T, d_outputs[:, :, part]))
            _by_product(d_inputs).baddbmm_(d_products, _by_product(filters))
            torch.bmm(d_products.mT, _by_product(inputs), out=_by_product(filters))
            d_taps[part] = _transform(t.w.T, filters).mT
        whole = _to_map(_transform(t.x.T, d_inputs), (rows.inputs, columns.inputs), shape.rate)
        dx = whole[:, rows.lead :, columns.lead :][:, : shape.height, : shape.width]
        return dx.permute(0, 3, 1, 2), d_weight, dy.sum((0, 2, 3)), None


def fourier(
    x: Float[Tensor, "B C h w"],
    weight: Float[Tensor, "K C k k"],
    bias: Float[Tensor, " K"] | None,
    rate: int,
) -> Float[Tensor, "B K h w"]:
    """Convolve at stride 1 and an atrous ``rate``, padded so that the size stays, on a CPU.

    ``rate * (k - 1)`` is even. The result lies channels last.
    """
    images, inputs, height, width = x.shape
    shape = Shape(images, height, width, inputs, len(weight), weight.shape[2], rate)
    if bias is None:
        bias = torch.zeros(len(weight), dtype=weight.dtype)
    result: Tensor = _Fourier.apply(x, weight, bias, shape)  # type: ignore[no-untyped-call]
    return result


def _inputs(x: Tensor, shape: Shape) -> Tensor:
    """Return a map (B, C, h, w) as phases (B * rate * rate, inputs of a phase, C)."""
    rows, columns = shape.phases()
    lead = (rows.lead, columns.lead)
    return _to_phases(channels_last(x), (rows.inputs, columns.inputs), lead, shape.rate)


def _parts(shape: Shape, products: int) -> list[slice]:
    """Cut the filters into parts whose transforms take at most `CHUNK` bytes."""
    most = max(1, CHUNK // (products * shape.inputs * 4))
    return [slice(first, first + most) for first in range(0, shape.outputs, most)]


def _transform(matrix: Tensor, values: Tensor) -> Tensor:
    """Multiply a transform (R, places) and values (N, places, C): (N, R, C)."""
    return torch.bmm(matrix.to(values.dtype).expand(len(values), -1, -1), values)


def _by_product(values: Tensor) -> Tensor:
    """Return values (N, R, C) as (R, N, C)."""
    return values.transpose(0, 1)
