"""Is a file the archive that it should be? Hashed once, remembered beside it.

Two gigabytes take seconds to hash, so that a verified file's size, modification time and digests
are kept in a small JSON file; as long as size and time are the same, the file is not read again.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from replication import atomic
from replication.data.sources import Source

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Digest:
    """A file's bytes, told by numbers: size in bytes, SHA-256, and the checksum asked for."""

    size: int
    sha256: str
    checksum: str | None

    def mismatch(self, source: Source) -> str | None:
        """Return how the file differs from ``source``'s record, or None if it is as declared."""
        if self.size == 0:
            return "it is empty"
        if source.size is not None and self.size != source.size:
            return f"it has {self.size:,} bytes instead of {source.size:,}"
        if self.checksum != source.checksum:
            return f"its checksum is {self.checksum} instead of {source.checksum}"
        return None


def digest(path: Path, checksum: str | None, *, progress: bool = False) -> Digest:
    """Hash a file: SHA-256 always (it goes into results), and ``checksum``'s algorithm if another.

    Raises OSError if the file can't be read.
    """
    from tqdm import tqdm

    algorithm = checksum.partition(":")[0] if checksum else None
    sha256 = hashlib.sha256()
    # MD5 and SHA-1 are what publishers state; they find damage, which is their purpose here
    other = hashlib.new(algorithm, usedforsecurity=False) if algorithm else None
    size = 0
    with (
        path.open("rb") as stream,
        tqdm(
            total=path.stat().st_size,
            desc=f"verify {path.name.removesuffix('.part')}",
            unit="B",
            unit_scale=True,
            leave=False,
            disable=None if progress else True,
        ) as bar,
    ):
        while chunk := stream.read(_CHUNK):
            sha256.update(chunk)
            if other is not None:
                other.update(chunk)
            size += len(chunk)
            bar.update(len(chunk))
    stated = f"{algorithm}:{other.hexdigest()}" if other is not None else None
    return Digest(size, sha256.hexdigest(), stated)


def remember(memory: Path, path: Path, found: Digest) -> None:
    """Write to ``memory`` that ``path``, as it is now, has the digests ``found``."""
    about = {"format": 1, "path": str(path.absolute()), "mtime_ns": path.stat().st_mtime_ns}
    atomic.write_json(memory, about | asdict(found))


def recall(memory: Path, path: Path, source: Source) -> Digest | None:
    """Return the digests that ``memory`` holds of ``path``, if they still tell of ``source``.

    None if there is no memory, if it can't be read, if the file has changed in size or time since,
    or if the record now asks for another size or checksum.
    """
    try:
        held = json.loads(memory.read_text(encoding="utf-8"))
        found = Digest(held["size"], held["sha256"], held["checksum"])
        stat = path.stat()
        same = (
            held["format"] == 1
            and held["path"] == str(path.absolute())
            and (held["size"], held["mtime_ns"]) == (stat.st_size, stat.st_mtime_ns)
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if same and found.mismatch(source) is None else None
