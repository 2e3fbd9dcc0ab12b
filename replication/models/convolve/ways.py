"""Which way to compute a convolution: counted in multiplications, weighed by measured speed."""

from functools import cache
from importlib.util import find_spec
from typing import Literal, NamedTuple

Way = Literal["direct", "winograd", "taps", "fourier"]

# Fewer multiplications than this take some milliseconds: nothing is gained by another way.
LEAST = 2**29
# What a multiplication takes, over one of torch's own convolution (oneDNN, forward and backward),
# measured on two AVX2 cores (benchmarks/convolution.py): Winograd's transforms included, and of
# taps that the map of outputs is read and written for each, which counts like more inputs.
WINOGRAD = 2.0
TAPS, MORE_INPUTS = 1.25, 64
FOURIER = 2.3  # its many small products
ONE_TAP = 0.85  # of 1 x 1: a matrix product, which oneDNN reaches at a few hundred channels only


class Shape(NamedTuple):
    """A convolution of stride 1 that keeps the map's size.

    Attributes:
        images, height, width: of the map.
        inputs, outputs: channels.
        kernel: taps a side.
        rate: positions from tap to tap.
    """

    images: int
    height: int
    width: int
    inputs: int
    outputs: int
    kernel: int
    rate: int

    def offset(self, tap: int) -> int:
        """Return how far to the right (down) of its output a tap reads."""
        return self.rate * tap - self.rate * (self.kernel - 1) // 2

    def phases(self) -> "tuple[Phases, Phases]":
        """Return the rows and the columns of a phase."""
        return self._phases(self.height), self._phases(self.width)

    def _phases(self, length: int) -> "Phases":
        shift, lead = divmod(-self.offset(0), self.rate)
        outputs = -(-length // self.rate)
        inputs = -(-(length + lead) // self.rate)
        points = max(outputs + self.kernel - 1 - shift, inputs + shift)
        return Phases(inputs, outputs, lead, shift, points)


class Phases(NamedTuple):
    """A side of the maps' phases: of the positions ``rate`` apart.

    Attributes:
        inputs, outputs: positions of a phase, at most.
        lead: padding before the first input, so that a phase's outputs read one phase.
        shift: whole places by which an output's first tap lies before it.
        points: of a cyclic convolution that is right at every output.
    """

    inputs: int
    outputs: int
    lead: int
    shift: int
    points: int


def tile_starts(length: int, rate: int) -> list[int]:
    """Return where tiles of 4 outputs, ``rate`` apart, begin on a side of ``length`` positions."""
    return [
        first + 4 * rate * tile
        for first in range(min(rate, length))
        for tile in range(-(-len(range(first, length, rate)) // 4))
    ]


def overlap(length: int, offset: int) -> slice:
    """Return the outputs along a side whose tap at ``offset`` reads the map and not the padding."""
    return slice(max(0, -offset), max(0, min(length, length - offset)))


def _covered(shape: Shape, length: int) -> int:
    """Count (output, tap) pairs along a side where the tap reads the map."""
    spans = (overlap(length, shape.offset(tap)) for tap in range(shape.kernel))
    return sum(max(0, span.stop - span.start) for span in spans)


def _by_fourier(shape: Shape) -> int:
    """Count the multiplications of Fourier's way, those of its transforms included."""
    rows, columns = shape.phases()
    points = rows.points * columns.points
    real = (2 - rows.points % 2) * (2 - columns.points % 2)  # frequencies; the others go by pairs
    products = 3 * (points - real) // 2 + real
    phases = shape.images * shape.rate**2
    read = phases * rows.inputs * columns.inputs + shape.outputs * shape.kernel**2
    written = phases * rows.outputs * columns.outputs
    multiplied = phases * shape.inputs * shape.outputs
    return products * (multiplied + shape.inputs * read + shape.outputs * written)


def multiplications(shape: Shape) -> dict[Way, int]:
    """Count the multiplications of each way that is open to ``shape``."""
    channels = shape.images * shape.inputs * shape.outputs
    sides = (shape.height, shape.width)
    counts: dict[Way, int] = {
        "direct": channels * shape.kernel**2 * shape.height * shape.width,
        "taps": channels * _covered(shape, sides[0]) * _covered(shape, sides[1]),
    }
    if shape.kernel == 3 and shape.inputs % 8 == shape.outputs % 8 == 0:
        rows, columns = (len(tile_starts(side, shape.rate)) for side in sides)
        counts["winograd"] = channels * 36 * rows * columns
    if shape.kernel > 3:
        counts["fourier"] = _by_fourier(shape)
    return counts


@cache
def _numba_is_here() -> bool:
    return find_spec("numba") is not None


def choose_way(shape: Shape, *, half: bool = False) -> Way:
    """Return the way that should take least time; without numba, one that needs it not.

    In bfloat16 (``half``) the points of Winograd and Fourier would lose what it has not to lose.
    """
    counts = multiplications(shape)
    if half or not _numba_is_here():
        counts.pop("winograd", None)
    if half:
        counts.pop("fourier", None)
    if counts["direct"] < LEAST:
        return "direct"
    tap = ONE_TAP if shape.kernel == 1 and not half else TAPS
    weights: dict[Way, float] = {
        "direct": 1.0,
        "winograd": WINOGRAD,
        "taps": tap * (1 + MORE_INPUTS / shape.inputs),
        "fourier": FOURIER,
    }
    return min(counts, key=lambda way: counts[way] * weights[way])
