"""What has been refined, from what, by what: so that an interrupted `refine` goes on safely.

One JSON line per finished image in ``OUT/.done.jsonl``, written after the image's PNG is whole. A
PNG counts as done only if the line's ``inputs`` (parameters, engine, hashes of scores and image)
are those of now *and* the PNG's bytes are those that were written: a changed parameter, new scores
or an edited PNG make it again.
"""

import hashlib
import json
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from replication.atomic import naming, write_text
from replication.provenance import sha256_file

NAME = ".done.jsonl"


class Entry(TypedDict):
    """A finished image: hash of what decided it, hashes of its files, seconds of its CRF."""

    id: str
    inputs: str
    output: str
    probabilities: NotRequired[str]
    seconds: float


def fingerprint(setting: dict[str, Any], *files: Path) -> str:
    """Hash a setting (plain JSON data) together with the bytes of files."""
    text = json.dumps([setting, [sha256_file(path) for path in files]], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def read(folder: Path) -> dict[str, Entry]:
    """Return the entries of a folder by id; the last one counts; a torn last line does not."""
    entries: dict[str, Entry] = {}
    try:
        lines = (folder / NAME).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return entries
    for line in lines:
        try:
            entry = json.loads(line)
            read = Entry(
                id=str(entry["id"]),
                inputs=str(entry["inputs"]),
                output=str(entry["output"]),
                seconds=float(entry["seconds"]),
            )
            if "probabilities" in entry:
                read["probabilities"] = str(entry["probabilities"])
            entries[entry["id"]] = read
        except (ValueError, KeyError, TypeError):
            continue  # killed while writing: that image is refined again
    return entries


def append(folder: Path, entry: Entry) -> None:
    """Add an entry; each line starts anew, so that a torn one spoils only itself."""
    path = folder / NAME
    with naming(path), path.open("a", encoding="utf-8") as stream:
        stream.write("\n" + json.dumps(entry))


def rewrite(folder: Path, entries: list[Entry]) -> None:
    """Replace the ledger by exactly these entries."""
    write_text(folder / NAME, "".join(json.dumps(entry) + "\n" for entry in entries))


def is_done(entry: Entry | None, inputs: str, png: Path, probabilities: Path | None = None) -> bool:
    """Whether ``png``, and ``probabilities`` if given, are what ``entry`` says, from ``inputs``."""
    return (
        entry is not None
        and entry["inputs"] == inputs
        and png.is_file()
        and sha256_file(png) == entry["output"]
        and (
            probabilities is None
            or (
                probabilities.is_file() and sha256_file(probabilities) == entry.get("probabilities")
            )
        )
    )
