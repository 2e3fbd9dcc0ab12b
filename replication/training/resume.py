"""What of earlier training still counts: a finished run is kept, a checkpoint is gone on from."""

import ast
import hashlib
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from replication.provenance import sha256_file

_PACKAGE = Path(__file__).parents[1]
_PLACES = ("kernels", "models", "training")


def code_hash() -> str:
    """Hash the source of what decides the weights: runs of other code are trained again.

    Comments, docstrings and layout don't count, nor does the pre-training (`pretrain*.py`: its
    file has a hash of its own), what converts others' networks, and what the weights' file says of
    them: a corrected comment must not throw away days of training.
    """
    digest = hashlib.sha256()
    for path in sorted([path for place in _PLACES for path in _PACKAGE.glob(f"{place}/**/*.py")]):
        if path.name.startswith("pretrain") or path.name in ("convert.py", "checkpoint.py"):
            continue
        digest.update(f"{path.relative_to(_PACKAGE).as_posix()}\0{_bare(path)}\n".encode())
    return digest.hexdigest()


def _bare(path: Path) -> str:
    """Return a module's source without comments, docstrings and layout."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
    for node in ast.walk(tree):
        if isinstance(node, kinds) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


def finished_record(out: Path, fingerprint: str) -> dict[str, Any] | None:
    """Return the record of a finished run with this fingerprint whose weights are intact."""
    try:
        record: dict[str, Any] = json.loads((out / "train.json").read_text(encoding="utf-8"))
        intact = record["weights_sha256"] == sha256_file(out / "weights.safetensors")
        return record if intact and record["fingerprint"] == fingerprint else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def usable_checkpoint(last: Path, fingerprint: str, say: Callable[[str], object]) -> int | None:
    """Return the update that a checkpoint of the same run stands at, or None if it can't serve."""
    if not last.is_file():
        return None
    try:
        with zipfile.ZipFile(last) as archive:  # torch.load passes over the checksums
            if (damaged := archive.testzip()) is not None:
                raise zipfile.BadZipFile(damaged)
        state = torch.load(last, map_location="cpu", weights_only=True)
        if state["callbacks"]["Checkpoints"]["fingerprint"] != fingerprint:
            say(f"{last} is of other settings, data or code: training starts anew")
            return None
        return int(state["global_step"])
    except Exception as error:  # a damaged pickle or zip raises almost anything
        say(f"{last} can't be read ({type(error).__name__}): training starts anew")
        return None
