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


Lines = list[dict[str, str]]


def tables_of(text: str) -> list[Lines]:
    """Return a Markdown text's tables, each as its rows by column."""
    found = []
    for block in re.findall(r"(?:^\|.*\n)+", text, re.M):
        head, _, *rows = (
            [cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines()
        )
        found.append([dict(zip(head, row, strict=True)) for row in rows])
    return found


def test_the_claims_of_tables_1_to_3_stand_as_the_demo_judged_them() -> None:
    if not as_committed("tables/demo/claims.md"):
        pytest.skip("tables/demo was made again here; the README shows the committed one")
    (shown,) = (table for table in tables_of(README) if "claim" in table[0])
    judged = tables_of((ROOT / "tables" / "demo" / "claims.md").read_text(encoding="utf-8"))[0]
    sources = ("table 1", "table 2", "table 3")
    columns = ("claim", "the paper's", "ours", "95 % interval", "verdict")
    wanted = [line for line in judged if line["in the paper"] in sources]
    assert len(wanted) == 12
    assert shown == [{name: line[name] for name in columns} for line in wanted]


def test_table_3_stands_as_the_demo_made_it() -> None:
    if not as_committed("tables/demo/table3.md"):
        pytest.skip("tables/demo was made again here; the README shows the committed one")
    (shown,) = (table for table in tables_of(README) if "rates" in table[0])
    made = tables_of((ROOT / "tables" / "demo" / "table3.md").read_text(encoding="utf-8"))[0]
    stages = [
        f"{stage} CRF: {whose} (%)" for stage in ("before", "after") for whose in ("paper", "ours")
    ]
    assert len(made) == 3
    assert shown == [{name: line[name] for name in ("method", "rates", *stages)} for line in made]


def test_links_lead_to_files() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", README)
    inside = [link for link in links if "://" not in link]
    assert len(inside) > 10
    assert [link for link in inside if not (ROOT / link).exists()] == []
