"""Learning curves from made-up runs."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from replication.errors import ReplicationError
from replication.reporting.context import Context
from replication.reporting.curves import learning_curves, make, read_curve, smooth
from replication.settings import MultiScale
from replication.training.callbacks import LOG_EVERY
from replication.training.terms import term_labels


def _curve(path: Path, loss: float = 3.0) -> None:
    path.parent.mkdir(parents=True)
    steps = np.arange(10, 210, 10)
    table = pd.DataFrame({"step": steps, "loss": loss * np.exp(-steps / 90), "lr": 0.01 / steps})
    table.to_csv(path, sep="\t", index=False)


def test_draws_what_there_is(tmp_path: Path) -> None:
    runs = tmp_path / "runs" / "demo"
    for name in ("fov_3x3_r12/seed_0", "fov_3x3_r12/seed_1", "aspp_l/seed_0", "mine/seed_0"):
        _curve(runs / name / "curve.tsv")
    (runs / "aspp_s" / "seed_0").mkdir(parents=True)  # begun, nothing written yet
    written = learning_curves(runs, tmp_path / "curves", profile="demo")
    assert [p.name for p in written] == ["curves.png", "curves.pdf"]
    with Image.open(written[0]) as image:
        assert image.width > 1000
        assert image.height > 1000  # rows for tables 1, 2, 3 and for the run of no table


@pytest.mark.parametrize(
    ("runs", "ramps", "sums"),
    [
        (["fov_3x3_r12", "resnet_msc"], True, True),
        (["poly_b10_20k", "resnet_plain", "of_another_time"], False, False),
    ],
)
def test_the_caption_says_what_the_lines_do_not(
    context: Context, runs: list[str], *, ramps: bool, sums: bool
) -> None:
    for run in runs:
        _curve(context.place("runs", run) / "curve.tsv")
    caption = make(context).caption
    assert "every ten updates" in caption
    assert LOG_EVERY == 10
    assert ("The step policy divides its rate at one update" in caption) is ramps
    assert ("the loss is a sum" in caption) is sums
    # the paper's scales: 1, 0.75, 0.5, and the maximum
    scales = MultiScale()
    terms = term_labels(torch.zeros(1, 33, 33, dtype=torch.uint8), scales)
    assert len(terms) == len(scales.scales) + 1 == 4


def test_a_diverged_run_is_drawn_as_far_as_it_goes(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "aspp_l" / "seed_0" / "curve.tsv"
    path.parent.mkdir(parents=True)
    path.write_text("step\tloss\tlr\n10\t3\t0.1\n20\tinf\t0.1\n30\t\t0.1\n")
    written = learning_curves(tmp_path / "runs", tmp_path / "out", profile="demo")
    again = learning_curves(tmp_path / "runs", tmp_path / "again", profile="demo")
    assert [p.read_bytes() for p in written] == [p.read_bytes() for p in again]


def test_no_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ReplicationError, match="train a run first"):
        learning_curves(tmp_path, tmp_path / "out", profile="demo")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "No columns"),
        ("step\tloss\tlr\n", "no line"),
        ("step\tloss\n1\t2\n", "lr"),
        ("step,loss,lr\n1,2,3\n", "step"),
        ("step\tloss\tlr\n1\tlow\t3\n", "low"),
    ],
)
def test_broken_curves_are_named(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "curve.tsv"
    path.write_text(text)
    with pytest.raises(ReplicationError) as caught:
        read_curve(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert said in str(caught.value)


def test_smoothing_keeps_a_constant_and_starts_at_the_first_value() -> None:
    flat = pd.Series(np.full(50, 2.5))
    assert np.allclose(smooth(flat), 2.5)
    noisy = pd.Series(np.random.default_rng(0).normal(size=500))
    smoothed = smooth(noisy)
    assert smoothed[0] == noisy[0]
    assert smoothed.std() < noisy.std() / 3
