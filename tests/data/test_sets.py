"""Every data set of the sample from its archives' records to the canonical layout, by name.

By the functions, then by the stages `fetch` and `prepare`.
"""

import shutil
from pathlib import Path
from typing import get_args

import pytest

from replication import stages
from replication.data.canonical import DataSet
from replication.data.fetch import fetch
from replication.data.sets import SETS, get_set, prepare_set, title
from replication.data.sources import SOURCES, get_source
from replication.errors import ReplicationError
from replication.plan import Settings, load
from replication.settings import Archives
from replication.settings.experiments import DataName

HERE = Path(__file__).resolve().parents[2]

EXPECTED = {
    "voc2012": ("voc2012 sample", 21, {"train": 5, "trainaug": 11, "val": 4}),
    "pascal_context": ("pascal_context sample", 60, {"train": 4, "val": 2}),
    "pascal_person_part": ("pascal_person_part sample", 7, {"train": 2, "val": 1}),
    "cityscapes": ("cityscapes sample", 19, {"train": 2, "val": 1}),
    "cityscapes_half": ("cityscapes half sample", 19, {"train": 2, "val": 1}),
    "coco": ("coco sample", 21, {"train": 2}),
}


@pytest.fixture(scope="module")
def root(few_packed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository root that holds a small sample where the records say that it is."""
    folder = tmp_path_factory.mktemp("root")
    shutil.copytree(few_packed, folder / "data/sample/archives")
    return folder


@pytest.mark.parametrize("name", EXPECTED)
def test_the_sample_from_records_to_data(root: Path, name: str) -> None:
    fetched = [
        fetch(get_source(source), root / "archives", root=root, progress=False)
        for source in get_set(name).sources(sample=True)
    ]
    data = prepare_set(
        name,
        [one.path for one in fetched],
        root / "datasets" / name,
        sample=True,
        sources=[one.record() for one in fetched],
        progress=False,
    )
    called, classes, counts = EXPECTED[name]
    assert (data.name, data.num_classes) == (called, classes)
    assert {s: len(data.ids(s)) for s in data.meta["splits"]} == counts
    assert [s["name"] for s in data.meta["sources"]] == list(get_set(name).sources(sample=True))
    assert all(s["sha256"] and s["licence"] for s in data.meta["sources"])


@pytest.mark.parametrize("name", EXPECTED)
def test_official_counts_are_asked_of_official_archives(root: Path, name: str) -> None:
    folder = root / "data/sample/archives"
    archives = [folder / SOURCES[f"{source}_sample"].file for source in get_set(name).archives]
    with pytest.raises(ReplicationError, match=r"has \d+ ids.*the official one"):
        prepare_set(name, archives, root / "no", sample=False, sources=[], progress=False)


def test_every_archive_has_a_record_and_a_setting() -> None:
    assert set(SETS) == set(EXPECTED)
    for kind in SETS.values():
        for sample in (False, True):
            assert set(kind.sources(sample=sample)) <= set(SOURCES)
        assert set(kind.archives) <= set(Archives.model_fields)
    official = {name for kind in SETS.values() for name in kind.archives}
    rest = {name for name in SOURCES if not name.endswith("_sample")} - official
    assert rest == {"person_part_lists"}  # the lists can be derived
    assert rest <= set(Archives.model_fields)


def test_unknown_names_and_too_few_archives() -> None:
    with pytest.raises(ReplicationError, match=r"no data set is called `ade20k`: choose from voc2"):
        get_set("ade20k")
    with pytest.raises(ReplicationError, match=r"made from 2 archives \(coco_images, coco_anno"):
        prepare_set("coco", [Path("x")], Path("y"), sample=True, sources=[])


def test_titles_of_official_sets() -> None:
    assert [title(name, sample=False) for name in SETS] == [
        *("voc2012", "pascal_context", "pascal_person_part", "cityscapes", "cityscapes half"),
        "coco",
    ]


@pytest.fixture(scope="module")
def settings(root: Path) -> Settings:
    """The root with the repository's own settings, which have runs on every data set."""
    for name in ("params.yaml", "profiles", "experiments.yaml"):
        place = HERE / name
        (shutil.copytree if place.is_dir() else shutil.copy)(place, root / name)
    return load(root)


def test_the_names_in_the_settings_are_those_of_the_sets() -> None:
    assert get_args(DataName) == tuple(SETS)


@pytest.mark.parametrize("data", ["voc2012", "pascal_context", "pascal_person_part"])
def test_fetched_and_prepared_by_name(settings: Settings, data: str) -> None:
    stages.fetch(settings, data)
    stages.prepare(settings, data)
    dataset = DataSet.open(settings.place("datasets", data))
    name, classes, splits = EXPECTED[data]
    assert (dataset.name, dataset.num_classes) == (name, classes)
    assert {split: len(dataset.ids(split)) for split in splits} == splits


def test_an_archive_of_two_data_sets_is_here_once(settings: Settings) -> None:
    for data in ("pascal_context", "pascal_person_part"):
        stages.fetch(settings, data)
    file = get_source("voc2010_sample").file
    one, other = (
        settings.place("archives", data) / file for data in ("pascal_context", "pascal_person_part")
    )
    assert one.samefile(other)


def test_prepared_before_it_is_fetched(settings: Settings) -> None:
    with pytest.raises(ReplicationError, match=r"fetched\.json is missing .* stage `fetch`"):
        stages.prepare(settings, "cityscapes")
