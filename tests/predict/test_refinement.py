"""The CRF's parameters from one option."""

import json
from pathlib import Path

import pytest

from replication.crf.parameters import PRESETS, CrfParameters
from replication.errors import ReplicationError
from replication.predict.refinement import parse_parameters


@pytest.fixture
def search(tmp_path: Path) -> Path:
    best = {"w1": 5, "sigma_alpha": 49, "sigma_beta": 4, "miou": 70.0}
    result = {
        "best": best,
        "points": [best | {"round": 0, "mode": "exact"}],
        "fixed": {"w2": 2.5, "sigma_gamma": 1.5, "iterations": 7, "output_stride": 8},
        "objective": "miou",
        "ids": [],
        "grid": {},
    }
    path = tmp_path / "search.json"
    path.write_text(json.dumps(result))
    return path


def test_presets_values_and_searches(search: Path) -> None:
    assert parse_parameters(None, "vgg16") == PRESETS["vgg_aspp_release"].parameters
    assert parse_parameters(None, "resnet101") == PRESETS["resnet_ports"].parameters
    assert parse_parameters("v1", "resnet101") == PRESETS["v1"].parameters
    found = parse_parameters("w1=5, sigma-beta=10, iterations=3, normalization=none", "vgg16")
    assert found == CrfParameters(
        w1=5,
        sigma_alpha=65,
        sigma_beta=10,
        w2=2,
        sigma_gamma=2,
        iterations=3,
        normalization="none",
    )
    searched = CrfParameters(
        w1=5, sigma_alpha=49, sigma_beta=4, w2=2.5, sigma_gamma=1.5, iterations=7
    )
    assert parse_parameters(str(search), "vgg16") == searched
    changed = parse_parameters(f"{search},w1=2", "vgg16")
    assert changed == searched.model_copy(update={"w1": 2.0})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("v3", "'v3' is no file, and no published setting; those are resnet_ports, "),
        ("w3=1", "there is no parameter 'w3'; known: w1, sigma_alpha"),
        ("w1=much", "'much' is no number: write w1=10"),
        ("iterations=2.5", "'2.5' is no number: write iterations=10"),
        ("sigma_alpha=0", "`--sigma-alpha` is 0.0: input should be greater"),
        ("normalization=maybe", "`--normalization` is 'maybe'"),
        ("v1,v1_coco", "there is no parameter 'v1_coco'"),
    ],
)
def test_what_cannot_be_meant_is_one_line(text: str, said: str) -> None:
    with pytest.raises(ReplicationError) as caught:
        parse_parameters(text, "vgg16")
    assert str(caught.value).startswith(f"`--crf-parameters` is {text!r}: ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
