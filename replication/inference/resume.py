"""Scores that an interrupted call has written: which images need not be scored again.

While a folder is being filled, ``.scoring.json`` in it says from what: weights, data, settings and
code. The next call keeps what is there if it is to be made from the same; ``score.json`` takes the
note's place when all is done.
"""

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from replication.atomic import write_json
from replication.errors import ReplicationError
from replication.inference.store import read_scores
from replication.provenance import sha256_folder

NOTE, RECORD = ".scoring.json", "score.json"
_PACKAGE = Path(__file__).parents[1]


def begin(out: Path, ids: Sequence[str], **inputs: Any) -> set[str]:
    """Return the ids that ``out`` holds scores of, made from the same ``inputs``.

    Else the folder is emptied. A file that can't be read does not count, nor does the newest: so
    something is always left to do, and the speed that is recorded was measured.
    """
    code = [sha256_folder(_PACKAGE / room, "*.py") for room in ("inference", "models")]
    text = json.dumps([list(ids), inputs, code], sort_keys=True)
    wanted = hashlib.sha256(text.encode()).hexdigest()
    if _noted(out) != wanted:
        shutil.rmtree(out, ignore_errors=True)
        write_json(out / NOTE, {"inputs": wanted})
        return set()
    found = [name for name in ids if _whole(out / f"{name}.npz")]
    newest = max(found, key=lambda name: (out / f"{name}.npz").stat().st_mtime_ns, default="")
    return set(found) - {newest}


def finish(out: Path, record: dict[str, Any]) -> None:
    """Write ``score.json``, which says that the folder is whole."""
    write_json(out / RECORD, record)
    (out / NOTE).unlink(missing_ok=True)


def _noted(out: Path) -> str | None:
    try:
        return str(json.loads((out / NOTE).read_text(encoding="utf-8"))["inputs"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _whole(path: Path) -> bool:
    try:
        read_scores(path)
    except ReplicationError:
        return False
    return True
