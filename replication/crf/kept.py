"""What a search has counted so far, kept on disk: an interrupted search goes on from it.

One ``.npz`` for each finished task in ``OUT.partial/``, written whole or not at all. A file counts
only if what it was made from (image, scores, label, everything that the search holds fixed, the
engine's version) is what is searched now; it may come from another grid, so that a search with
more points goes on too. The folder is deleted when the result is written.
"""

import hashlib
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import get_args

import numpy as np

from replication.atomic import atomic_path
from replication.crf.engine import engine_version
from replication.crf.grid import Point
from replication.crf.lattice import Mode
from replication.crf.ledger import fingerprint
from replication.crf.run import Item
from replication.crf.tally import Fixed, Part, Tally

_BROKEN = (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error)


def partial_folder(out: Path) -> Path:
    """Return where an unfinished search keeps its counts."""
    return out.with_name(f"{out.name}.partial")


class Kept:
    """The tallies of a search, by mode, image and point; each is on disk before it is here."""

    def __init__(self, folder: Path, items: Iterable[Item], fixed: Fixed) -> None:
        """Take up what ``folder`` holds of these images under these settings."""
        self.folder = folder
        plain = {**asdict(fixed), "version": engine_version(fixed.engine), "format": 2}
        self._inputs: dict[str, str] = {}
        for item in items:
            assert item.label is not None
            self._inputs[item.id] = fingerprint(plain, item.image, item.scores, item.label)
        self._counts: dict[tuple[Mode, str], dict[Point, Tally]] = {}
        self._before: dict[str, Tally] = {}
        self.seconds = 0.0
        for path in sorted(folder.glob("*.npz")):
            part = self._read(path)
            if part is not None:
                self._take(part)

    def _read(self, path: Path) -> Part | None:
        try:
            with np.load(path, allow_pickle=False) as stored:
                name, mode = str(stored["id"]), str(stored["mode"])
                if self._inputs.get(name) != str(stored["inputs"]) or mode not in get_args(Mode):
                    return None
                return Part(
                    id=name,
                    mode="fast" if mode == "fast" else "exact",
                    points=tuple(Point(*map(float, row)) for row in stored["points"]),
                    counts=stored["counts"],
                    before=stored["before"],
                    seconds=float(stored["seconds"]),
                )
        except _BROKEN:
            return None  # counted again

    def _take(self, part: Part) -> None:
        known = self._counts.setdefault((part.mode, part.id), {})
        known.update(zip(part.points, part.counts, strict=True))
        self._before[part.id] = part.before
        self.seconds += part.seconds

    def add(self, part: Part) -> None:
        """Write a finished task down and take it up."""
        points = np.array(part.points, np.float64)  # (P, 3)
        name = f"{part.id}\0{part.mode}\0".encode() + points.tobytes()
        with (
            atomic_path(self.folder / f"{hashlib.sha256(name).hexdigest()[:32]}.npz") as path,
            path.open("wb") as stream,
        ):
            np.savez_compressed(
                stream,
                id=np.array(part.id),
                mode=np.array(part.mode),
                inputs=np.array(self._inputs[part.id]),
                points=points,
                counts=part.counts,
                before=part.before,
                seconds=np.array(part.seconds),
            )
        self._take(part)

    def missing(self, mode: Mode, image_id: str, points: Iterable[Point]) -> list[Point]:
        """Return the points that are not counted yet for an image."""
        known = self._counts.get((mode, image_id), {})
        return [point for point in points if point not in known]

    def total(self, mode: Mode, point: Point) -> Tally:
        """Return a point's tally over all images."""
        total = np.zeros_like(self.before())
        for name in self._inputs:
            total += self._counts[mode, name][point]
        return total

    def before(self) -> Tally:
        """Return the tally of the scores alone over all images."""
        total = np.zeros_like(next(iter(self._before.values())))
        for counts in self._before.values():
            total += counts
        return total

    def delete(self) -> None:
        """Delete the files, and the folder if nothing else is in it."""
        for path in self.folder.glob("*.npz"):
            path.unlink()
        if self.folder.is_dir() and not any(self.folder.iterdir()):
            self.folder.rmdir()
