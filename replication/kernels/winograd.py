"""Winograd's transforms between maps and tiles, F(4 x 4, 3 x 3), compiled by numba.

A map is flat float32 of (B, H, W, C), channels last. Tile t of an image gives the 4 x 4 outputs
that begin at (``top[t]``, ``left[t]``) and lie ``rate`` positions apart, from the 6 x 6 inputs
around them. Row r is tile ``r % len(top)`` of image ``r // len(top)``. Rows from ``first`` on come
as 36 planes, one for each point of the transform: value ``k * plane + (r - first) * C + c``, so
that each plane is a matrix. ``plane`` is a little more than the plane's values: 36 stores a power
of two apart would share one cache set.

The matrices are Lavin and Gray's (arXiv 1509.09308, section 4.3; points 0, 1, -1, 2, -2). Each map
has its adjoint, for the backward pass. Kernels work on rows ``r0`` to ``r1`` and channels ``c0`` to
``c1``, eight lanes at a time, so that threads can share the work. Rows share inputs and no outputs:
threads that add to a map's inputs share channels alone.
"""
# ruff: noqa: PLR0917 - compiled functions take arrays one by one

import numpy as np

from replication.kernels import lanes as v
from replication.kernels.compiled import compiled, inlined

Array = np.ndarray
F = np.float32


@inlined
def _six(a: Array, at: int, step: int) -> tuple[v.Vector, ...]:
    """Load six lanes that lie ``step`` apart."""
    return (
        v.load(a, at),
        v.load(a, at + step),
        v.load(a, at + 2 * step),
        v.load(a, at + 3 * step),
        v.load(a, at + 4 * step),
        v.load(a, at + 5 * step),
    )


@inlined
def _input(a: Array, at: int, step: int, out: Array, to: int, apart: int) -> None:
    """Write B^T d of six inputs d."""
    d0, d1, d2, d3, d4, d5 = _six(a, at, step)
    four, less_four, less_five = v.broadcast(F(4)), v.broadcast(F(-4)), v.broadcast(F(-5))
    v.store(out, to, v.fma(four, d0, v.fma(less_five, d2, d4)))
    even, odd = v.fma(less_four, d2, d4), v.fma(less_four, d1, d3)
    v.store(out, to + apart, v.add(even, odd))
    v.store(out, to + 2 * apart, v.subtract(even, odd))
    even, odd = v.subtract(d4, d2), v.multiply(v.broadcast(F(2)), v.subtract(d3, d1))
    v.store(out, to + 3 * apart, v.add(even, odd))
    v.store(out, to + 4 * apart, v.subtract(even, odd))
    v.store(out, to + 5 * apart, v.fma(four, d1, v.fma(less_five, d3, d5)))


@inlined
def _input_adjoint(a: Array, at: int, step: int, out: Array, to: int, apart: int) -> None:
    """Write B m of six points m."""
    m0, m1, m2, m3, m4, m5 = _six(a, at, step)
    four, less_four, less_five = v.broadcast(F(4)), v.broadcast(F(-4)), v.broadcast(F(-5))
    sum1, less1 = v.add(m1, m2), v.subtract(m1, m2)
    sum2, less2 = v.add(m3, m4), v.multiply(v.broadcast(F(2)), v.subtract(m3, m4))
    v.store(out, to, v.multiply(four, m0))
    v.store(out, to + apart, v.subtract(v.fma(less_four, less1, v.multiply(four, m5)), less2))
    v.store(
        out, to + 2 * apart, v.subtract(v.fma(less_five, m0, v.multiply(less_four, sum1)), sum2)
    )
    v.store(out, to + 3 * apart, v.add(v.fma(less_five, m5, less1), less2))
    v.store(out, to + 4 * apart, v.add(m0, v.add(sum1, sum2)))
    v.store(out, to + 5 * apart, m5)


@inlined
def _output(a: Array, at: int, step: int, out: Array, to: int, apart: int) -> None:
    """Write A^T m of six points m: four outputs."""
    m0, m1, m2, m3, m4, m5 = _six(a, at, step)
    sum1, less1 = v.add(m1, m2), v.subtract(m1, m2)
    sum2, less2 = v.add(m3, m4), v.subtract(m3, m4)
    v.store(out, to, v.add(m0, v.add(sum1, sum2)))
    v.store(out, to + apart, v.fma(v.broadcast(F(2)), less2, less1))
    v.store(out, to + 2 * apart, v.fma(v.broadcast(F(4)), sum2, sum1))
    v.store(out, to + 3 * apart, v.add(v.fma(v.broadcast(F(8)), less2, less1), m5))


@inlined
def _output_adjoint(a: Array, at: int, step: int, out: Array, to: int, apart: int) -> None:
    """Write A y of four outputs y: six points."""
    y0, y1 = v.load(a, at), v.load(a, at + step)
    y2, y3 = v.load(a, at + 2 * step), v.load(a, at + 3 * step)
    four = v.broadcast(F(4))
    v.store(out, to, y0)
    even, odd = v.add(y0, y2), v.add(y1, y3)
    v.store(out, to + apart, v.add(even, odd))
    v.store(out, to + 2 * apart, v.subtract(even, odd))
    even, odd = v.fma(four, y2, y0), v.multiply(v.broadcast(F(2)), v.fma(four, y3, y1))
    v.store(out, to + 3 * apart, v.add(even, odd))
    v.store(out, to + 4 * apart, v.subtract(even, odd))
    v.store(out, to + 5 * apart, y3)


@inlined
def _load_or_zero(a: Array, y: int, x: int, n: int, H: int, W: int, C: int, c: int) -> v.Vector:
    """Load a map's lanes, zeros outside of it."""
    if y >= 0 and y < H and x >= 0 and x < W:
        value = v.load(a, ((n * H + y) * W + x) * C + c)
    else:
        value = v.broadcast(F(0))
    return value


@compiled
def input_tiles(
    x: Array, tiles: Array, top: Array, left: Array, rate: int, H: int, W: int, C: int, plane: int,
    first: int, r0: int, r1: int, c0: int, c1: int,
) -> None:  # fmt: skip
    """Fill ``tiles`` with B^T d B of the map ``x``, which is zero outside."""
    raw, half = np.empty(288, np.float32), np.empty(288, np.float32)
    for r in range(r0, r1):
        n, t = divmod(r, len(top))
        y0, x0 = top[t] - rate, left[t] - rate
        inside = y0 >= 0 and x0 >= 0 and y0 + 5 * rate < H and x0 + 5 * rate < W
        row = (r - first) * C
        for c in range(c0, c1, 8):
            if inside:
                for j in range(6):
                    start = ((n * H + y0) * W + x0 + j * rate) * C + c
                    _input(x, start, rate * W * C, half, 8 * j, 48)
            else:
                for i in range(6):
                    for j in range(6):
                        d = _load_or_zero(x, y0 + i * rate, x0 + j * rate, n, H, W, C, c)
                        v.store(raw, 48 * i + 8 * j, d)
                for j in range(6):
                    _input(raw, 8 * j, 48, half, 8 * j, 48)
            for i in range(6):
                _input(half, 48 * i, 8, tiles, 6 * i * plane + row + c, plane)


@compiled
def input_tiles_adjoint(
    tiles: Array, x: Array, top: Array, left: Array, rate: int, H: int, W: int, C: int, plane: int,
    first: int, r0: int, r1: int, c0: int, c1: int,
) -> None:  # fmt: skip
    """Add B m B^T of ``tiles`` to the map ``x``: where tiles overlap, to the same positions."""
    raw, half = np.empty(288, np.float32), np.empty(288, np.float32)
    for r in range(r0, r1):
        n, t = divmod(r, len(top))
        y0, x0 = top[t] - rate, left[t] - rate
        row = (r - first) * C
        for c in range(c0, c1, 8):
            for j in range(6):
                _input_adjoint(tiles, j * plane + row + c, 6 * plane, half, 8 * j, 48)
            for i in range(6):
                _input_adjoint(half, 48 * i, 8, raw, 48 * i, 8)
            for i in range(6):
                y = y0 + i * rate
                if y >= 0 and y < H:
                    for j in range(6):
                        x1 = x0 + j * rate
                        if x1 >= 0 and x1 < W:
                            to = ((n * H + y) * W + x1) * C + c
                            v.store(x, to, v.add(v.load(x, to), v.load(raw, 48 * i + 8 * j)))


@compiled
def output_map(
    tiles: Array, y: Array, bias: Array, top: Array, left: Array, rate: int, H: int, W: int, C: int,
    plane: int, first: int, r0: int, r1: int, c0: int, c1: int,
) -> None:  # fmt: skip
    """Write A^T m A of ``tiles``, and the bias, to the map ``y``."""
    raw, half = np.empty(288, np.float32), np.empty(288, np.float32)
    for r in range(r0, r1):
        n, t = divmod(r, len(top))
        row = (r - first) * C
        for c in range(c0, c1, 8):
            for j in range(6):
                _output(tiles, j * plane + row + c, 6 * plane, half, 8 * j, 48)
            shift = v.load(bias, c)
            for i in range(4):
                _output(half, 48 * i, 8, raw, 48 * i, 8)
                y1 = top[t] + i * rate
                if y1 < H:
                    for j in range(4):
                        x1 = left[t] + j * rate
                        if x1 < W:
                            value = v.add(shift, v.load(raw, 48 * i + 8 * j))
                            v.store(y, ((n * H + y1) * W + x1) * C + c, value)


@compiled
def output_map_adjoint(
    y: Array, tiles: Array, top: Array, left: Array, rate: int, H: int, W: int, C: int, plane: int,
    first: int, r0: int, r1: int, c0: int, c1: int,
) -> None:  # fmt: skip
    """Fill ``tiles`` with A y A^T of the map ``y``."""
    raw, half = np.empty(128, np.float32), np.empty(192, np.float32)
    for r in range(r0, r1):
        n, t = divmod(r, len(top))
        row = (r - first) * C
        for c in range(c0, c1, 8):
            for i in range(4):
                for j in range(4):
                    one = _load_or_zero(y, top[t] + i * rate, left[t] + j * rate, n, H, W, C, c)
                    v.store(raw, 32 * i + 8 * j, one)
            for j in range(4):
                _output_adjoint(raw, 8 * j, 32, half, 8 * j, 32)
            for i in range(6):
                _output_adjoint(half, 32 * i, 8, tiles, 6 * i * plane + row + c, plane)
