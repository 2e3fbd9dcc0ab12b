"""Both CRF engines on the same images, taken in turns in one process: seconds and ratios.

    python benchmarks/crf.py [--images 8] [--really fast]

For each image, with two pairs of widths drawn from the paper's coarse grid: pydensecrf, `lattice`
exact on its own (image made ready, lattices built, Q returned), and four w1 together, exact and
fast, as a search runs them (which has 32 pairs of widths to share the image's preparation). Once
with the allocator as it is and once tuned (no mmap, no trimming), which pydensecrf gains from; then
in two processes at once. From the seconds a grid point follows what the coarse grid (128 points on
100 images) takes; ``--really`` runs it, in as many processes as there are cores. Of the lattice
alone: its peak memory, and the seconds until it can refine in a fresh process, first with an empty
cache folder, so that it compiles (``first_start_seconds``), then again (``later_start_seconds``).

Rows go to benchmarks/results/crf_<machine>.csv; ratios are medians over images of pydensecrf's by
the lattice's, by the wall clock and by the processor's (which other loads disturb less).

Images are those of ../shared/data/voc100 where that is there; else random ones, on which labels
are less clear: expect other ratios; whole, or their corner of ``--crop`` pixels a side.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from images import STRIDE, image_ids, read, some_ids, source
from table import place, put, surroundings

WEIGHTS = (3.0, 4.0, 5.0, 6.0)
ALPHAS = tuple(range(30, 101, 10))
BETAS = (3, 4, 5, 6)
GRID = len(WEIGHTS) * len(ALPHAS) * len(BETAS)
TUNED = {"MALLOC_MMAP_THRESHOLD_": "4294967296", "MALLOC_TRIM_THRESHOLD_": "8589934592"}
ONE_THREAD = {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}


def load(image_id: str, side: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return an image's energies (21, H, W) and its colours (H, W, 3); or of ``side`` pixels."""
    from replication.crf.unary import unary_from_scores
    from replication.inference.enlarge import enlarge

    small, image = read(image_id)
    image = np.ascontiguousarray(image[:side, :side])
    return unary_from_scores(enlarge(small, STRIDE, image.shape[:2])), image


def settings(alpha: float, beta: float) -> list[Any]:
    """Return the grid points of one pair of widths."""
    from replication.crf.parameters import CrfParameters

    return [CrfParameters(w1=w1, sigma_alpha=alpha, sigma_beta=beta) for w1 in WEIGHTS]


def clock(run: Callable[[], Any]) -> tuple[float, float, Any]:
    """Return the wall clock's and the processor's seconds, and what came out."""
    wall, processor = time.perf_counter(), time.process_time()
    result = run()
    return time.perf_counter() - wall, time.process_time() - processor, result


def measure(image_id: str, side: int | None) -> dict[str, Any]:
    """Time everything once on one image, in turns."""
    from replication.crf import dense, lattice

    rng = np.random.default_rng(int(image_id))
    pairs = [(float(rng.choice(ALPHAS)), float(rng.choice(BETAS))) for _ in range(2)]
    grid = [p for pair in sorted(pairs) for p in settings(*pair)]
    unary, image = load(image_id, side)
    singles = grid[1::4]

    def labels(mode: Any) -> list[np.ndarray]:
        return [r.labels for r in lattice.mean_field_many(unary, image, grid, mode)]

    times: dict[str, list[tuple[float, float]]] = {}
    out: dict[str, Any] = {}
    for _ in range(2):
        for name, points, run in (
            ("pydensecrf", 2, lambda: [dense.mean_field(unary, image, p) for p in singles]),
            ("exact, single", 2, lambda: [lattice.mean_field(unary, image, p) for p in singles]),
            ("exact, four w1", 8, lambda: labels("exact")),
            ("fast, four w1", 8, lambda: labels("fast")),
        ):
            wall, processor, out[name] = clock(run)
            times.setdefault(name, []).append((wall / points, processor / points))
    q, truth = np.stack(out["exact, single"]), np.stack(out["pydensecrf"])
    both = zip(out["exact, four w1"], out["fast, four w1"], strict=True)
    return {
        "id": image_id,
        "seconds": {name: min(pair) for name, pair in times.items()},
        "largest_change": float(np.abs(q - truth).max()),
        "changed_exact": float((q.argmax(1) != truth.argmax(1)).mean()),
        "changed_fast": float(np.mean([(a != b).mean() for a, b in both])),
    }


def inside(ids: Sequence[str], side: int | None) -> None:
    """Measure in this process: one line of JSON an image."""
    from replication.crf import lattice

    unary, image = load(ids[0])
    for mode in ("exact", "fast"):  # compiles what is not compiled yet
        list(lattice.mean_field_many(unary[:, :8, :8].copy(), image[:8, :8], settings(30, 3), mode))
    for image_id in ids:
        print(json.dumps(measure(image_id, side)), flush=True)


def inside_memory(image_id: str) -> None:
    """Print the peak memory of a process that runs the lattice alone, MiB."""
    from replication.crf import lattice
    from replication.provenance import peak_memory_mib

    unary, image = load(image_id)
    list(lattice.mean_field_many(unary, image, settings(30, 3)))
    list(lattice.mean_field_many(unary, image, settings(30, 3), "fast"))
    print(peak_memory_mib())


def inside_start() -> None:
    """Print the seconds until the lattice can refine, exactly and fast, in this process."""
    start = time.perf_counter()
    from replication.crf.labelling import prepare

    prepare("lattice", "exact")
    prepare("lattice", "fast")
    print(time.perf_counter() - start)


def starts() -> dict[str, float]:
    """Return the seconds of a first start, which compiles, and of a later one."""
    with tempfile.TemporaryDirectory() as folder:
        seconds = [
            float(children([["--inside", "start"]], NUMBA_CACHE_DIR=folder)[0]) for _ in range(2)
        ]
    names = ("first_start_seconds", "later_start_seconds")
    return {name: round(each, 2) for name, each in zip(names, seconds, strict=True)}


def inside_grid(ids: Sequence[str], mode: Any) -> None:
    """Run the coarse grid on images, all points of an image in one call."""
    from replication.crf import lattice

    for image_id in ids:
        unary, image = load(image_id)
        grid = [p for alpha in ALPHAS for beta in BETAS for p in settings(alpha, beta)]
        for _ in lattice.mean_field_many(unary, image, grid, mode):
            pass
        print(json.dumps({"id": image_id}), flush=True)


def children(commands: list[list[str]], **variables: str) -> list[str]:
    """Run this file in several processes at once; return what they print."""
    running = [
        subprocess.Popen(
            [sys.executable, __file__, *command],
            env={**os.environ, **ONE_THREAD, **variables},
            stdout=subprocess.PIPE,
            text=True,
        )
        for command in commands
    ]
    printed = [process.communicate()[0] for process in running]
    if any(process.returncode for process in running):
        raise SystemExit("a measuring process failed: its message is above")
    return printed


def summarize(name: str, printed: list[str], processes: int, base: dict[str, Any]) -> list[Any]:
    """Return a row for each way of running, from what measuring processes printed."""
    found = [json.loads(line) for text in printed for line in text.splitlines()]
    rows = []
    for way in found[0]["seconds"]:
        walls = [m["seconds"][way][0] for m in found]
        ratios = [
            [m["seconds"]["pydensecrf"][k] / m["seconds"][way][k] for m in found] for k in (0, 1)
        ]
        mean = statistics.mean(walls)
        row = {
            **base,
            "way": way,
            "allocator": name,
            "processes": processes,
            "images": len(found),
            "seconds_a_point": round(mean, 4),
            "ratio": round(statistics.median(ratios[0]), 2),
            "ratio_least": round(min(ratios[0]), 2),
            "ratio_processor": round(statistics.median(ratios[1]), 2),
            "grid_minutes": round(mean * GRID * 100 / processes / 60, 1),
        }
        if way.startswith("exact"):
            row["labels_changed"] = statistics.mean(m["changed_exact"] for m in found)
            row["largest_change_of_q"] = max(m["largest_change"] for m in found)
        elif way.startswith("fast"):
            row["labels_changed"] = statistics.mean(m["changed_fast"] for m in found)
        rows.append(row)
        print(row, flush=True)
    return rows


def main() -> None:
    """Measure in child processes and write the CSV."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=8, metavar="N", help="how many (default: 8)")
    parser.add_argument(
        "--really", choices=["fast", "exact"], help="also run the whole coarse grid in this mode"
    )
    parser.add_argument("--crop", type=int, metavar="N", help="pixels a side (default: all)")
    parser.add_argument("--out", type=Path, help="the CSV (default: in benchmarks/results)")
    parser.add_argument("--inside", nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.inside:
        what, *ids = given.inside
        if what == "time":
            inside(ids, given.crop)
        elif what == "memory":
            inside_memory(ids[0])
        elif what == "start":
            inside_start()
        else:
            inside_grid(ids, what)
        return
    if given.images < 2:
        parser.error("`--images` must be 2 or more")
    from replication.crf.engine import engine_version

    versions = [engine_version(name) for name in ("pydensecrf", "lattice")]
    if None in versions:
        parser.error("both engines must be installed: `pip install pydensecrf2 numba`")
    base = {
        **surroundings("numba", "numpy", "pydensecrf2"),
        "data": source(),
        "crop": given.crop or "",
        "engines": "; ".join(str(version) for version in versions),
    }
    ids = some_ids(given.images)
    timed = [*(["--crop", str(given.crop)] if given.crop else []), "--inside", "time"]
    rows = summarize("plain", children([[*timed, *ids]]), 1, base)
    rows += summarize("tuned", children([[*timed, *ids]], **TUNED), 1, base)
    rows += summarize("plain", children([[*timed, *ids[k::2]] for k in range(2)]), 2, base)
    memory = float(children([["--inside", "memory", ids[0]]])[0])
    alone = {"way": "lattice alone", "crop": "", "peak_memory_mib": round(memory)}
    rows.append({**base, **alone, **starts()})
    print(rows[-1])
    if given.really:
        cores = os.cpu_count() or 1
        start = time.perf_counter()
        everything = image_ids()
        children([["--inside", given.really, *everything[k::cores]] for k in range(cores)])
        minutes = (time.perf_counter() - start) / 60
        row = {**base, "way": f"{given.really}, whole grid", "crop": "", "processes": cores}
        rows.append({**row, "images": len(everything), "grid_minutes": round(minutes, 2)})
        print(rows[-1])
    out = given.out or place("crf")
    put(out, rows)
    print(out)


if __name__ == "__main__":
    main()
