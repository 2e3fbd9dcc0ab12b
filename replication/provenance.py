"""Where a result came from: hashes of files and the environment that a stage ran in."""

import hashlib
import json
import os
import platform
import subprocess
import sys
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from replication.errors import ReplicationError

_PACKAGES = (
    "torch",
    "torchvision",
    "lightning",
    "numpy",
    "scipy",
    "numba",
    "pydensecrf2",
    "pillow",
    "dvc",
)


def read_record(path: Path) -> dict[str, Any]:
    """Read the JSON record that a stage leaves beside its output.

    Raises:
        ReplicationError: there is none yet, or it is broken.
    """
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ReplicationError(
            f"{path} does not exist: the stage that writes it has not finished; run `dvc repro`"
        ) from None
    except (ValueError, RecursionError):
        raise ReplicationError(f"{path} is broken; delete it and run `dvc repro`") from None
    if not isinstance(record, dict):
        raise ReplicationError(f"{path} is broken; delete it and run `dvc repro`")
    return record


def sha256_file(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file's bytes as 64 hexadecimal digits."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_folder(folder: str | os.PathLike[str], pattern: str = "**/*") -> str:
    """Return one SHA-256 over the names and contents of a folder's files, in name order."""
    root = Path(folder)
    digest = hashlib.sha256()
    for path in sorted(p for p in root.glob(pattern) if p.is_file()):
        digest.update(f"{path.relative_to(root).as_posix()}\0{sha256_file(path)}\n".encode())
    return digest.hexdigest()


@cache
def git_commit() -> str | None:
    """Return the checked-out commit, with ``+changes`` if the package differs from it."""
    here = Path(__file__).parent
    try:
        commit = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=True
        ).stdout.strip()
        changed = subprocess.run(
            ["git", "status", "--porcelain", "--", "."],
            cwd=here,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{commit}+changes" if changed else commit


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def environment() -> dict[str, Any]:
    """Describe this process's surroundings: system, processor, versions of what decides numbers.

    Imports none of the packages that it names, so that a stage without torch stays light.
    """
    versions: dict[str, str | None] = {}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = None
    return {
        "python": sys.version.split()[0],
        "system": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "packages": versions,
        "commit": git_commit(),
    }


def peak_memory_mib() -> float:
    """Return the largest resident memory of this process so far, in MiB."""
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
