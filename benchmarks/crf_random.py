"""How far the engine `lattice` is from pydensecrf on random scores.

    python benchmarks/crf_random.py --iterations 4 --seconds 100

Draws images of up to 40x40 pixels and 40 labels, with random scores and parameters whose weights
add up to 12 or less, and prints how many were drawn, the largest difference of Q, and how many
differ by more than 1e-4. Beyond 12 both are the same bit for bit (`crf/lattice/ordered.py`).
"""

import argparse
import time

import numpy as np

from replication.crf import dense, lattice
from replication.crf.parameters import CrfParameters


def main() -> None:
    """Draw until the time is over."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--iterations", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=100)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    rng = np.random.default_rng(given.seed)

    def draw(low: float, high: float) -> float:
        return low if rng.random() < 0.3 else float(rng.uniform(low, high))

    found = []
    end = time.monotonic() + given.seconds
    while time.monotonic() < end:
        height, width, classes = rng.integers(1, 41), rng.integers(1, 41), rng.integers(2, 41)
        image = rng.integers(0, 256, (height, width, 3)).astype(np.uint8)
        image[: height // 2] = image[: height // 2] // 16 + 100  # something to smooth
        unary = (rng.normal(size=(classes, height, width)) * 2).astype(np.float32)
        p = CrfParameters(
            w1=draw(0.1, 9),
            sigma_alpha=draw(1, 200),
            sigma_beta=draw(1, 50),
            w2=3,
            sigma_gamma=draw(0.5, 20),
            iterations=given.iterations,
        )
        ours, theirs = lattice.mean_field(unary, image, p), dense.mean_field(unary, image, p)
        found.append(float(np.abs(ours - theirs).max()))
    beyond = sum(difference > 1e-4 for difference in found)
    print(f"{len(found)} draws: largest {max(found):.1e}, {beyond} beyond 1e-4")


if __name__ == "__main__":
    main()
