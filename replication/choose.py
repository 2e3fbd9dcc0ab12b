"""Choose a profile in params.yaml without touching its comments or anything else."""

import re
from pathlib import Path

from replication.atomic import write_text
from replication.errors import ReplicationError
from replication.plan import load


def choose(root: Path, name: str, *, folder: str | None, backbone: str | None) -> None:
    """Set ``profile`` (and ``data.folder``, ``data.backbone`` where given) in params.yaml.

    The edited settings are validated as a whole; if they don't hold, params.yaml stays as it was.

    Raises:
        ReplicationError: no such profile or folder, or a line to edit is not there.
    """
    path = root / "params.yaml"
    before = path.read_text(encoding="utf-8") if path.is_file() else ""
    text = _set(before, "profile", name, path)
    if folder is not None:
        if not (root / folder).is_dir():
            raise ReplicationError(f"--folder {folder} is not a folder; give a VOC-style folder")
        text = _set(text, "  folder", _quoted(folder), path)
    if backbone is not None:
        text = _set(text, "  backbone", _quoted(backbone), path)
    write_text(path, text)
    try:
        load(root)
    except ReplicationError:
        write_text(path, before)
        raise


def _quoted(value: str) -> str:
    """Quote a path for YAML: single quotes, doubled inside."""
    return "'" + value.replace("'", "''") + "'"


def _set(text: str, key: str, value: str, path: Path) -> str:
    edited, count = re.subn(
        rf"^{key}:.*$", lambda _: f"{key}: {value}", text, count=1, flags=re.MULTILINE
    )
    if not count:
        raise ReplicationError(
            f"{path} has no line `{key.strip()}:`; restore it with `git checkout params.yaml`"
        )
    return edited
