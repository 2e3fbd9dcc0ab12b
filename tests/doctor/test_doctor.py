"""`replication doctor` as a whole: engines, a part that breaks, the command, this very machine."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from replication.cli import app
from replication.doctor import engines, examine, repository, versions
from replication.doctor.finding import Finding, gib
from replication.plan import load

ROOT = Path(__file__).resolve().parents[2]


def test_engines(root: Path, monkeypatch: pytest.MonkeyPatch, change: Any, one: Any) -> None:
    assert one(engines.numba()).status == "ok"
    monkeypatch.setattr("replication.kernels.compiled.cache_folder", lambda: None)
    assert "NUMBA_CACHE_DIR" in one(engines.numba()).cure

    def broken(_: str) -> None:
        raise ImportError("no module")

    monkeypatch.setattr(engines, "import_module", broken)
    assert one(engines.pydensecrf(load(root))).status == "note"
    wanted = one(engines.pydensecrf(change(crf__engine="pydensecrf")))
    assert (wanted.status, "`crf.engine: lattice`" in wanted.cure) == ("wrong", True)


def test_one_part_that_breaks_or_settings_that_do_not_hold_stop_no_other(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(_: Path) -> Iterator[Finding]:
        raise RuntimeError("unforeseen")

    monkeypatch.setattr(versions, "torch_pair", lambda: iter(()))
    monkeypatch.setattr(repository, "git", breaks)
    (root / "params.yaml").write_text("profile: [")
    found = {one.what: one for one in examine.examine(root)}
    assert "params.yaml" in found["settings"].said
    assert found["git"].said == "can't be examined (RuntimeError: unforeseen)"
    assert {"python", "packages", "numba", "dvc", "sample"} <= found.keys()
    assert "disk" not in found


@pytest.mark.parametrize(
    ("statuses", "code"), [(("ok", "note"), 0), (("ok", "wrong", "note"), 1), (("ok",), 0)]
)
def test_the_command_prints_a_line_each_and_its_status_tells(
    monkeypatch: pytest.MonkeyPatch, statuses: tuple[Any, ...], code: int
) -> None:
    made = [Finding(status, "a part", "seen\ntwice", "cure") for status in statuses]
    monkeypatch.setattr(examine, "examine", lambda *_: made)
    shown = CliRunner().invoke(app, ["doctor"])
    assert shown.exit_code == code
    assert shown.output.splitlines() == [f"{s:<5}  a part  seen twice; cure" for s in statuses]
    as_json = CliRunner().invoke(app, ["doctor", "--json"])
    assert as_json.exit_code == code
    assert [line["status"] for line in json.loads(as_json.stdout)] == list(statuses)


def test_sizes_in_words() -> None:
    assert [gib(2**30 * 3.14), gib(2**29), gib(40 * 2**20)] == ["3.1 GiB", "0.5 GiB", "40 MiB"]


def test_on_this_very_machine(tmp_path: Path) -> None:
    """What the tests run in is in order; where the sample is pulled, that is too."""
    found = {one.what: one for one in examine.examine(ROOT, "demo")}
    assert found["settings"].status == "ok"
    for what in ("python", "torch", "numba", "device", "folders", "memory"):
        assert found[what].status != "wrong", found[what]
    assert {one.line(0).count("\n") for one in found.values()} == {0}
