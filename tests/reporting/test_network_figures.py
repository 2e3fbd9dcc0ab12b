"""Figures 4 and 7: taps to scale, and diagrams that say what the networks are."""

import dataclasses

import numpy as np
import pytest
from matplotlib.patches import Rectangle

from replication.models.heads import field_of_view
from replication.plan import Plan, scale
from replication.reporting import figure4, figure7
from replication.reporting.context import Context


@pytest.mark.parametrize(("kernel", "rate"), [(7, 4), (4, 4), (4, 8), (3, 12), (3, 24)])
def test_taps_span_table_1s_field_of_view(kernel: int, rate: int) -> None:
    at = figure4.taps((80, 160), kernel, rate)
    assert len(at) == kernel**2
    assert at.mean(axis=0) == pytest.approx([80, 160])
    span = at.max(axis=0) - at.min(axis=0)
    assert span == pytest.approx([field_of_view(kernel, rate) - 32] * 2)
    assert np.unique(np.diff(np.unique(at[:, 0]))) == pytest.approx([rate * 8])


def test_the_centre_is_a_score_position_on_the_image() -> None:
    mask = np.zeros((15, 60), bool)
    mask[13:, 20:31] = True  # the middle is (13.5, 25), the nearest multiples of 8 (16, 24)
    assert figure4.centre_of(mask) == (8, 24)
    assert figure4.centre_of(~np.zeros((33, 49), bool)) == (16, 24)


def test_taps_on_the_image_are_counted() -> None:
    at = figure4.taps((16, 24), 3, 3)  # rows -8, 16, 40; columns 0, 24, 48
    assert figure4.taps_inside(at, (41, 49)) == 6
    assert figure4.taps_inside(at, (40, 48)) == 2


def test_figure_4_draws_aspp_l_to_scale(context: Context) -> None:
    caption = figure4.make(context)
    image = np.zeros((41, 57, 3), np.uint8)
    axis = figure4._draw(image, (16, 24), 3, [6, 12, 18, 24]).axes[0]
    boxes = [patch for patch in axis.patches if isinstance(patch, Rectangle)]
    outlines = sorted(b.get_width() for b in boxes if not b.get_fill() and b.get_width() != 57)
    assert outlines == [96, 192, 288, 384]
    assert sum(b.get_width() == 8 for b in boxes) == 4 * 9 + 1  # the position itself once more
    low, high = axis.get_xlim()
    assert (low, high) == (24 - 192 - 12, 24 + 192 + 12)
    assert axis.get_aspect() == 1
    assert caption.runs == ("aspp_l",)
    assert "9 taps the image holds 1 at rate 6, 1 at rate 12" in caption.caption
    assert "the outermost 384 pixels" in caption.alt


def full_width(context: Context, run: str) -> Plan:
    profile = context.settings.profile.model_copy(update={"width": 1.0})
    return scale(run, context.settings.experiments.runs[run], "paper", profile)


def test_heads_have_the_papers_layers(context: Context) -> None:
    head = figure7.read_head(full_width(context, "aspp_l"), 21)
    assert [branch[0].rate for branch in head.branches] == [6, 12, 18, 24]
    for branch in head.branches:
        assert [layer.name for layer in branch] == ["fc6", "fc7", "fc8"]
        assert [layer.kernel for layer in branch] == [3, 1, 1]
        assert [layer.channels for layer in branch] == [1024, 1024, 21]
    one = (512 * 9 + 1) * 1024 + (1024 + 1) * 1024 + (1024 + 1) * 21
    assert head.parameters == 4 * one
    assert [(layer.name, layer.channels) for layer in head.below] == [("pool5", 512)]


def test_large_fov_with_its_backbone_has_the_papers_20_million_parameters(
    context: Context,
) -> None:
    head = figure7.read_head(full_width(context, "poly_b10_20k"), 21)
    assert [(layer.name, layer.kernel) for layer in head.below] == [
        ("pool5", 3),
        ("average pool", 3),
    ]
    backbone = 14_714_688  # VGG-16's thirteen convolutions
    assert round((backbone + head.parameters) / 1e6, 1) == 20.5


def test_figure_7_writes_every_layer_and_the_sum(context: Context) -> None:
    caption = figure7.make(context)
    heads = [figure7.read_head(context.settings.plan(run), 3) for run in figure7.RUNS]
    axes = figure7._draw(heads, list(figure7.RUNS.values()), list(figure7.RUNS)).axes
    texts = [[text.get_text() for text in axis.texts if text.get_text()] for axis in axes]
    assert sum(text.startswith("fc6\n3x3, rate ") for text in texts[1]) == 4
    assert "fc8\n1x1\n3 channels" in texts[0]
    assert "fc6\n3x3, rate 18\n128 channels" in texts[1]
    assert "sum" in texts[1]
    assert "sum" not in texts[0]
    assert f"{heads[1].parameters:,} parameters" in caption.caption
    first = context.out("figure7.png").read_bytes()
    assert figure7.make(dataclasses.replace(context)) == caption
    assert context.out("figure7.png").read_bytes() == first
