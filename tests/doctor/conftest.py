"""The repository's settings, to edit, and the one finding of an examination."""

import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from replication.doctor.finding import Finding
from replication.plan import Settings, load

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The repository's settings, to edit."""
    for name in ("params.yaml", "experiments.yaml", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "profiles", tmp_path / "profiles")
    return tmp_path


def _change(root: Path, **values: Any) -> Settings:
    """Set values of params.yaml, a dot in a name as two underscores; load the settings."""
    path = root / "params.yaml"
    params = yaml.safe_load(path.read_text())
    for name, value in values.items():
        place, (*above, key) = params, name.split("__")
        for part in above:
            place = place.setdefault(part, {})
        place[key] = value
    path.write_text(yaml.safe_dump(params))
    return load(root, values.get("profile"))


def _only(findings: Iterator[Finding]) -> Finding:
    (found,) = findings
    return found


@pytest.fixture
def change(root: Path) -> Callable[..., Settings]:
    """A function that sets values of params.yaml in `root`, and loads the settings."""
    return partial(_change, root)


@pytest.fixture(scope="session")
def one() -> Callable[[Iterator[Finding]], Finding]:
    """A function that returns the only finding of an examination."""
    return _only
