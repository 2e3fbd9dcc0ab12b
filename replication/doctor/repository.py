"""The repository: git, DVC, and the embedded sample."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from replication.doctor.finding import Finding, Status
from replication.doctor.versions import SETUP, version
from replication.plan import Settings
from replication.provenance import git_commit, sha256_file

_PULL = "run `make data` (or `dvc pull data.dvc`)"
_CHECKSUMS = Path("data/sample/archives/checksums.json")
_LFS = b"version https://git-lfs"


def git(root: Path) -> Iterator[Finding]:
    """See whether git works here, and whether results would name a commit."""
    command = ["git", "rev-parse", "--is-inside-work-tree"]
    try:
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    except OSError as error:
        yield Finding("wrong", "git", f"git can't be run ({error.strerror})", "install git")
        return
    if done.returncode:
        said = next(iter(done.stderr.splitlines()), "no answer")
        yield Finding("wrong", "git", f"{root}: {said}", "clone the repository; DVC works in git")
        return
    commit = git_commit()
    if commit is None:
        cure = "install with `pip install -e .` from a clone"
        yield Finding("note", "git", "the package is in no clone: results name no commit", cure)
    elif commit.endswith("+changes"):
        cure = "commit them, so that results name what made them"
        yield Finding("note", "git", f"{commit[:12]}, and the package has changes", cure)
    else:
        yield Finding("ok", "git", f"{commit[:12]}, git-lfs not needed")


def dvc(root: Path) -> Iterator[Finding]:
    """See whether DVC is there, set up, and not stuck on the lock of a killed process."""
    found = version("dvc")
    if found is None:
        yield Finding("wrong", "dvc", "DVC is not installed", SETUP)
        return
    if not (root / ".dvc" / "config").is_file():
        cure = "restore it with `git checkout .dvc`"
        yield Finding("wrong", "dvc", f"{root / '.dvc' / 'config'} does not exist", cure)
        return
    lock = root / ".dvc" / "tmp" / "rwlock"
    try:
        running = sorted(pid for pid in _lock_holders(lock) if _alive(pid))
    except (ValueError, KeyError, TypeError, AttributeError):
        said = f"{lock} is broken, as after a kill or a full disk"
        yield Finding("wrong", "dvc", said, "delete it while no DVC runs")
        return
    if running:
        said = f"{found}; stages are running (process {', '.join(map(str, running))})"
        yield Finding("note", "dvc", said, "what they make is not finished")
    else:
        yield Finding("ok", "dvc", f"{found}; `dvc status` says what is out of date")


def _lock_holders(lock: Path) -> set[int]:
    """Return the processes that DVC's read and write locks name."""
    try:
        content = json.loads(lock.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return set()
    writers = [int(one["pid"]) for one in content.get("write", {}).values() if one]
    readers = [int(one["pid"]) for held in content.get("read", {}).values() for one in held]
    return {*writers, *readers}


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True  # somebody else's
    return True


def sample(root: Path, settings: Settings | None) -> Iterator[Finding]:
    """Compare the embedded sample's archives with its own list of checksums."""
    needed = settings is None or settings.profile.data == "sample"
    status: Status = "wrong" if needed else "note"
    listed = root / _CHECKSUMS
    try:
        wanted = {
            listed.parent / name: str(one["sha256"])
            for name, one in json.loads(listed.read_text(encoding="utf-8")).items()
        }
    except FileNotFoundError:
        said = "the sample's archives are not here"
        yield Finding(status, "sample", said, _PULL if needed else f"tests need them: {_PULL}")
        return
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        yield Finding(status, "sample", f"{listed} is broken", f"delete data/, then {_PULL}")
        return
    bad = [p.name for p, digest in wanted.items() if not p.is_file() or sha256_file(p) != digest]
    if bad:
        said = f"{len(bad)} of {len(wanted)} archives missing or damaged ({bad[0]})"
        yield Finding(status, "sample", said, f"delete data/, then {_PULL}")
    else:
        yield Finding("ok", "sample", f"{len(wanted)} archives, as their checksums say")


def is_lfs_pointer(path: Path) -> bool:
    """Whether a file is git-lfs's note of a file that was not fetched."""
    with path.open("rb") as stream:
        return stream.read(len(_LFS)) == _LFS
