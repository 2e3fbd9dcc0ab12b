"""3x3 convolutions by Winograd's F(4 x 4, 3 x 3): 36 multiplications for 16 outputs, not 144.

Lavin and Gray, arXiv 1509.09308. Tiles of the map and filters are brought to 36 points, multiplied
there as 36 matrix products over the channels, and brought back. At an atrous rate r the map falls
into r x r maps that do not know of each other; the tiles of each are taken where they lie.
"""

from functools import cache
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor
from torch.autograd.function import once_differentiable

from replication.kernels import winograd as tiles
from replication.kernels.compiled import prepare
from replication.models.convolve.scratch import Planes, buffer, chunks, spread
from replication.models.convolve.ways import tile_starts

# G of Lavin and Gray's section 4.3: filters to points.
_G = torch.tensor(
    [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ],
    dtype=torch.float64,
)
_FILTERS = torch.kron(_G, _G).float()  # (36, 9)


class _Winograd(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, rate: int) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last)
        ctx.save_for_backward(x, weight)
        ctx.rate = rate
        outputs = len(weight)
        points, y = _points(weight), _map_like(x, outputs)
        shift, flat = bias.detach().numpy(), _flat(y)
        for rows in _chunks(x, outputs, rate):
            products = Planes("outputs", rows, outputs)
            torch.bmm(_tiles_of(x, rate, rows).matrices, points.mT, out=products.matrices)
            _run(tiles.output_map, products.flat, flat, shift, y=y, rate=rate, planes=products)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        outputs, inputs = weight.shape[:2]
        dy = dy.contiguous(memory_format=torch.channels_last)
        dx = _map_like(x, inputs).zero_() if ctx.needs_input_grad[0] else None
        d_points = buffer("d_points", 36, outputs, inputs) if ctx.needs_input_grad[1] else None
        points = _points(weight) if dx is not None else None
        of = {"rate": ctx.rate}
        for rows in _chunks(x, outputs, ctx.rate):
            gradients = Planes("outputs", rows, outputs)
            _run(tiles.output_map_adjoint, _flat(dy), gradients.flat, y=dy, planes=gradients, **of)
            if d_points is not None:  # the tiles again: kept, they would be 2.25 maps
                pair = gradients.matrices.mT, _tiles_of(x, ctx.rate, rows).matrices
                d_points.baddbmm_(
                    *pair, beta=min(1, rows[0])
                )  # the first takes what was there away
            if dx is not None:
                assert points is not None
                d_tiles = Planes("inputs", rows, inputs)
                torch.bmm(gradients.matrices, points, out=d_tiles.matrices)
                _run(tiles.input_tiles_adjoint, d_tiles.flat, _flat(dx), y=dx, planes=d_tiles, **of)
        return (
            dx,
            None if d_points is None else _filters(d_points),
            dy.sum((0, 2, 3)) if ctx.needs_input_grad[2] else None,
            None,
        )


def winograd(
    x: Float32[Tensor, "B C h w"],
    weight: Float32[Tensor, "K C 3 3"],
    bias: Float32[Tensor, " K"] | None,
    rate: int,
) -> Float32[Tensor, "B K h w"]:
    """Convolve at stride 1 and an atrous ``rate``, padded by it, on a CPU.

    C and K are multiples of 8. The result lies channels last. It differs from a sum over the nine
    taps by rounding, a few 1e-6 of the largest value.
    """
    _ready()
    if bias is None:
        bias = torch.zeros(len(weight))
    result: Tensor = _Winograd.apply(x, weight, bias, rate)  # type: ignore[no-untyped-call]
    return result


@cache
def _ready() -> None:
    """Compile the kernels, or load them, on the smallest map."""

    def rehearse() -> None:
        with torch.inference_mode(False), torch.enable_grad():
            x = torch.zeros(1, 8, 1, 1, requires_grad=True)
            y: Tensor = _Winograd.apply(  # type: ignore[no-untyped-call]
                x, torch.zeros(8, 8, 3, 3, requires_grad=True), torch.zeros(8), 1
            )
            torch.autograd.backward(y.sum())

    prepare(rehearse, "winograd", "Winograd's convolutions")


@cache
def _starts(height: int, width: int, rate: int) -> tuple[np.ndarray, np.ndarray]:
    """Return where each tile of an image begins: rows, columns."""
    grid = np.meshgrid(tile_starts(height, rate), tile_starts(width, rate), indexing="ij")
    top, left = (each.ravel().astype(np.int64) for each in grid)
    return top, left


def _chunks(x: Tensor, outputs: int, rate: int) -> list[tuple[int, int]]:
    """Return the ranges of tiles, of all images of a map (B, C, h, w), that are made at once."""
    images, inputs, height, width = x.shape
    return chunks(images * len(_starts(height, width, rate)[0]), max(inputs, outputs))


def _run(kernel: Any, *arrays: np.ndarray, y: Tensor, rate: int, planes: Planes) -> None:
    """Run a kernel between planes and the map ``y``, whose arrays are given."""
    _, channels, height, width = y.shape
    place = (*_starts(height, width, rate), rate, height, width, channels, planes.plane)
    # tiles overlap where they are added to the map that they came from
    by: Literal["rows", "channels"] = "channels" if kernel is tiles.input_tiles_adjoint else "rows"
    spread(kernel, *arrays, *place, planes.rows[0], rows=planes.rows, channels=channels, by=by)


def _tiles_of(x: Tensor, rate: int, rows: tuple[int, int]) -> Planes:
    """Bring a map to points."""
    planes = Planes("inputs", rows, x.shape[1])
    _run(tiles.input_tiles, _flat(x), planes.flat, y=x, rate=rate, planes=planes)
    return planes


def _points(weight: Tensor) -> Tensor:
    """Bring filters (K, C, 3, 3) to points: (36, K, C), which last until the next ones."""
    points = buffer("points", 36, *weight.shape[:2])
    torch.mm(_FILTERS, weight.detach().permute(2, 3, 0, 1).reshape(9, -1), out=points.flatten(1))
    return points


def _filters(points: Tensor) -> Tensor:
    """Bring the gradient at points (36, K, C) to that of filters: (K, C, 3, 3)."""
    taps = (_FILTERS.T @ points.flatten(1)).view(3, 3, *points.shape[1:])
    return taps.permute(2, 3, 0, 1).contiguous()


def _map_like(x: Tensor, channels: int) -> Tensor:
    """Return an empty map (B, channels, h, w) that lies channels last."""
    size = (x.shape[0], channels, *x.shape[2:])
    return torch.empty(size, memory_format=torch.channels_last)


def _flat(x: Tensor) -> np.ndarray:
    """Return the values of a map that lies channels last, as they lie."""
    flat: np.ndarray = x.detach().permute(0, 2, 3, 1).reshape(-1).numpy()
    return flat
