"""One real-size update of every network: does it fit, and how long does it take?

    python benchmarks/one_update.py [RUN ...] [--profile paper]

Every run of experiments.yaml, pre-training on COCO and the other data sets' too, each in a process
of its own: random crops and random initial weights, the run's own batch at the profile's crop,
through the code that trains. One row a network, in
benchmarks/results/one_update_<profile>_<machine>_<device>.csv: seconds of the update, memory at its
peak (resident on a CPU, allocated on a GPU), seconds a crop. A second update is timed where the
first, which also sets up, took less than a minute. Rows of networks that are not named stay.
"""

import argparse
from pathlib import Path
from typing import Any

from table import place, put, surroundings
from training import Trainer
from workload import ROOT, chosen, sizes

_SOON = 60.0  # seconds


def measure(run: str, profile: str, options: list[str]) -> dict[str, Any]:
    """Make one update of ``run`` (two if quick) in a fresh process; return a row."""
    trainer = Trainer("ours", run, options)
    seconds = trainer.update()["wall"]
    if seconds < _SOON:
        seconds = trainer.update()["wall"]
    about = trainer.about | trainer.end()
    return {
        "run": run,
        "profile": profile,
        **{name: about[name] for name in ("batch", "micro_batch", "crop", "parameters")},
        "seconds_an_update": round(seconds, 2),
        "seconds_a_crop": round(seconds / about["batch"], 3),
        **{name: about[name] for name in ("peak_memory_mib", "device", "threads", "precision")},
        "torch": about["torch"],
        **surroundings("lightning", "numpy"),
    }


def main() -> None:
    """Measure the runs that are named, and write the CSV row by row."""
    from replication.settings import Experiments, parse

    known = list(parse(Experiments, ROOT / "experiments.yaml").all_runs)
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "runs", nargs="*", metavar="RUN", help=f"default: all of {', '.join(known)}"
    )
    sizes(parser)
    parser.add_argument("--out", type=Path, help="the CSV (default: in benchmarks/results)")
    given = parser.parse_args()
    unknown = [run for run in given.runs if run not in known]
    if unknown:
        parser.error(f"no run is called {unknown[0]}; choose from {', '.join(known)}")
    for run in given.runs or known:
        row = measure(run, given.profile, chosen(given))
        print(row, flush=True)
        put(given.out or place(f"one_update_{given.profile}", row["device"]), [row])


if __name__ == "__main__":
    main()
