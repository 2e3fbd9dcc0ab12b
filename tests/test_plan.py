"""Plans: how profiles scale runs, what a fingerprint covers, where things are kept."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from replication.plan import Plan, Settings, scale, scale_channels
from replication.settings import Experiments, Params, Profile, parse

HERE = Path(__file__).resolve().parents[1]
EXPERIMENTS = parse(Experiments, HERE / "experiments.yaml")
RUNS = list(EXPERIMENTS.all_runs)
RESNET = "resnet_msc"


def plan(run: str, profile: str, **changes: Any) -> Plan:
    values = yaml.safe_load((HERE / "profiles" / f"{profile}.yaml").read_text())
    return scale(run, EXPERIMENTS.all_runs[run], profile, Profile(**{**values, **changes}))


@pytest.mark.parametrize("run", RUNS)
def test_paper_scales_nothing(run: str) -> None:
    paper = plan(run, "paper")
    assert paper.recipe == EXPERIMENTS.all_runs[run].recipe
    assert paper.head == EXPERIMENTS.all_runs[run].head
    assert paper.comparable
    assert (paper.profile.crop, paper.profile.test_size) == (321, 513)


@pytest.mark.parametrize(
    "change",
    [
        {"data": "sample"},
        {"width": 0.5},
        {"crop": 313},
        {"test_size": 521},
        {"train_split": "train"},
        {"iterations_factor": 0.5},
        {"batch_factor": 0.5},
        {"base_lr_factor": 2.0},
        {"limit_eval": 100},
        {"dropout": 0.0},
        {"decimation": "gathered"},
    ],
    ids=str,
)
def test_anything_scaled_is_not_comparable(change: dict[str, Any]) -> None:
    assert not plan("aspp_l", "paper", **change).comparable


def test_resnet_has_factors_of_its_own() -> None:
    changes = {"iterations_factor": 0.5, "base_lr_factor": 3.0}
    mine = {"resnet_iterations_factor": 0.01, "resnet_base_lr_factor": 4.0}
    assert plan(RESNET, "paper").comparable
    assert not plan(RESNET, "paper", **changes).comparable  # null: the general ones
    assert plan(RESNET, "paper", **changes).recipe.iterations == 10_000
    assert not plan(RESNET, "paper", **mine).comparable
    assert plan("aspp_l", "paper", **mine).comparable
    recipe = plan(RESNET, "paper", **changes, **mine).recipe
    assert (recipe.iterations, recipe.base_lr) == (200, 1e-3)


@pytest.mark.parametrize("profile", ["smoke", "demo", "photos"])
def test_small_profiles_are_not_comparable(profile: str) -> None:
    assert not any(plan(run, profile).comparable for run in RUNS)


def test_photos_is_the_trial_of_recipe_md() -> None:
    # "450 updates of 6 crops of 209 pixels, poly, base 0.001", Gaussian 0.005, full width
    trial = plan("poly_b10_20k", "photos")
    assert (trial.recipe.iterations, trial.recipe.batch_size) == (450, 6)
    assert (trial.recipe.base_lr, trial.profile.crop, trial.profile.fc_std) == (0.001, 209, 0.005)
    assert (trial.recipe.policy, trial.head.channels) == ("poly", 1_024)


def test_step_size_shrinks_with_iterations() -> None:
    conference = plan("fov_3x3_r12", "paper", iterations_factor=0.03)
    assert (conference.recipe.iterations, conference.recipe.step_size) == (180, 60)


@given(
    st.sampled_from(RUNS),
    st.floats(1e-5, 10),
    st.floats(1e-3, 10),
    st.integers(1, 64),
    st.floats(1e-3, 1),
)
def test_scaled_plans_can_be_trained(
    run: str, iterations: float, batch: float, micro: int, width: float
) -> None:
    scaled = plan(
        run,
        "paper",
        iterations_factor=iterations,
        batch_factor=batch,
        micro_batch=micro,
        width=width,
    )
    assert min(scaled.recipe.iterations, scaled.recipe.step_size, scaled.recipe.batch_size) >= 1
    assert scaled.recipe.batch_size % scaled.micro_batch == 0
    assert 1 <= scaled.micro_batch <= micro
    divisors = (n for n in range(1, micro + 1) if scaled.recipe.batch_size % n == 0)
    assert scaled.micro_batch == max(divisors)
    channels = EXPERIMENTS.all_runs[run].head.channels
    assert scaled.head.channels == (None if channels is None else max(4, round(channels * width)))


@pytest.mark.parametrize(
    ("channels", "width", "expected"),
    [(64, 1.0, 64), (64, 0.125, 8), (64, 1 / 64, 4), (21, 0.5, 10)],
)
def test_channels_scale_but_never_vanish(channels: int, width: float, expected: int) -> None:
    assert scale_channels(channels, width) == expected


def test_fingerprints_follow_what_decides_the_weights() -> None:
    base = plan("aspp_l", "smoke")
    one = base.fingerprint(seed=0, data="x")
    assert one == plan("aspp_l", "smoke").fingerprint(data="x", seed=0)
    assert len(one) == 64
    others = {
        base.fingerprint(seed=1, data="x"),
        base.fingerprint(seed=0, data="y"),
        plan("aspp_s", "smoke").fingerprint(seed=0, data="x"),
        plan("aspp_l", "smoke", crop=105).fingerprint(seed=0, data="x"),
        plan("aspp_l", "smoke", width=0.25).fingerprint(seed=0, data="x"),
        plan("aspp_l", "smoke", fc_std=0.02).fingerprint(seed=0, data="x"),
        plan("aspp_l", "smoke", base_lr_factor=7.0).fingerprint(seed=0, data="x"),
        plan("aspp_l", "smoke", micro_batch=1).fingerprint(seed=0, data="x"),
        plan("aspp_l", "smoke", train_split="train").fingerprint(seed=0, data="x"),
    }
    assert len(others | {one}) == 10


@pytest.mark.parametrize(
    "change",
    [{"test_size": 201}, {"limit_eval": 3}, {"score_batch": 2}, {"checkpoint_every": 5}],
    ids=str,
)
def test_fingerprints_leave_out_what_does_not(change: dict[str, Any]) -> None:
    assert (
        plan("aspp_l", "smoke", **change).fingerprint(seed=0)
        == plan("aspp_l", "smoke").fingerprint(seed=0)
    )  # fmt: skip


def test_places_are_profile_run_seed(tmp_path: Path) -> None:
    params = parse(Params, HERE / "params.yaml").model_copy(update={"profile": "smoke"})
    settings = Settings(tmp_path, params, plan("aspp_l", "smoke").profile, EXPERIMENTS)
    assert settings.place("datasets", "coco") == tmp_path / "datasets" / "smoke" / "coco"
    assert settings.place("runs", "aspp_l", 0) == tmp_path / "runs" / "smoke" / "aspp_l" / "seed_0"
    assert settings.place("scores", "aspp_l") == tmp_path / "scores" / "smoke" / "aspp_l"
