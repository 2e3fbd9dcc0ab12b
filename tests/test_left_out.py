"""A profile that leaves out families: every stage of their runs leaves a note, and nothing else."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from replication import stages
from replication.errors import ReplicationError
from replication.plan import Settings, load
from replication.reporting.results import read_result

ROOT = Path(__file__).resolve().parents[1]
RUN, DATA = "context_resnet_plain", "pascal_context"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """The repository's settings with the profile `photos`, which makes no family."""
    shutil.copytree(ROOT / "profiles", tmp_path / "profiles")
    shutil.copy(ROOT / "experiments.yaml", tmp_path)
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params |= {"profile": "photos"}
    params["data"]["folder"] = "photographs"
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    return load(tmp_path)


def test_every_stage_leaves_a_note_and_the_table_says_not_run(settings: Settings) -> None:
    stages.fetch(settings, DATA)
    stages.prepare(settings, DATA)
    for stage in (stages.train, stages.score, stages.refine, stages.evaluate):
        stage(settings, RUN)
    stages.search(settings, "resnet_aspp")
    notes = sorted(p for p in settings.root.rglob("left_out.json"))
    kinds = [p.relative_to(settings.root).parts for p in notes]
    assert kinds == [
        (kind, "photos", name, "left_out.json")
        for kind, name in (
            ("archives", DATA),
            ("refined", RUN),
            ("runs", RUN),
            ("scores", RUN),
        )
    ]
    none = {"left_out": "profile photos has no run on pascal_context"}
    assert json.loads(notes[0].read_text()) == none
    meta = settings.place("datasets", DATA) / "meta.json"  # what the other stages wait for
    assert json.loads(meta.read_text()) == none
    assert json.loads(notes[2].read_text()) == {
        "left_out": "profile photos leaves out the family context"
    }
    results = settings.place("results")
    assert sorted(p.name for p in results.iterdir()) == [f"{RUN}.json", f"{RUN}.npz"]
    assert read_result(results, RUN, "photos") is None
    found = json.loads((settings.place("searches") / "resnet_aspp.json").read_text())
    assert found["chosen"] == "left out"


def test_a_note_goes_when_the_profile_takes_the_run_in_again(settings: Settings) -> None:
    stages.train(settings, RUN)
    path = settings.root / "profiles" / "photos.yaml"
    path.write_text(path.read_text().replace("families: []", "families: null"))
    with pytest.raises(ReplicationError, match=r"datasets/photos/pascal_context"):
        stages.train(load(settings.root), RUN)
    assert not (settings.place("runs", RUN) / "left_out.json").exists()


def test_a_run_of_tables_1_to_3_is_never_left_out(settings: Settings) -> None:
    assert [settings.leaves_out(run) for run in settings.experiments.runs] == [None] * 10
    assert settings.leaves_out_data("voc2012") is None
