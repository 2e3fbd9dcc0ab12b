"""`replication compare`: one run against another, by hand and by a bootstrap of numpy's."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from replication.cli import app
from replication.errors import ReplicationError
from replication.evaluation.class_counts import HIT, PREDICTED, TRUE
from replication.evaluation.image_counts import read_image_counts
from replication.reporting.against import against
from replication.reporting.evidence import Evidence

WriteCounted = Callable[..., Path]
ROOT = Path(__file__).resolve().parents[2]


def cells(text: str) -> dict[str, list[str]]:
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    return {name.strip(): [value.strip(" |") for value in values] for name, *values in rows}


def test_differences_are_those_of_the_counts(write_counted: WriteCounted) -> None:
    folder = write_counted("poly_b10_20k", before=(0.70,), after=(0.75,), speeds=(10.0,))
    write_counted("aspp_l", before=(0.74,), after=(0.75,), speeds=(8.0,))
    found = cells(against(Evidence(folder, "demo"), "aspp_l", "poly_b10_20k"))

    def iou(run: str, weights: np.ndarray) -> float:
        counts = read_image_counts(folder / f"{run}.npz")
        assert counts is not None
        sums = np.tensordot(weights, counts.counts[0, 0], (0, 0))
        return float(100 * np.mean(sums[HIT] / (sums[TRUE] + sums[PREDICTED] - sums[HIT])))

    runs, whole = ("poly_b10_20k", "aspp_l"), np.ones(40)
    base, mine = (round(iou(run, whole), 2) for run in runs)
    shown = found["mean IOU before CRF (%)"]
    assert shown[:3] == [f"{base:.2f}", f"{mine:.2f}", f"{mine - base:+.2f}"]

    drawn = np.random.default_rng(7).multinomial(40, whole / 40, size=4_000)
    changes = [iou("aspp_l", weights) - iou("poly_b10_20k", weights) for weights in drawn]
    low, high = json.loads(shown[3])
    assert low < mine - base < high
    assert [low, high] == pytest.approx(np.percentile(changes, [2.5, 97.5]).tolist(), abs=0.1)

    assert found["mean IOU after CRF (%)"][2:] == ["0.00", "[0.00, 0.00]"]  # the same images
    assert found["crops a second in training"][:3] == ["10.00", "8.00", "-2.00"]
    assert found["parameters"][2] == "0"
    assert {"a", "b", "c"} <= found.keys()


def test_classes_stand_by_their_gain_and_absent_ones_are_left_out(
    tmp_path: Path, make_result: Callable[..., dict[str, object]]
) -> None:
    for run, ious in (("aspp_s", (10.0, 50.0, None)), ("aspp_l", (11.0, 70.0, None))):
        result = make_result(run, before=(40.0, 42.0), after=(None, None), speeds=(1.0, 1.0))
        for seed in result["seeds"]:  # type: ignore[attr-defined]
            seed["before"]["iou"] = ious
        (tmp_path / f"{run}.json").write_text(json.dumps(result))
    text = against(Evidence(tmp_path, "demo"), "aspp_l", "aspp_s")
    *_, b, a, _, foot = text.splitlines()
    assert (a, b) == ("| a | 10.00 | 11.00 | +1.00 |", "| b | 50.00 | 70.00 | +20.00 |")
    assert foot == "No interval: a run's counts of images are not here, or there is but one image."
    assert cells(text)["mean IOU before CRF (%)"][0] == "41.00 ± 1.41"  # sqrt(2)
    assert cells(text)["mean IOU after CRF (%)"][:3] == ["-", "-", "-"]


def test_other_images_and_other_classes(
    tmp_path: Path, make_result: Callable[..., dict[str, object]]
) -> None:
    one, other, third = (make_result(run) for run in ("aspp_s", "aspp_l", "fov_4x4_r4"))
    other["data"]["meta_sha256"] = "2" * 64  # type: ignore[index]
    third["data"]["classes"] = ["a", "b"]  # type: ignore[index]
    for result in (one, other, third):
        (tmp_path / f"{result['run']}.json").write_text(json.dumps(result))
    evidence = Evidence(tmp_path, "demo")
    assert "not measured on the same images" in against(evidence, "aspp_s", "aspp_l")
    with pytest.raises(ReplicationError, match="`fov_4x4_r4` 2 of voc2012 sample; compare runs"):
        against(evidence, "aspp_s", "fov_4x4_r4")
    with pytest.raises(ReplicationError, match=r"aspp_x.json holds no result; `dvc repro evalu"):
        against(evidence, "aspp_x", "aspp_s")


@pytest.fixture
def families(tmp_path: Path) -> Path:
    """A root with the repository's settings, and no result."""
    for name in ("params.yaml", "experiments.yaml", "profiles", "pipelines", "dvc.yaml"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


@pytest.mark.parametrize("run", ["aspp_l", "resnet_plain", "cityscapes_vgg_large_fov"])
def test_the_stage_that_is_named_is_one_that_dvc_has(families: Path, run: str) -> None:
    asked = CliRunner().invoke(app, ["compare", run, "aspp_s", "--root", str(families)])
    (target,) = re.findall(r"`dvc repro (\S+)` makes it", str(asked.exception))
    *folder, name = target.split(":")
    stage, _, key = name.partition("@")
    pipeline = yaml.safe_load((families / (folder[0] if folder else "dvc.yaml")).read_text())
    # such as ${runs}, ${families.cityscapes}
    over = yaml.safe_load((families / "experiments.yaml").read_text())
    for part in pipeline["stages"][stage]["foreach"].strip("${}").split("."):
        over = over[part]
    assert key == run
    assert key in over


def test_the_command_refuses_an_unknown_run() -> None:
    asked = CliRunner().invoke(app, ["compare", "aspp_l", "nix", "--root", str(ROOT)])
    assert isinstance(asked.exception, ReplicationError)
    assert "'nix'" in str(asked.exception)
