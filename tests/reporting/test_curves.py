"""Learning curves from made-up runs."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from replication.errors import ReplicationError
from replication.evaluation.curve import read_curve
from replication.reporting.context import Context
from replication.reporting.curves import learning_curves, make, smooth
from replication.reporting.results import Curve
from replication.settings import MultiScale
from replication.training.callbacks import LOG_EVERY
from replication.training.terms import term_labels


def curve(loss: float = 3.0) -> Curve:
    steps = np.arange(10, 210, 10)
    falling = (loss * np.exp(-steps / 90)).tolist()
    return Curve(step=steps.tolist(), loss=falling, lr=(0.01 / steps).tolist())


def write(path: Path, curve: Curve) -> None:
    path.parent.mkdir(parents=True)
    pd.DataFrame(curve.model_dump()).to_csv(path, sep="\t", index=False)


def test_draws_what_there_is(tmp_path: Path) -> None:
    curves = {"fov_3x3_r12": [curve(), curve(2.0)], "aspp_l": [curve()], "mine": [curve()]}
    written = learning_curves(curves, tmp_path / "curves", profile="demo")
    assert [p.name for p in written] == ["curves.png", "curves.pdf"]
    with Image.open(written[0]) as image:
        assert image.width > 1000
        assert image.height > 1000  # rows for tables 1, 2, 3 and for the run of no table
    again = learning_curves(curves, tmp_path / "again", profile="demo")
    assert [p.read_bytes() for p in written] == [p.read_bytes() for p in again]


@pytest.mark.parametrize(
    ("runs", "ramps", "sums"),
    [
        (["fov_3x3_r12", "resnet_msc"], True, True),
        (["poly_b10_20k", "resnet_plain"], False, False),
    ],
)
def test_the_caption_says_what_the_lines_do_not(
    context: Context, runs: list[str], *, ramps: bool, sums: bool
) -> None:
    for run in runs:
        write(context.place("runs", run) / "curve.tsv", curve())
    caption = make(context).caption
    assert "every ten updates" in caption
    assert LOG_EVERY == 10
    assert ("The step policy divides its rate at one update" in caption) is ramps
    assert ("the loss is a sum" in caption) is sums
    # the paper's scales: 1, 0.75, 0.5, and the maximum
    scales = MultiScale()
    terms = term_labels(torch.zeros(1, 33, 33, dtype=torch.uint8), scales)
    assert len(terms) == len(scales.scales) + 1 == 4


def test_a_result_has_its_curves_where_the_run_is_not(
    context: Context, make_result: Callable[..., dict[str, Any]]
) -> None:
    """A result of two seeds, an older one without a curve, and a run that nothing evaluates."""
    results = context.settings.place("results")
    results.mkdir(parents=True, exist_ok=True)
    both = make_result("aspp_l", before=(40, 41), after=(42, 43), speeds=(1, 1))
    for seed in both["seeds"]:
        seed["train"]["curve"] = curve().model_dump()
    for result in (both, make_result("aspp_s")):
        (results / f"{result['run']}.json").write_text(json.dumps(result))
    write(context.place("runs", "resnet_coco") / "curve.tsv", curve())
    made = make(context)
    assert made.runs == ("aspp_l", "resnet_coco")
    assert made.files == (
        "results/demo/aspp_l.json",
        "runs/demo/resnet_coco/seed_0/curve.tsv",
    )


def test_no_run_is_an_error(context: Context) -> None:
    with pytest.raises(ReplicationError, match="train a run first"):
        make(context)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no line"),
        ("step\tloss\tlr\n", "no line"),
        ("step\tloss\n1\t2\n", "lr"),
        ("step,loss,lr\n1,2,3\n", "step"),
        ("step\tloss\tlr\n1\tlow\t3\n", "low"),
        ("step\tloss\tlr\n1\t2\n", "no learning curve"),
        ("step\tloss\tlr\n1\tinf\t3\n", "inf is no finite number"),
    ],
)
def test_broken_curves_are_named(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "curve.tsv"
    path.write_text(text)
    with pytest.raises(ReplicationError) as caught:
        read_curve(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert said in str(caught.value)


def test_a_curve_has_a_loss_for_every_step() -> None:
    with pytest.raises(ValueError, match="a curve of 2 steps has 1 losses, 2 rates"):
        Curve(step=[1, 2], loss=[1], lr=[1, 2])


def test_smoothing_keeps_a_constant_and_starts_at_the_first_value() -> None:
    flat = pd.Series(np.full(50, 2.5))
    assert np.allclose(smooth(flat), 2.5)
    noisy = pd.Series(np.random.default_rng(0).normal(size=500))
    smoothed = smooth(noisy)
    assert smoothed[0] == noisy[0]
    assert smoothed.std() < noisy.std() / 3
