"""A rehearsal of a tiny profile by the real command, and the estimate against hand arithmetic."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console
from safetensors.torch import load_file
from typer.testing import CliRunner

from replication.cli import app
from replication.plan import Settings, load
from replication.rehearsal.estimate import cost_of, print_estimate, search_hours, val_images
from replication.rehearsal.workspace import make_workspace

RUN = "aspp_l"


def test_every_stage_runs_at_the_profiles_size_and_touches_nothing_else(tiny: Settings) -> None:
    before = sorted(str(path.relative_to(tiny.root)) for path in tiny.root.rglob("*"))
    arguments = ["--profile", "tiny", "--images", "1", "--root", str(tiny.root)]
    done = CliRunner().invoke(app, ["rehearse", RUN, *arguments])
    assert done.exit_code == 0, done.exception or done.output
    record = json.loads((tiny.root / "rehearsals" / "tiny.json").read_text())
    assert list(record["runs"]) == [RUN]
    stages = record["runs"][RUN]
    assert list(stages) == ["train", "score", "refine", "evaluate"]
    for cost in stages.values():
        assert cost["seconds"] > 0
        assert cost["memory_mib"] > 20
    assert record["val_images"] == {"voc2012": 2}
    assert stages["train"]["update_seconds"] < stages["train"]["seconds"]
    work = tiny.root / "tmp" / "rehearsal" / "tiny"
    trained = json.loads(next(work.rglob("train.json")).read_text())
    assert trained["updates"] == 2
    assert trained["configuration"]["crop"] == tiny.profile.crop
    assert json.loads(next(work.rglob("score.json")).read_text())["images"] == 1
    after = {str(path.relative_to(tiny.root)) for path in tiny.root.rglob("*")}
    made = {name.split("/")[0] for name in after - set(before)}
    assert made == {"rehearsals", "tmp"}
    said = CliRunner().invoke(app, ["estimate", "--profile", "tiny", "--root", str(tiny.root)])
    assert said.exit_code == 0, said.exception
    assert RUN in said.output


def test_a_run_from_anothers_weights_brings_that_run_along(tiny: Settings) -> None:
    path = tiny.root / "experiments.yaml"
    experiments = yaml.safe_load(path.read_text())
    families = experiments["families"]
    first = families["coco"]["resnet_coco"] | {"data": "voc2012"}
    then = families["voc_resnet"]["resnet_msc_coco"] | {"search": "vgg_aspp"}
    del experiments["searches"]["resnet_aspp"]
    experiments |= {
        "families": {"coco": {"resnet_coco": first}, "more": {"then": then}},
        "datasets": ["voc2012"],
    }
    path.write_text(yaml.safe_dump(experiments))
    arguments = ["--profile", "tiny", "--images", "1", "--root", str(tiny.root)]
    done = CliRunner().invoke(app, ["rehearse", "then", *arguments])
    assert done.exit_code == 0, done.exception or done.output
    record = json.loads((tiny.root / "rehearsals" / "tiny.json").read_text())
    stages = {run: list(costs) for run, costs in record["runs"].items()}
    assert stages == {"resnet_coco": ["train"], "then": ["train", "score", "refine", "evaluate"]}
    work = tiny.root / "tmp" / "rehearsal" / "tiny" / "runs" / "tiny"
    coco = json.loads((work / "resnet_coco" / "seed_3" / "train.json").read_text())
    trained = json.loads((work / "then" / "seed_3" / "train.json").read_text())
    assert trained["backbone"]["sha256"] == coco["weights_sha256"]
    said = CliRunner().invoke(app, ["estimate", "--profile", "tiny", "--root", str(tiny.root)])
    assert said.exit_code == 0, said.exception
    assert "resnet_coco" in said.output


def test_the_workspace_keeps_what_costs_and_lessens_the_rest(tiny: Settings) -> None:
    params = yaml.safe_load((tiny.root / "params.yaml").read_text())
    profile = yaml.safe_load((tiny.root / "profiles" / "tiny.yaml").read_text())
    profile |= {"backbone": "torchvision", "resnet_backbone": "torchvision"}
    (tiny.root / "profiles" / "tiny.yaml").write_text(yaml.safe_dump(profile))
    settings = load(tiny.root)
    work = load(make_workspace(settings, tiny.root / "tmp" / "work", images=3))
    assert (work.profile.limit_eval, work.profile.search_samples) == (3, 1)
    for key in ("width", "crop", "test_size", "micro_batch", "batch_factor", "data"):
        assert getattr(work.profile, key) == getattr(settings.profile, key)
    for run in settings.experiments.runs:
        rehearsed, real = work.plan(run), settings.plan(run)
        assert rehearsed.recipe.iterations == 2
        assert rehearsed.recipe.batch_size == real.recipe.batch_size
        assert rehearsed.head == real.head
    assert work.params.data.backbone is not None  # random, for none is at hand
    random = load_file(work.params.data.backbone)
    assert random["conv5_3_W"].shape[0] == round(512 * settings.profile.width)
    assert work.params.seeds == params["seeds"][:1]


MEASURED: dict[str, Any] = {
    "train": {
        "update_seconds": 1.8,
        "memory_mib": 900.0,
        "device": "cuda",
        "device_memory_mib": 5000.0,
    },
    "score": {"score_seconds": 0.25},
    "refine": {"refine_seconds": 0.5},
}


def paper() -> Settings:
    return load(Path(__file__).resolve().parents[2], "paper")


def test_hours_are_hand_arithmetic() -> None:
    settings = paper()
    assert val_images(settings, "voc2012", {}) == 1_449
    cost = cost_of(settings, RUN, MEASURED, 1_449)
    assert cost.train == pytest.approx(20_000 * 1.8 / 3600)  # 10 hours
    assert cost.score == pytest.approx(1_449 * 0.25 / 3600)
    assert cost.refine == pytest.approx(1_449 * 0.5 / 3600)
    assert cost.hours == pytest.approx(10 + 1_449 * 0.75 / 3600)
    assert cost.memory == 5000.0
    # 180 points on 100 images at a quarter of 0.5 seconds
    only_starts = cost_of(settings, "resnet_coco", {"train": MEASURED["train"]}, 0)
    assert only_starts.hours == only_starts.train == pytest.approx(10)
    assert search_hours(settings, MEASURED) == pytest.approx(180 * 100 * 0.125 / 3600)


def test_a_run_of_two_tables_counts_once_in_all() -> None:
    settings = paper()
    record = {"runs": {"poly_b10_20k": MEASURED, "aspp_s": MEASURED}, "val_images": {}}
    by_run, by_table = print_estimate(settings, record)
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(by_run, by_table)
    lines = {
        line.split("│")[1].strip(): [part.strip() for part in line.split("│")[2:-1]]
        for line in console.export_text().splitlines()
        if line.startswith("│")
    }
    one = f"{10 + 1_449 * 0.75 / 3600:.2f}"
    both = f"{2 * (10 + 1_449 * 0.75 / 3600):.2f}"
    assert lines["poly_b10_20k"][3] == lines["aspp_s"][3] == lines["table 2"][0] == one
    assert lines["table 3"] == [both, "5,000", "aspp_l"]
    assert lines["all runs"][0] == both
    assert lines["search vgg_large_fov"][0] == "0.62"
    assert lines["table 1"][0] == ""


def test_what_cannot_be_rehearsed_is_one_line(tiny: Settings) -> None:
    def said(*arguments: str) -> str:
        result = CliRunner().invoke(app, [*arguments, "--root", str(tiny.root)])
        assert result.exit_code != 0
        return str(result.exception)

    assert "no run is called 'aspp_xl'" in said("rehearse", "aspp_xl", "--profile", "tiny")
    assert "does not exist; use one of" in said("rehearse", RUN, "--profile", "huge")
    assert "run `replication rehearse --profile tiny` first" in said(
        "estimate", "--profile", "tiny"
    )
    path = tiny.root / "backbone.safetensors"
    path.write_bytes(b"broken")
    failed = said("rehearse", RUN, "--profile", "tiny")
    assert "`replication stage train aspp_l`: error: " in failed
    assert "can't be read" in failed
