"""Seeds of single runs: trained and scored beside params.yaml's, and gone with the setting."""

from pathlib import Path

import yaml

from replication import stages
from replication.plan import Settings, load
from replication.provenance import sha256_file

RUN = "fov_3x3_r12"


def with_more(settings: Settings, more: dict[str, list[int]]) -> Settings:
    path = settings.root / "profiles" / "tiny.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"more_seeds": more}))
    return load(settings.root)


def folders(settings: Settings, kind: str) -> dict[str, Path]:
    return {path.name: path for path in settings.place(kind, RUN).glob("seed_*")}


def test_a_run_has_more_seeds_and_loses_them(tiny: Settings) -> None:
    stages.train(tiny, RUN)
    (first,) = folders(tiny, "runs").values()
    alone = sha256_file(first / "weights.safetensors"), (first / "train.json").stat().st_mtime_ns

    settings = with_more(tiny, {RUN: [4, 3]})  # 3 is params.yaml's, and stands but once
    assert settings.seeds(RUN) == [3, 4]
    assert settings.seeds("aspp_l") == [3]
    stages.train(settings, RUN)
    stages.score(settings, RUN)
    runs, scores = folders(settings, "runs"), folders(settings, "scores")
    assert set(runs) == set(scores) == {"seed_3", "seed_4"}
    one, two = (sha256_file(path / "weights.safetensors") for _, path in sorted(runs.items()))
    assert one != two
    # what was there is not trained again
    assert (one, (first / "train.json").stat().st_mtime_ns) == alone

    settings = with_more(tiny, {})
    stages.train(settings, RUN)
    stages.score(settings, RUN)
    assert set(folders(settings, "runs")) == set(folders(settings, "scores")) == {"seed_3"}
