"""What the README shows is what the pipeline made, and what it links to is there."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def as_committed(path: str) -> bool:
    """Whether a file is as the repository has it: another machine's demo differs a little."""
    command = ["git", "diff", "--quiet", "HEAD", "--", path]
    return subprocess.run(command, cwd=ROOT, check=False, capture_output=True).returncode == 0


def test_the_claims_are_counted_as_the_demo_judged_them() -> None:
    if not as_committed("tables/demo/claims.md"):
        pytest.skip("tables/demo was made again here; the README counts the committed one")
    counted = re.compile(r"^Of \d+ claims: .+$", re.M)
    claims = (ROOT / "tables" / "demo" / "claims.md").read_text(encoding="utf-8")
    assert counted.findall(README) == counted.findall(claims) != []


def test_links_lead_to_files() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", README)
    inside = [link for link in links if "://" not in link]
    assert len(inside) > 10
    assert [link for link in inside if not (ROOT / link).exists()] == []
