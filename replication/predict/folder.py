"""The folder of results: what it holds is of one checkpoint and one setting, as its record says."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from replication.atomic import write_json
from replication.errors import ReplicationError
from replication.predict.run import Target

RECORD = "predict.json"


def claim(
    out: Path, record: dict[str, Any], tasks: Sequence[tuple[Path, Target]], *, overwrite: bool
) -> list[tuple[Path, Target]]:
    """Write the record of what is about to be made; return the tasks that are left to do.

    Results of the same record are kept: an interrupted command goes on.

    Args:
        out: the folder, made if it does not exist.
        record: what decides the results (``checkpoint``, ``setting``) and what tells of it.
        tasks: images and where their results go.
        overwrite: make everything again, whatever is there.

    Raises:
        ReplicationError: the folder holds one of the images; or, without ``overwrite``, the
            folder holds results of another record, or of none.
    """
    for image, target in tasks:
        # The next call would take label maps for photographs, or write over a photograph.
        if target.label.resolve().parent == image.resolve().parent:
            raise ReplicationError(f"--out {out} is the folder of {image}; give another one")
    cure = "give --overwrite, or another --out"
    path = out / RECORD
    if not overwrite:
        earlier = _read(path)
        there = [p for _, target in tasks for p in target.paths() if p.exists()]
        if earlier is None and there:
            raise ReplicationError(f"{there[0]} is there already; {cure}")
        if earlier is not None:
            other = [key for key in ("checkpoint", "setting") if earlier.get(key) != record[key]]
            if other:
                raise ReplicationError(
                    f"{path}: the folder holds results of {_difference(earlier, record)}; {cure}"
                )
    try:
        write_json(path, record)
    except OSError as error:
        raise ReplicationError(f"--out {out}: can't be written ({error.strerror})") from None
    return [(image, target) for image, target in tasks if overwrite or not target.is_whole()]


def _read(path: Path) -> dict[str, Any] | None:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError):
        return {}  # of nothing that we know
    return record if isinstance(record, dict) else {}


def _difference(earlier: dict[str, Any], record: dict[str, Any]) -> str:
    """Say in a few words how an earlier record differs from this one."""
    if earlier.get("checkpoint") != record["checkpoint"]:
        return "another checkpoint"
    before, now = earlier.get("setting"), record["setting"]
    if isinstance(before, dict):
        for key, value in now.items():
            if before.get(key) != value:
                return f"other options (`{key}` was {before.get(key)!r}, is {value!r})"
    return "other options"
