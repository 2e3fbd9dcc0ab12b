"""A training's learning curve, as its result keeps it: ``curve.tsv`` of the run, read."""

import csv
from math import isfinite
from pathlib import Path

from replication.errors import ReplicationError

COLUMNS = ("step", "loss", "lr")
_CURE = "remove its folder and train the run again"


def read_curve(path: Path) -> dict[str, list[int] | list[float]]:
    """Read the table of tabs that training leaves: by column of `COLUMNS`, one value a line.

    ``step`` counts updates (whole numbers), ``loss`` is the mean since the line before, ``lr`` the
    base learning rate.

    Raises:
        ReplicationError: unreadable, a column is missing, not finite numbers, or empty.
    """
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            lines = list(csv.DictReader(stream, delimiter="\t"))
        if not lines:
            raise ValueError("no line")
        step, loss, lr = ([_number(line[name]) for line in lines] for name in COLUMNS)
        return {"step": [int(update) for update in step], "loss": loss, "lr": lr}
    except (OSError, ValueError, TypeError, KeyError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise ReplicationError(f"{path}: no learning curve ({reason}); {_CURE}") from error


def _number(text: str | None) -> float:
    value = float(text or "")
    if not isfinite(value):
        raise ValueError(f"{text} is no finite number")
    return value
