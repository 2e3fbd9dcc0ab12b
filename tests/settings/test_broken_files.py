"""Files that are no settings: not YAML, endless, or absent; none runs code."""

from pathlib import Path
from typing import Any

import pytest

from replication.errors import ReplicationError
from replication.plan import load
from replication.settings import read_yaml

# (content, what the line must say)
BROKEN: list[tuple[bytes, str]] = [
    (b"seeds: [0\nprofile: demo\n", r"params\.yaml \(line 2\) is not valid YAML: .*git checkout"),
    (b"seeds:\n\t- 0\n", r"\(line 2\) is not valid YAML"),
    (b"\xff\xfe\x00", "is not valid YAML: invalid start byte"),
    (b"profile: de\x00mo\n", "is not valid YAML: special characters are not allowed"),
    (b"profile: demo\nprofile: paper\n", r"\(line 2\).*key `profile` stands twice; keep one"),
    (b"profile: !!python/name:os.system\n", r"\(line 1\).*could not determine a constructor"),
    (b"profile: !!python/object/apply:os.system ['touch owned']\n", "constructor for the tag"),
    (b"a: *nowhere\n", r"\(line 1\).*undefined alias"),
    (b"", "the file holds None; write settings"),
    (b"- profile\n", r"the file holds \['profile'\]; write settings"),
    (b"demo\n", "the file holds 'demo'; write settings"),
    (b"? [1, 2]\n: 3\n", r"\(line 1\)"),
    (b"1: 2\n", "params.yaml"),
    # what a reader would need for ever, or a machine's whole memory, to make of it
    (
        b"".join(
            b"l%d: &l%d [%s]\n" % (n, n, b", ".join([b"*l%d" % (n - 1) if n else b"x"] * 9))
            for n in range(12)
        ),
        r"aliases make more than 100,000 values",
    ),
    (
        b"".join(
            b"l%d: &l%d {%s}\n"
            % (n, n, b"<<: [%s]" % b", ".join([b"*l%d" % (n - 1)] * 9) if n else b"a: 1")
            for n in range(12)
        ),
        r"aliases make more than 100,000 values",
    ),
    (b"a: &a [*a, *a]\n", "lead back to themselves"),
    (b"a: &a {b: *a}\n", "lead back to themselves"),
    (b"a: " + b"[" * 200 + b"]" * 200, "deeper than 50 levels"),
    (b"[" * 30_000, "is not valid YAML"),
    (b"a: 1\n" * 60_000, "has 300,000 bytes, and settings at most"),
    # what looks like a date, a number or a truth value, and is none
    (b"profile: 2001-99-99\n", r"is not valid YAML: it can't be parsed \(ValueError\)"),
    (b"profile: !!int x\n", r"it can't be parsed \(ValueError\)"),
    (b"profile: !!bool perhaps\n", r"it can't be parsed \(KeyError\)"),
    (b"profile: " + b"9" * 5_000, "is not valid YAML|valid string"),
]


@pytest.mark.parametrize(("content", "expected"), BROKEN, ids=map(str, range(len(BROKEN))))
def test_a_broken_file_is_one_line_and_runs_no_code(
    root: Path, content: bytes, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)
    (root / "params.yaml").write_bytes(content)
    with pytest.raises(ReplicationError, match=expected) as caught:
        load(root)
    assert "\n" not in str(caught.value)
    assert not (root / "owned").exists()


@pytest.mark.parametrize("name", ["params.yaml", "experiments.yaml"])
def test_a_missing_file_says_how_to_restore_it(root: Path, name: str, complaint: Any) -> None:
    (root / name).unlink()
    assert f"{name} does not exist" in complaint(root)
    assert f"git checkout {name}" in complaint(root)
    (root / name).mkdir()
    assert f"{name} can't be read" in complaint(root)


def test_a_key_may_override_what_it_merges(root: Path) -> None:
    path = root / "merged.yaml"
    path.write_text("a: {b: {c: &c {<<: &d {x: 1, y: 2}, x: 3}}}\nw: {<<: *c, y: 4}\n")
    assert read_yaml(path) == {"a": {"b": {"c": {"x": 3, "y": 2}}}, "w": {"x": 3, "y": 4}}
