"""The repository's settings, to edit, and the line that loading them ends with."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from replication.errors import ReplicationError
from replication.plan import load

HERE = Path(__file__).resolve().parents[2]
PROFILES = sorted(path.stem for path in (HERE / "profiles").glob("*.yaml"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a copy of the repository's settings with profile `smoke`."""
    (tmp_path / "profiles").mkdir()
    for name in ("params.yaml", "experiments.yaml", *(f"profiles/{p}.yaml" for p in PROFILES)):
        (tmp_path / name).write_bytes((HERE / name).read_bytes())
    _change(tmp_path / "params.yaml", "profile", "smoke")
    return tmp_path


def _change(path: Path, key: str, value: Any) -> None:
    """Set a dotted key of a YAML file; the value `...` removes it."""
    content = json.loads(json.dumps(yaml.safe_load(path.read_text())))  # anchors part ways
    *parents, last = key.split(".")
    place = content
    for parent in parents:
        place = place[parent]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    path.write_text(yaml.safe_dump(content))


def _complaint(root: Path) -> str:
    """Return the one line that loading ends with."""
    with pytest.raises(ReplicationError) as caught:
        load(root)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 400
    return message.replace(f"{root}/", "")


@pytest.fixture(scope="session")
def change() -> Callable[[Path, str, Any], None]:
    """A function that sets a dotted key of a YAML file; the value `...` removes it."""
    return _change


@pytest.fixture(scope="session")
def complaint() -> Callable[[Path], str]:
    """A function that returns the one line that loading a root's settings ends with."""
    return _complaint
