"""Settings, whatever stands in their files: plans of every run, or one line."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
import yaml
from hypothesis import strategies as st

from replication.plan import load

ROOT = Path(__file__).resolve().parents[2]
FILES = ("params.yaml", "experiments.yaml", "profiles/demo.yaml")
# What people and programs put where something else belongs.
STRANGE = (
    *(None, True, -1, 0, 10**400, -(10**400), 1e308, 5e-324, 0.0, float("inf"), float("nan")),
    *("", " ", "a\nb", "../..", "/etc/passwd", "a\x00b", "'\"<b>|", "1e-3", "ü" * 5_000, "[]"),
    *([], [[]], {}, {"a": {}}, [0, 0], [10**30], {"<<": 1}, list(range(3_000))),
)
VALUES = st.sampled_from(STRANGE) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)

Rounds = Callable[[], Iterator[np.random.Generator]]
Check = Callable[..., object]
Mutate = Callable[[bytes, np.random.Generator], bytes]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The repository's settings with a few of its runs, which are read in milliseconds."""
    shutil.copytree(ROOT / "profiles", tmp_path / "profiles")
    shutil.copy(ROOT / "params.yaml", tmp_path)
    whole = yaml.load((ROOT / "experiments.yaml").read_text(), yaml.CSafeLoader)
    few = {"aspp_l": whole["runs"]["aspp_l"], "poly_b10_20k": whole["runs"]["poly_b10_20k"]}
    run = whole["families"]["voc_resnet"]["resnet_msc_coco_aug_aspp"]
    families = {
        "coco": whole["families"]["coco"],
        "voc_resnet": {"resnet_msc_coco_aug_aspp": run},
    }
    content = whole | {"runs": few, "families": families, "datasets": ["voc2012", "coco"]}
    (tmp_path / "experiments.yaml").write_text(yaml.safe_dump(content | {"parts": {}}))
    return tmp_path


def plans(root: Path) -> object:
    """All that is made of the settings before anything runs."""
    settings = load(root)
    for name in settings.experiments.all_runs:
        settings.plan(name).fingerprint(seed=0)
        settings.leaves_out(name)
        settings.target("train", name)
    return settings.params.crf.given()


def places(content: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every value of nested data, by the keys that lead to it."""
    found = [above]
    if isinstance(content, dict):
        for key, value in content.items():
            found += places(value, (*above, key))
    elif isinstance(content, list):
        for key, value in enumerate(content):
            found += places(value, (*above, key))
    return found


def strange(root: Path, data: st.DataObject) -> tuple[Path, str]:
    """Draw a file of settings and its text with one strange thing in it.

    Any value in the place of any other; a key that is gone; one that is new.
    """
    path = root / data.draw(st.sampled_from(FILES))
    content = {"whole": yaml.load(path.read_text(), yaml.CSafeLoader)}
    *above, key = data.draw(st.sampled_from([at for at in places(content) if at]))
    node = content
    for part in above:
        node = node[part]
    kind = data.draw(st.sampled_from(["other", "other", "other", "gone", "new"]))
    if kind == "new" and isinstance(node, dict):
        node[data.draw(st.text())] = data.draw(VALUES)
    elif kind == "gone" and key != "whole":
        del node[key]
    else:
        node[key] = data.draw(VALUES)
    return path, yaml.dump(content["whole"], Dumper=yaml.CSafeDumper, allow_unicode=True)


def test_strange_values(root: Path, rounds: Rounds, value_or_one_line: Check) -> None:
    def one(data: st.DataObject) -> None:
        path, text = strange(root, data)
        valid = path.read_text()
        path.write_text(text, encoding="utf-8")
        try:
            value_or_one_line(plans, root)
        finally:
            path.write_text(valid)

    some = hypothesis.settings(
        max_examples=5,
        deadline=None,
        database=None,
        print_blob=False,  # the round says it
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    for rng in rounds():
        hypothesis.seed(int(rng.integers(2**32)))(some(hypothesis.given(data=st.data())(one)))()


def test_changed_bytes(
    root: Path, rounds: Rounds, mutate: Mutate, value_or_one_line: Check
) -> None:
    valid = {name: (root / name).read_bytes() for name in FILES}
    for rng in rounds():
        name = FILES[int(rng.integers(len(FILES)))]
        (root / name).write_bytes(mutate(valid[name], rng))
        value_or_one_line(plans, root)
        (root / name).write_bytes(valid[name])
        assert {path.name for path in root.iterdir()} == {*FILES[:2], "profiles"}
