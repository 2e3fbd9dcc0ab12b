"""Where a benchmark's rows go: a CSV named by what was measured, the machine and the device."""

import csv
import re
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results"
# What a row is of: a new row takes the place of the old one that agrees in these.
KEYS = (
    *("run", "profile", "crop", "batch", "micro_batch", "way", "rescale", "test_size"),
    "images_of",
)


def place(what: str, device: str) -> Path:
    """Return results/WHAT_MACHINE_DEVICE.csv."""
    from replication.provenance import environment

    parts = (environment()["processor"], device)
    names = [re.sub(r"\W+", "-", part).strip("-") for part in parts]
    return RESULTS / f"{'_'.join([what, *names])}.csv"


def put(out: Path, rows: list[dict[str, Any]]) -> None:
    """Write rows into the table ``out``; old rows of the same `KEYS` go, the others stay."""

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
