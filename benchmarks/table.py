"""Where a benchmark's rows go: a CSV named by what was measured, the machine and the device."""

import csv
import re
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results"
# What a row is of: a new row takes the place of the old one that agrees in these.
KEYS = (
    *("run", "profile", "crop", "batch", "micro_batch", "way", "rescale", "test_size", "layer"),
    *("images_of", "source", "data", "allocator", "processes"),
)


def place(what: str, device: str | None = None) -> Path:
    """Return results/WHAT_MACHINE[_DEVICE].csv."""
    from replication.provenance import environment

    parts = [environment()["processor"], *([] if device is None else [device])]
    names = [re.sub(r"\W+", "-", part).strip("-") for part in parts]
    return RESULTS / f"{'_'.join([what, *names])}.csv"


def surroundings(*packages: str) -> dict[str, Any]:
    """Return the columns that say what a row was measured on, the versions of packages among them.

    ``memory_gib`` is what the process may have; ``commit`` has ``+changes`` where the package
    differs from it.
    """
    from replication.doctor.machine import usable_memory
    from replication.provenance import environment

    about = environment()
    return {
        "processor": about["processor"],
        "cores": about["cores"],
        "memory_gib": round(usable_memory()[0] / 2**30, 1),
        "system": about["system"],
        "commit": about["commit"],
        "python": about["python"],
        **{name: about["packages"][name] for name in packages},
    }


def put(out: Path, rows: list[dict[str, Any]]) -> None:
    """Write rows into the table ``out``; old rows of the same `KEYS` go, the others stay.

    Columns that only some rows have, such as those of an older version, are empty in the others.
    """

    def key(row: dict[str, Any]) -> tuple[str, ...]:
        return tuple(str(row.get(name, "")) for name in KEYS)

    kept: dict[tuple[str, ...], dict[str, Any]] = {}
    if out.is_file():
        with out.open(newline="", encoding="utf-8") as stream:
            kept = {key(row): row for row in csv.DictReader(stream)}
    kept |= {key(row): row for row in rows}
    columns = list(dict.fromkeys(name for row in (*rows, *kept.values()) for name in row))
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("w", newline="", encoding="utf-8") as stream:
        table = csv.DictWriter(stream, columns, restval="")
        table.writeheader()
        table.writerows(kept.values())
