"""The table of docs/hard_weather.md names tests that exist, and all of this folder's."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NAMED = re.findall(r"`(tests/\S+?\.py)::(\w+)`", (ROOT / "docs" / "hard_weather.md").read_text())


def test_every_named_test_exists() -> None:
    assert len(NAMED) > 40
    for file, name in NAMED:
        assert f"def {name}(" in (ROOT / file).read_text(encoding="utf-8"), f"{file}::{name}"


def test_every_kind_of_weather_is_in_the_table() -> None:
    files = {path.name for path in (ROOT / "tests" / "weather").glob("test_*.py")}
    assert files - {Path(file).name for file, _ in NAMED} == {"test_docs.py"}
