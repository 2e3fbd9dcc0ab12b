"""Learning rates against closed forms, and every parameter in the group of the authors' files."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from replication.settings import Head, Recipe
from replication.training.recipe import learning_rate_factor, parameter_groups

CONFERENCE = Recipe(policy="step", batch_size=30, iterations=6_000, base_lr=0.001)
JOURNAL = Recipe(policy="poly", batch_size=10, iterations=20_000, base_lr=0.001)


@pytest.mark.parametrize(
    ("iteration", "rate"),
    [(0, 1e-3), (1_999, 1e-3), (2_000, 1e-4), (3_999, 1e-4), (4_000, 1e-5), (5_999, 1e-5)],
)
def test_step_divides_by_ten_every_2000(iteration: int, rate: float) -> None:
    assert 0.001 * learning_rate_factor(CONFERENCE, iteration) == pytest.approx(rate, rel=1e-12)


@pytest.mark.parametrize(
    ("iteration", "rate"),
    # exp(0.9 ln(1 - i / 20,000)) / 1,000, worked out apart from the code
    [
        (0, 1.0e-3),
        (1, 9.99955e-4),
        (2_000, 9.095325761e-4),
        (10_000, 5.358867313e-4),
        (18_000, 1.258925412e-4),
        (19_999, 1.346087e-7),
        (20_000, 0.0),
    ],
)
def test_poly_has_power_nine_tenths(iteration: int, rate: float) -> None:
    assert 0.001 * learning_rate_factor(JOURNAL, iteration) == pytest.approx(rate, rel=1e-6)


@given(st.integers(0, 30_000))
def test_poly_falls_at_every_update_and_never_below_zero(iteration: int) -> None:
    here, next_ = (learning_rate_factor(JOURNAL, iteration + k) for k in (0, 1))
    assert here > next_ or here == next_ == 0
    assert isinstance(here, float)


def test_groups_have_the_authors_multipliers() -> None:
    from replication.models.heads import Classifier

    rates = [6, 12]
    model = nn.ModuleDict(
        {
            "backbone": nn.Sequential(nn.Conv2d(3, 2, 3)),
            "classifier": Classifier(
                2, 5, Head(kernel=3, rates=rates, channels=4, average_pool=False)
            ),
        }
    )
    groups = parameter_groups(model, JOURNAL)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    found = {
        (round(group["lr"] / 1e-3), group["weight_decay"]): sorted(
            names[id(parameter)] for parameter in group["params"]
        )
        for group in groups
    }
    places = [f"classifier.branches.{branch}." for branch in (0, 1)]
    body = ["backbone.0", *(f"{place}{fc}" for place in places for fc in ("fc6", "fc7"))]
    last = [f"{place}fc8" for place in places]
    assert found == {
        (1, 5e-4): [f"{name}.weight" for name in body],
        (2, 0.0): [f"{name}.bias" for name in body],
        (10, 5e-4): [f"{name}.weight" for name in last],
        (20, 0.0): [f"{name}.bias" for name in last],
    }
    members = [id(parameter) for group in groups for parameter in group["params"]]
    assert len(members) == len(set(members)) == len(names)


def test_groups_make_an_optimizer_even_where_one_is_empty() -> None:
    groups = parameter_groups(nn.Conv2d(1, 1, 1, bias=False), JOURNAL)
    assert len(groups) == 1
    assert torch.optim.SGD(groups, lr=1.0).param_groups[0]["lr"] == 1e-3
