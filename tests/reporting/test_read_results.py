"""Results on disk: what is read, and how each fault is named."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from replication.errors import ReplicationError
from replication.reporting.results import read_result

MakeResult = Callable[..., dict[str, Any]]


def _write(folder: Path, content: object, run: str = "aspp_l") -> Path:
    path = folder / f"{run}.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_no_file_is_no_result(tmp_path: Path) -> None:
    assert read_result(tmp_path, "aspp_l", "demo") is None
    assert read_result(tmp_path / "nowhere", "aspp_l", "demo") is None


def test_one_seed_has_no_spread(tmp_path: Path, make_result: MakeResult) -> None:
    _write(tmp_path, make_result("aspp_l", before=(45.25,), parameters=20_500_000))
    result = read_result(tmp_path, "aspp_l", "demo")
    assert result is not None
    assert result.measure("before.miou") == (45.25, None)
    assert result.measure("model.parameters", 1e-6) == pytest.approx((20.5, None))
    assert result.devices() == {("cpu", "32-true")}


def test_several_seeds_give_mean_and_sample_deviation(
    tmp_path: Path, make_result: MakeResult
) -> None:
    values = (45.1, 47.3, 44.9)
    _write(tmp_path, make_result("aspp_l", before=values, after=(50, 51, 52), speeds=(1, 2, 3)))
    result = read_result(tmp_path, "aspp_l", "demo")
    assert result is not None
    measure = result.measure("before.miou")
    assert measure == pytest.approx((np.mean(values), np.std(values, ddof=1)))
    assert result.measure("train.images_per_second") == (2.0, 1.0)


def test_a_seed_without_crf_leaves_the_cell_empty(tmp_path: Path, make_result: MakeResult) -> None:
    seeds = {"before": (45, 46), "after": (49, None), "speeds": (1, 1)}
    _write(tmp_path, make_result("aspp_l", **seeds))
    result = read_result(tmp_path, "aspp_l", "demo")
    assert result is not None
    assert result.measure("after.miou") is None
    assert result.measure("before.miou") is not None


def test_keys_of_later_versions_are_let_through(tmp_path: Path, make_result: MakeResult) -> None:
    content = make_result("aspp_l")
    content["seeds"][0]["before"]["trimap"] = {"width": [1], "miou": [30.0]}
    _write(tmp_path, content)
    assert read_result(tmp_path, "aspp_l", "demo") is not None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"format": 1,', "not a JSON file"),
        ("", "not a JSON file"),
        ("[]", "`format` is None"),
        ('{"miou": 45}', "`format` is None"),
        ('{"format": 2}', "`format` is 2"),
        ('{"format": 1}', "`run`: Field required"),
    ],
)
def test_foreign_files_are_named(tmp_path: Path, content: str, said: str) -> None:
    path = _write(tmp_path, content)
    with pytest.raises(ReplicationError) as caught:
        read_result(tmp_path, "aspp_l", "demo")
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert said in message
    assert "dvc repro" in message
    assert "\n" not in message


@pytest.mark.parametrize("value", [None, "many", -1, 101, float("nan")])
def test_impossible_accuracies_are_named(
    tmp_path: Path, make_result: MakeResult, value: object
) -> None:
    content = make_result("aspp_l")
    content["seeds"][0]["before"]["miou"] = value
    _write(tmp_path, content)
    with pytest.raises(ReplicationError, match=r"`seeds\.0\.before\.miou`"):
        read_result(tmp_path, "aspp_l", "demo")


def test_no_seed_is_an_error(tmp_path: Path, make_result: MakeResult) -> None:
    _write(tmp_path, {**make_result("aspp_l"), "seeds": []})
    with pytest.raises(ReplicationError, match="`seeds`"):
        read_result(tmp_path, "aspp_l", "demo")


def test_a_result_of_another_run_or_profile_is_refused(
    tmp_path: Path, make_result: MakeResult
) -> None:
    _write(tmp_path, make_result("aspp_s"))
    with pytest.raises(ReplicationError, match="holds run `aspp_s`"):
        read_result(tmp_path, "aspp_l", "demo")
    _write(tmp_path, make_result("aspp_l", profile="paper"))
    with pytest.raises(ReplicationError, match="of profile `paper`"):
        read_result(tmp_path, "aspp_l", "demo")
