"""The CRF's parameters: ranges, refusals, and the recipe's table."""

import subprocess
import sys

import pytest
from pydantic import ValidationError

from replication.crf.parameters import PRESETS, CrfParameters

GOOD = {"w1": 4, "sigma_alpha": 67, "sigma_beta": 3}


def test_the_papers_constants_are_the_defaults() -> None:
    p = CrfParameters(**GOOD)
    assert (p.w2, p.sigma_gamma, p.iterations, p.normalization) == (3, 3, 10, "after")
    assert CrfParameters(**p.model_dump()) == p


@pytest.mark.parametrize(
    ("name", "numbers", "published"),
    [
        ("resnet_ports", (4, 67, 3, 3, 1), True),
        ("resnet_release", (5, 21, 3, 4, 1), True),
        ("vgg_aspp_release", (4, 65, 3, 2, 2), True),
        ("v1", (5, 50, 10, 3, 3), True),
        ("v1_multiscale", (3, 95, 3, 3, 3), False),
        ("v1_coco", (5, 67, 3, 3, 3), False),
    ],
)
def test_presets_are_the_recipes_table(
    name: str, numbers: tuple[float, ...], published: bool
) -> None:
    preset = PRESETS[name]
    p = preset.parameters
    assert (p.w1, p.sigma_alpha, p.sigma_beta, p.w2, p.sigma_gamma) == numbers
    assert (p.iterations, p.normalization) == (10, "after")
    assert (preset.assumed is None) == published
    assert len(PRESETS) == 6


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("w1", -1), ("w1", float("nan")), ("w1", float("inf")), ("w1", "4"), ("w1", None),
        ("sigma_alpha", 0), ("sigma_beta", 0.05), ("sigma_gamma", 1e5), ("w2", 1e4),
        ("iterations", -1), ("iterations", 2.5), ("iterations", True),
        ("normalization", "NORMALIZE_AFTER"), ("sigma_aplha", 3),
    ],
)  # fmt: skip
def test_nonsense_is_refused(key: str, value: object) -> None:
    with pytest.raises(ValidationError) as caught:
        CrfParameters(**{**GOOD, key: value})
    assert caught.value.errors()[0]["loc"] == (key,)


def test_reading_settings_needs_no_array_library() -> None:
    code = (
        "import sys, replication.crf.parameters;"
        "print([m for m in ('numpy', 'torch', 'pydensecrf') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
