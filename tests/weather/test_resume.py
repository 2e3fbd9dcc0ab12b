"""Scoring that was broken off: what is kept, and what must be made again."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from replication import stages
from replication.errors import ReplicationError
from replication.inference import score as scoring
from replication.plan import Settings, load

RUN, SEED = "poly_b10_20k", 3
LONG_AGO, FAR_OFF = 0, 4_102_444_800  # 1970 and 2100, seconds


class Stop(Exception):
    """What scoring is broken off with."""


@pytest.fixture
def broken_off(
    finished: Callable[[str, Path], Settings], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Settings:
    """A root where two of three images are scored, the second after the first."""
    settings = finished("score", tmp_path / "root")
    write, count = scoring.write_scores, 0

    def stopping(path: Path, scores: object) -> None:
        nonlocal count
        if count == 2:
            raise Stop
        write(path, scores)  # type: ignore[arg-type]
        os.utime(path, ns=(count * 10**9, count * 10**9))
        count += 1

    with monkeypatch.context() as patch:
        patch.setattr(scoring, "write_scores", stopping)
        with pytest.raises(Stop):
            stages.score(settings, RUN)
    return settings


def scored(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Score, and return the ids whose scores were written."""
    written: list[str] = []
    write = scoring.write_scores

    def noted(path: Path, scores: object) -> None:
        written.append(path.stem)
        write(path, scores)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(scoring, "write_scores", noted)
        stages.score(settings, RUN)
    return written


def test_scoring_goes_on_with_whole_images_of_the_same_making(
    broken_off: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = broken_off.place("scores", RUN, SEED)
    assert scored(broken_off, monkeypatch) == ["v1", "v2"]  # the newest is scored again
    names = sorted(path.name for path in place.iterdir())
    assert names == ["score.json", "v0.npz", "v1.npz", "v2.npz"]
    record = json.loads((place / "score.json").read_text())
    assert record["images"] == 3
    assert record["network_images_per_second"] > 0
    assert scored(broken_off, monkeypatch) == ["v0", "v1", "v2"]  # asked again, all


@pytest.mark.parametrize(("first", "second"), [(LONG_AGO, FAR_OFF), (FAR_OFF, LONG_AGO)])
def test_scoring_goes_on_whatever_the_times_of_files_say(
    *,
    finished: Callable[[str, Path], Settings],
    broken_off: Settings,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    first: int,
    second: int,
) -> None:
    """The clock jumped by a century between two images, and back."""
    place = broken_off.place("scores", RUN, SEED)
    for name, seconds in (("v0.npz", first), ("v1.npz", second), (".scoring.json", FAR_OFF)):
        os.utime(place / name, (seconds, seconds))
    newest = "v0" if first > second else "v1"
    assert scored(broken_off, monkeypatch) == [newest, "v2"]
    calm = finished("search", tmp_path / "calm").place("scores", RUN, SEED)
    for name in ("v0.npz", "v1.npz", "v2.npz"):
        assert (place / name).read_bytes() == (calm / name).read_bytes()


def test_a_score_file_that_is_not_whole_is_scored_again(
    broken_off: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = broken_off.place("scores", RUN, SEED) / "v0.npz"
    first.write_bytes(first.read_bytes()[:100])
    assert scored(broken_off, monkeypatch) == ["v0", "v1", "v2"]


def test_scores_of_another_making_are_not_kept(
    broken_off: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    profile = broken_off.root / "profiles" / "toy.yaml"
    profile.write_text(profile.read_text().replace("test_size: 57", "test_size: 65"))
    assert scored(load(broken_off.root), monkeypatch) == ["v0", "v1", "v2"]


def test_weights_that_are_not_those_of_training_are_not_scored(broken_off: Settings) -> None:
    weights = broken_off.place("runs", RUN, SEED) / "weights.safetensors"
    raw = bytearray(weights.read_bytes())
    raw[-5] ^= 1  # a bit of a number: safetensors has no checksum
    weights.write_bytes(raw)
    with pytest.raises(ReplicationError, match=rf"^{weights} is damaged"):
        stages.score(broken_off, RUN)
