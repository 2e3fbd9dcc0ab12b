"""Tables must not load what only training or figures need; figures only when they draw."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "lightning", "pandas", "matplotlib", "dvc")


@pytest.mark.parametrize(
    "module",
    [
        "replication.paper.verdicts",
        "replication.evaluation.cli",
        "replication.evaluation.folder",
        "replication.evaluation.markdown",
        "replication.reporting.claims_text",
        "replication.reporting.tables",
        "replication.reporting.before_after",
        "replication.reporting.against",
        "replication.reporting.claims_figure",
        "replication.reporting.dot_plot",
        "replication.reporting.figure2",
        "replication.reporting.figure7",
        "replication.reporting.figure10b",
        "replication.reporting.figure14",
        "replication.reporting.figures",
        "replication.reporting.curves",
        "replication.reporting.heatmap",
        "replication.reporting.figure5",
        "replication.report.build",
        "replication.crf.search",
        "replication.verification.verify",
        "replication.doctor.examine",
    ],
)
def test_heavy_packages_stay_out(module: str) -> None:
    code = f"import sys, {module}; print(*[m for m in {HEAVY!r} if m in sys.modules])"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert loaded.stdout.split() == []
