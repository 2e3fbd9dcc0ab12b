"""Sizes of scaled images, and the maximum over scales, against the authors' sizes and by hand."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from replication.models.deeplab import DeepLab
from replication.models.multi_scale import at_scale, fuse, resize, scaled_side
from replication.plan import Plan
from replication.settings import Head, MultiScale, Recipe
from replication.training.pretrain import pretraining_plan


@pytest.mark.parametrize(
    ("side", "scale", "expected"),
    # 241 and 161 stand in the authors' network files; 385 and 257 are 513's
    [(321, 0.75, 241), (321, 0.5, 161), (513, 0.75, 385), (513, 0.5, 257), (145, 0.75, 113)],
)
def test_sizes_are_the_authors(side: int, scale: float, expected: int) -> None:
    assert scaled_side(side, scale) == expected


@given(st.integers(1, 200), st.floats(0.05, 1.0))
def test_sizes_fit_the_stride_and_are_the_nearest(k: int, scale: float) -> None:
    side = 8 * k + 1
    found = scaled_side(side, scale)
    assert found % 8 == 1
    assert 9 <= found <= side
    assert abs((found - 1) - (side - 1) * scale) <= 4 or found == 9
    assert scaled_side(side, 1.0) == side


def test_resizing_keeps_corners_and_linear_ramps() -> None:
    ramp = torch.linspace(0, 1, 41).view(1, 1, 1, -1).expand(1, 1, 41, 41)
    smaller = resize(ramp, (31, 21))
    torch.testing.assert_close(smaller[0, 0, 7], torch.linspace(0, 1, 21))
    assert at_scale(ramp, 1.0) is ramp


def test_fusion_is_the_maximum() -> None:
    torch.manual_seed(0)
    one, half = torch.randn(2, 4, 5, 5), torch.randn(2, 4, 3, 3)
    fused = fuse([one, half])
    for y in range(5):
        for x in range(5):
            ys, xs = {y // 2, (y + 1) // 2}, {x // 2, (x + 1) // 2}  # of the known points beside
            around = [half[:, :, i, j] for i in ys for j in xs]
            expected = torch.maximum(one[:, :, y, x], torch.stack(around).mean(0))
            torch.testing.assert_close(fused[:, :, y, x], expected)
    assert torch.equal(fuse([one]), one)


def plan(scales: list[float] | None) -> Plan:
    """ResNet-101 at 1/16 width with ASPP, at one scale or several."""
    base = pretraining_plan(1)
    profile = base.profile.model_copy(update={"width": 1 / 16})
    return Plan(
        "made_up",
        "made_up",
        profile,
        Head(kernel=3, rates=[6, 12], channels=None, average_pool=False),
        Recipe(policy="poly", batch_size=1, iterations=1, base_lr=0.1),
        1,
        backbone="resnet101",
        multi_scale=MultiScale(scales=scales) if scales else None,
    )


def test_the_networks_scores_are_the_maximum_over_scales_of_shared_weights() -> None:
    torch.manual_seed(0)
    single = DeepLab(plan(None), 3)
    several = DeepLab(plan([1.0, 0.75, 0.5]), 3)
    assert single.state_dict().keys() == several.state_dict().keys()  # weights go from one to other
    several.load_state_dict(single.state_dict())
    images = 50 * torch.randn(1, 3, 97, 65)
    with torch.inference_mode():
        branches = several.branches(images)
        assert [tuple(b.shape[2:]) for b in branches] == [(13, 9), (10, 7), (7, 5)]
        expected = single(images)
        for scale, branch in zip((0.75, 0.5), branches[1:], strict=True):
            size = [round((side - 1) * scale) + 1 for side in (97, 65)]
            resized = torch.nn.functional.interpolate(
                images, size, mode="bilinear", align_corners=True
            )
            alone = single(resized)
            torch.testing.assert_close(branch, alone)
            expected = torch.maximum(
                expected,
                torch.nn.functional.interpolate(
                    alone, (13, 9), mode="bilinear", align_corners=True
                ),
            )
        torch.testing.assert_close(several(images), expected)
    # each scale wins somewhere
    assert not torch.equal(expected, single(images))
