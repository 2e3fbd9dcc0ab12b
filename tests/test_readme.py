"""What the README shows is what the pipeline made, and what it links to is there."""

import csv
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CLAIM = re.compile(r"^\| (.+?) \| (\S+) \| (\S+) \| (?:\[(\S+), (\S+)\])? ?\| (.+?) \|$", re.M)


def number(text: str) -> float:
    return float(text.rstrip("x"))


def as_committed(path: str) -> bool:
    """Whether a file is as the repository has it: another machine's demo differs a little."""
    command = ["git", "diff", "--quiet", "HEAD", "--", path]
    return subprocess.run(command, cwd=ROOT, check=False, capture_output=True).returncode == 0


def test_the_claims_are_those_of_the_demo() -> None:
    if not as_committed("tables/demo/claims.csv"):
        pytest.skip("tables/demo was made again here; the README shows the committed one")
    start = README.index("| claim | paper |")
    shown = CLAIM.findall(README[start : README.index("**How to read a verdict.**")])
    with (ROOT / "tables" / "demo" / "claims.csv").open(encoding="utf-8") as stream:
        judged = [row for row in csv.DictReader(stream) if row["ours"]]
    assert len(shown) == len(judged) > 10
    for (text, paper, ours, low, high, verdict), row in zip(shown, judged, strict=True):
        assert text == row["text"] or text.split(": ", 1)[-1] in row["part"]
        if row["reported"]:
            assert number(paper) == float(row["reported"])
        else:
            assert paper == "-"  # the paper gives no number
        assert number(ours) == float(row["ours"])
        assert (low, high) == (row["low"], row["high"])
        assert verdict == row["verdict"]


def test_links_lead_to_files() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", README)
    inside = [link for link in links if "://" not in link]
    assert len(inside) > 10
    assert [link for link in inside if not (ROOT / link).exists()] == []
