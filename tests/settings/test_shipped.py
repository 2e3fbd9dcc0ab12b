"""What is in the repository is valid, and is the paper's; what may be set is what fits."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from replication.plan import Settings, load
from replication.settings import Head, Profile, Recipe, parse

HERE = Path(__file__).resolve().parents[2]
PROFILES = sorted(path.stem for path in (HERE / "profiles").glob("*.yaml"))


def test_the_default_profile_is_demo_or_a_shipped_one() -> None:
    assert {"smoke", "demo", "photos", "paper"} <= set(PROFILES)
    assert yaml.safe_load((HERE / "params.yaml").read_text())["profile"] in PROFILES


@pytest.mark.parametrize("profile", PROFILES)
def test_every_shipped_profile_plans_every_run(root: Path, profile: str, change: Any) -> None:
    change(root / "params.yaml", "profile", profile)
    change(root / "params.yaml", "data.folder", "/photographs")
    settings = load(root)
    assert isinstance(settings, Settings)
    for run in settings.experiments.runs:
        plan = settings.plan(run)
        assert plan.recipe.batch_size % plan.micro_batch == 0


def test_runs_are_those_of_tables_1_to_3() -> None:
    names = [
        *("fov_7x7_r4", "fov_4x4_r4", "fov_4x4_r8", "fov_3x3_r12"),
        *("poly_b30_6k", "poly_b30_10k", "poly_b10_10k", "poly_b10_20k"),
        *("aspp_s", "aspp_l"),
    ]
    there = yaml.safe_load((HERE / "experiments.yaml").read_text())["runs"]
    assert list(there)[: len(names)] == names  # one's own come after them
    runs = {name: there[name] for name in names}
    recipe = {name: run["recipe"] for name, run in runs.items()}
    # (policy, batch, iterations), from table 2 and recipe.md's Training
    assert {
        name: (r["policy"], r["batch_size"], r["iterations"]) for name, r in recipe.items()
    } == {
        **dict.fromkeys(list(runs)[:4], ("step", 30, 6_000)),
        "poly_b30_6k": ("poly", 30, 6_000),
        "poly_b30_10k": ("poly", 30, 10_000),
        "poly_b10_10k": ("poly", 10, 10_000),
        "poly_b10_20k": ("poly", 10, 20_000),
        "aspp_s": ("poly", 10, 20_000),
        "aspp_l": ("poly", 10, 20_000),
    }
    for r in recipe.values():
        assert (r["base_lr"], r["momentum"], r["weight_decay"]) == (0.001, 0.9, 0.0005)
    heads = {name: run["head"] for name, run in runs.items()}
    assert heads["aspp_s"]["rates"] == [2, 4, 8, 12]
    assert heads["aspp_l"]["rates"] == [6, 12, 18, 24]
    # recipe.md: the average pool is in the LargeFOV release, absent in ASPP
    assert not heads["aspp_s"]["average_pool"]
    assert heads["fov_3x3_r12"] == heads["poly_b10_20k"]
    assert heads["fov_3x3_r12"]["average_pool"]


@given(st.integers(9, 4_000))
def test_sizes_are_taken_just_where_stride_8_fits(size: int) -> None:
    profile = yaml.safe_load((HERE / "profiles" / "smoke.yaml").read_text())
    if (size - 1) % 8 == 0:
        assert Profile(**{**profile, "crop": size}).crop == size
    else:
        with pytest.raises(ValueError, match="align-corners") as caught:
            Profile(**{**profile, "crop": size})
        for near in (size - (size - 1) % 8, size + 8 - (size - 1) % 8):
            assert str(near) in str(caught.value)


@given(st.integers(1, 7), st.lists(st.integers(1, 64), min_size=1, max_size=4))
def test_heads_are_taken_just_where_padding_keeps_the_size(kernel: int, rates: list[int]) -> None:
    if all(((kernel - 1) * rate + 1) % 2 == 1 for rate in rates):  # an odd effective kernel
        assert Head(kernel=kernel, rates=rates, channels=8, average_pool=False).dropout == 0.5
    else:
        with pytest.raises(ValueError, match="needs even rates"):
            Head(kernel=kernel, rates=rates, channels=8, average_pool=False)


def test_recipe_defaults_are_the_papers(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text("{policy: poly, batch_size: 10, iterations: 9, base_lr: 0.1}")
    recipe = parse(Recipe, tmp_path / "r.yaml")
    assert (recipe.power, recipe.momentum, recipe.weight_decay) == (0.9, 0.9, 5e-4)
    assert (recipe.step_size, recipe.gamma) == (2_000, 0.1)


def test_where_the_crf_parameters_come_from(root: Path, change: Any, complaint: Any) -> None:
    assert load(root).params.crf.given() is None  # the search decides
    change(root / "params.yaml", "crf.parameters", "fixed")
    change(root / "params.yaml", "crf.fixed.sigma_alpha", 50.0)
    given = load(root).params.crf.given()
    assert given is not None
    assert given.sigma_alpha == 50
    # recipe.md's table: the authors' release of VGG-16 ASPP
    change(root / "params.yaml", "crf.parameters", "vgg_aspp_release")
    change(root / "params.yaml", "crf.iterations", 5)
    given = load(root).params.crf.given()
    assert given is not None
    values = (given.w1, given.sigma_alpha, given.sigma_beta, given.w2, given.sigma_gamma)
    assert values == (4, 65, 3, 2, 2)
    assert given.iterations == 5
    change(root / "params.yaml", "crf.parameters", "fixed")
    change(root / "params.yaml", "crf.fixed", None)
    assert "give w1, sigma_alpha and sigma_beta there" in complaint(root)


def test_settings_cannot_be_changed_afterwards(root: Path) -> None:
    params = load(root).params
    with pytest.raises(ValueError, match="frozen"):
        params.profile = "paper"
