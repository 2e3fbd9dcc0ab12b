"""A convolution's ways on a CPU in 32 bits: torch's own, Winograd's, Fourier's, and tap by tap.

    python benchmarks/convolution.py [LAYER ...] [--crop 321] [--batch 2] [--rounds 5]

Forward and backward of each large layer of VGG-16 and of fc6, by every way that is open to it
(`replication.models.convolve`), in turns, on random maps; torch's own has the layout that is
fastest for it, channels first. One row a way and layer, in
benchmarks/results/convolution_<machine>_cpu.csv: the least seconds, how many times torch's speed
(the median of the rounds' ratios, and the least), its multiplications over torch's, and how many
times torch's seconds one multiplication takes: from that column are the weights by which
`ways.choose_way` decides. ``chosen`` says which way that is.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from table import place, put, surroundings
from torch import Tensor

from replication.models.convolve.fourier import fourier
from replication.models.convolve.taps import taps
from replication.models.convolve.ways import Shape, Way, choose_way, multiplications
from replication.models.convolve.winograd import winograd
from replication.plan import OUTPUT_STRIDE

Convolution = Callable[[Tensor, Tensor, Tensor, int], Tensor]


def direct(x: Tensor, weight: Tensor, bias: Tensor, rate: int) -> Tensor:
    return F.conv2d(x, weight, bias, padding=rate * (weight.shape[2] - 1) // 2, dilation=rate)


WAYS: dict[Way, Convolution] = {
    "direct": direct,
    "winograd": winograd,
    "taps": taps,
    "fourier": fourier,
}


def layers(crop: int, batch: int) -> dict[str, Shape]:
    """Return the layers of a crop: name, and shape of the convolution."""
    sides = {stride: (crop - 1) // stride + 1 for stride in (1, 2, 4, OUTPUT_STRIDE)}

    def shape(stride: int, inputs: int, outputs: int, kernel: int = 3, rate: int = 1) -> Shape:
        return Shape(batch, sides[stride], sides[stride], inputs, outputs, kernel, rate)

    found = {
        "conv1_2": shape(1, 64, 64),
        "conv2_1": shape(2, 64, 128),
        "conv2_2": shape(2, 128, 128),
        "conv3_1": shape(4, 128, 256),
        "conv3_2": shape(4, 256, 256),
        "conv4_1": shape(8, 256, 512),
        "conv4_2": shape(8, 512, 512),
        "conv5_1": shape(8, 512, 512, rate=2),
    }
    for rate in (2, 4, 6, 8, 12, 18, 24):
        found[f"fc6 3x3 rate {rate}"] = shape(8, 512, 1024, rate=rate)
    for kernel, rate in ((7, 4), (4, 4), (4, 8)):
        found[f"fc6 {kernel}x{kernel} rate {rate}"] = shape(8, 512, 4096, kernel, rate)
    return found | {"fc7 of 4,096": shape(8, 4096, 4096, 1), "fc7": shape(8, 1024, 1024, 1)}


def seconds(way: Way, shape: Shape, tensors: tuple[Tensor, Tensor, Tensor, Tensor]) -> float:
    """Return the seconds of forward and backward."""
    layout = torch.contiguous_format if way == "direct" else torch.channels_last
    x, weight, bias, towards = tensors
    x, towards = (each.contiguous(memory_format=layout) for each in (x, towards))
    given = [each.detach().requires_grad_() for each in (x, weight, bias)]
    start = time.perf_counter()
    WAYS[way](given[0], given[1], given[2], shape.rate).backward(towards)
    return time.perf_counter() - start


def measure(shape: Shape, rounds: int) -> dict[Way, list[float]]:
    """Return each way's seconds in every round, after one that does not count."""
    draw = torch.Generator().manual_seed(0)
    place_ = (shape.images, shape.height, shape.width)
    tensors = (
        torch.randn(place_[0], shape.inputs, *place_[1:], generator=draw),
        torch.randn(shape.outputs, shape.inputs, shape.kernel, shape.kernel, generator=draw),
        torch.zeros(shape.outputs),
        torch.randn(place_[0], shape.outputs, *place_[1:], generator=draw),
    )
    found: dict[Way, list[float]] = {way: [] for way in multiplications(shape)}
    for number in range(rounds + 1):
        for way, times in found.items():
            took = seconds(way, shape, tensors)
            if number:
                times.append(took)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("layers", nargs="*", metavar="LAYER", help="default: all")
    parser.add_argument("--crop", type=int, default=321, help="pixels, 8 k + 1 (default: 321)")
    parser.add_argument("--batch", type=int, default=2, help="crops (default: 2)")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each way (default: 5)")
    parser.add_argument("--out", type=Path, help="the table (default: see above)")
    given = parser.parse_args()
    known = layers(given.crop, given.batch)
    if unknown := [name for name in given.layers if name not in known]:
        parser.error(f"no layer {unknown[0]!r}; there are {', '.join(known)}")
    out = given.out or place("convolution", "cpu")
    about = {"threads": torch.get_num_threads(), **surroundings("torch", "numba")}
    for name in given.layers or known:
        shape = known[name]
        counts, rows = multiplications(shape), []
        times = measure(shape, given.rounds)
        for way, taken in times.items():
            ratios = [a / b for a, b in zip(times["direct"], taken, strict=True)]
            count = counts[way] / counts["direct"]
            rows.append(
                {
                    "layer": name,
                    "crop": given.crop,
                    "batch": given.batch,
                    "way": way,
                    "chosen": way == choose_way(shape),
                    "rounds": given.rounds,
                    "seconds": round(min(taken), 4),
                    "ratio": round(statistics.median(ratios), 2),
                    "ratio_least": round(min(ratios), 2),
                    "multiplications": round(count, 3),
                    "seconds_of_one": round(1 / statistics.median(ratios) / count, 2),
                    **about,
                }
            )
            print({k: v for k, v in rows[-1].items() if k not in about}, flush=True)
        put(out, rows)


if __name__ == "__main__":
    main()
