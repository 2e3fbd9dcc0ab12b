"""The canonical layout of a data set: what every stage after `prepare` reads.

images/ID.jpg|png    photographs
labels/ID.png        palette PNG, class indices, 255 void
splits/NAME.txt      one id a line
meta.json            name, classes, palette, counts and hashes, sources
"""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from replication.errors import ReplicationError

FORMAT = 1
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
_NEEDED = ("name", "classes", "palette", "void", "splits", "sources")


def ids_sha256(ids: Iterable[str]) -> str:
    """Return the hash of a list of ids: SHA-256 of the sorted ids, each followed by a newline."""
    return hashlib.sha256("".join(f"{i}\n" for i in sorted(ids)).encode()).hexdigest()


def content_sha256(files: Iterable[tuple[str, str, str]]) -> str:
    """Return the hash of a split's content: of (id, image's SHA-256, label's SHA-256), by id.

    The image's are its file's bytes, the label's its values: a palette is there for the eye.
    """
    lines = (f"{name} {image} {label}\n" for name, image, label in sorted(files))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def read_ids(path: str | os.PathLike[str]) -> list[str]:
    """Read a list of ids, one a line, in the file's order; empty lines are passed over.

    Raises:
        ReplicationError: the list is missing, empty, not UTF-8 text, lists an id twice, or holds a
            path where an id is wanted.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")  # some editors begin a file with a mark
    except OSError as error:
        reason = error.strerror or error
        raise ReplicationError(f"{path}: the list of ids can't be read ({reason})") from None
    except UnicodeDecodeError:
        raise ReplicationError(f"{path}: the list of ids is not UTF-8 text") from None
    ids = [line.strip() for line in text.splitlines() if line.strip()]
    if not ids:
        raise ReplicationError(f"{path}: the list of ids is empty; list one id a line")
    for name in ids:
        if "/" in name or "\\" in name or name.startswith("."):
            raise ReplicationError(
                f"{path}: `{name}` is no id; list file names without folder and extension"
            )
    name, times = Counter(ids).most_common(1)[0]
    if times > 1:
        raise ReplicationError(f"{path}: id `{name}` is listed {times} times; keep one")
    return ids


def files_by_id(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    """Map ids to files of a folder by file name without extension (case of extensions ignored).

    Raises:
        ReplicationError: the folder is missing, or holds two files for one id.
    """
    found: dict[str, Path] = {}
    try:
        names = sorted(entry.name for entry in os.scandir(folder) if entry.is_file())
    except OSError as error:
        reason = error.strerror or error
        raise ReplicationError(f"{folder}: the folder can't be read ({reason})") from None
    for name in names:
        stem = Path(name).stem
        if name.startswith(".") or Path(name).suffix.lower() not in suffixes:
            continue
        if stem in found:
            raise ReplicationError(
                f"{folder}: id `{stem}` has two files, {found[stem].name} and {name}; keep one"
            )
        found[stem] = folder / name
    return found


@dataclass(frozen=True)
class DataSet:
    """A data set in the canonical layout; `DataSet.open` makes one.

    Attributes:
        root: its folder.
        name: as its tables call it.
        classes: class names; the position is the label's value.
        meta: meta.json as read (counts, hashes, sources).
    """

    root: Path
    name: str
    classes: tuple[str, ...]
    meta: dict[str, Any]

    @classmethod
    def open(cls, root: str | os.PathLike[str]) -> "DataSet":
        """Open the data set in ``root``; reads and checks meta.json, no image.

        Raises:
            ReplicationError: there is no data set, or its meta.json is broken.
        """
        root = Path(root)
        path = root / "meta.json"
        try:
            meta = json.loads(path.read_text(encoding="utf-8"))
        except OSError:
            raise ReplicationError(
                f"{path}: no prepared data set here; run the stage `prepare` first"
            ) from None
        except (ValueError, RecursionError) as error:
            raise ReplicationError(f"{path}: broken JSON ({error}); prepare it again") from None
        _check_meta(path, meta)
        return cls(root=root, name=meta["name"], classes=tuple(meta["classes"]), meta=meta)

    @property
    def num_classes(self) -> int:
        """The number of classes; labels hold 0..num_classes-1 and 255."""
        return len(self.classes)

    @cached_property
    def palette(self) -> UInt8[np.ndarray, "256 3"]:
        """The colour map: uint8 (256, 3), RGB."""
        return np.array(self.meta["palette"], dtype=np.uint8)

    @cached_property
    def _images(self) -> dict[str, Path]:
        return files_by_id(self.root / "images", IMAGE_SUFFIXES)

    @cached_property
    def _labels(self) -> dict[str, Path]:
        return files_by_id(self.root / "labels", (".png",))

    def ids(self, split: str) -> list[str]:
        """Return the ids of a split in the list's order.

        Raises:
            ReplicationError: there is no such split, its list was changed after `prepare`, holds
                an id twice, or an id without image or label.
        """
        path = self.root / "splits" / f"{split}.txt"
        if split not in self.meta["splits"] or not path.is_file():
            known = ", ".join(self.meta["splits"]) or "none"
            raise ReplicationError(f"{path}: there is no split `{split}`; this set has {known}")
        ids = read_ids(path)
        if ids_sha256(ids) != self.meta["splits"][split]["sha256"]:
            raise ReplicationError(
                f"{path}: the list was changed after it was prepared; prepare the data again"
            )
        for name in ids:
            self.image_path(name)
            self.label_path(name)
        return ids

    def image_path(self, name: str) -> Path:
        """Return the photograph of an id; ReplicationError if there is none."""
        return self._file(self._images, name, "images")

    def label_path(self, name: str) -> Path:
        """Return the label map of an id; ReplicationError if there is none."""
        return self._file(self._labels, name, "labels")

    def _file(self, files: dict[str, Path], name: str, folder: str) -> Path:
        try:
            return files[name]
        except KeyError:
            raise ReplicationError(
                f"{self.root / folder}: no file for id `{name}`; prepare the data again"
            ) from None


def _check_meta(path: Path, meta: Any) -> None:
    """Refuse a meta.json that lacks what the stages read."""
    again = "prepare the data again"
    if not isinstance(meta, dict):
        raise ReplicationError(f"{path}: not a JSON object; {again}")
    missing = [key for key in _NEEDED if key not in meta]
    if missing:
        raise ReplicationError(f"{path}: key `{missing[0]}` is missing; {again}")
    classes = meta["classes"]
    if not isinstance(classes, list) or not all(isinstance(c, str) for c in classes) or not classes:
        raise ReplicationError(f"{path}: `classes` must be a list of names; {again}")
    if len(classes) > 255 or len(set(classes)) < len(classes):
        raise ReplicationError(f"{path}: `classes` must be at most 255 different names; {again}")
    palette = meta["palette"]
    rows = palette if isinstance(palette, list) else []
    if [len(row) if isinstance(row, list) else 0 for row in rows] != [3] * 256:
        raise ReplicationError(f"{path}: `palette` must be 256 colours of 3 values; {again}")
    if meta["void"] != 255:
        raise ReplicationError(f"{path}: `void` is {meta['void']!r}, must be 255; {again}")
    splits = meta["splits"]
    if not isinstance(splits, dict) or not all(
        isinstance(s, dict) and "count" in s and "sha256" in s for s in splits.values()
    ):
        raise ReplicationError(f"{path}: `splits` must give count and sha256 each; {again}")
