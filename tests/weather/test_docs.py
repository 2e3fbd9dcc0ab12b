"""The tables of docs/hard_weather.md name tests that exist, those of two folders all of them."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NAMED = re.findall(r"`(tests/\S+?\.py)::(\w+)`", (ROOT / "docs" / "hard_weather.md").read_text())


def test_every_named_test_exists() -> None:
    assert len(NAMED) > 40
    for file, name in NAMED:
        assert f"def {name}(" in (ROOT / file).read_text(encoding="utf-8"), f"{file}::{name}"


def test_every_kind_of_weather_and_of_bad_input_is_in_a_table() -> None:
    for folder in ("weather", "fuzz"):
        files = {path.name for path in (ROOT / "tests" / folder).glob("test_*.py")}
        named = {Path(file).name for file, _ in NAMED if Path(file).parent.name == folder}
        assert files - named == ({"test_docs.py"} if folder == "weather" else set())
