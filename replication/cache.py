"""``replication cache``: DVC's cache looked through for damage.

DVC names an object by the MD5 of its bytes, makes it read-only, and from then on takes the name on
trust: bytes that a disk has changed come back into the workspace as if nothing had happened (DVC
3.67, `HashFileDB.check`). Here every object is hashed again. What is damaged is deleted, because
DVC fetches or makes again what its cache lacks.
"""

import hashlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from replication.errors import ReplicationError

_NAME = re.compile(r"[0-9a-f]{30}(\.dir)?")


def cache_folder(root: Path) -> Path:
    """Return where DVC keeps the objects of the repository at ``root``.

    Raises:
        ReplicationError: there is no DVC repository.
    """
    command = [sys.executable, "-m", "dvc", "cache", "dir"]
    asked = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if asked.returncode:
        raise ReplicationError(f"{root}: no DVC repository; name one with --root")
    return root / asked.stdout.strip() / "files" / "md5"


def objects(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield each object's MD5, as its name has it, and its file."""
    for path in sorted(folder.glob("??/*")):
        if _NAME.fullmatch(path.name):
            yield path.parent.name + path.name.removesuffix(".dir"), path


def damaged(folder: Path) -> Iterator[Path]:
    """Yield the objects whose bytes are not those that they are named by."""
    from tqdm import tqdm

    for name, path in tqdm(list(objects(folder)), desc="cache", unit="object", disable=None):
        with path.open("rb") as stream:
            found = hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False))
        if found.hexdigest() != name:
            yield path


def mend(root: Path) -> tuple[int, list[Path]]:
    """Delete damaged objects; return how many there were in all, and those."""
    folder = cache_folder(root)
    found = list(damaged(folder))
    count = sum(1 for _ in objects(folder))
    for path in found:
        path.unlink()
    return count, found
