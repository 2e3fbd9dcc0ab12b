"""Fixtures that several rooms' tests share."""

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real photographs, labels, scores and weights; tests skip where it is absent."""
    if not (SHARED / "data").is_dir():
        pytest.skip(f"no real photographs here: {SHARED} does not exist")
    return SHARED
