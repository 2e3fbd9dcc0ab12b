"""PASCAL-Person-Part: 24 parts to six, struct arrays as MATLAB writes them, every bad input."""

import tarfile
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from replication.data.canonical import DataSet
from replication.data.classes import PERSON_PART
from replication.data.labels import read_label
from replication.data.person_part import PARTS, Neck, part_ids, read_parts, read_person_part
from replication.data.prepare import prepare
from replication.errors import ReplicationError

SIZE = (9, 14)  # H, W, as the fixture voc2010's images
LISTS = {"train": ["2008_000002", "2008_000001"], "val": ["2008_000003"]}

# The 24 parts of a person, numbered as in PASCAL-Part's own part2ind.m, and the paper's six.
PART2IND = (
    *("head", "leye", "reye", "lear", "rear", "lebrow", "rebrow", "nose", "mouth", "hair"),
    *("torso", "neck", "llarm", "luarm", "lhand", "rlarm", "ruarm", "rhand"),
    *("llleg", "luleg", "lfoot", "rlleg", "ruleg", "rfoot"),
)
SIX = (*[1] * 10, 2, 2, 4, 3, 4, 4, 3, 4, 6, 5, 6, 6, 5, 6)


def structs(elements: list[dict[str, Any]], fields: tuple[str, ...]) -> Any:
    """A 1 x N struct array, or [] as MATLAB has it where there is none."""
    if not elements:
        return np.zeros((0, 0))
    array = np.empty((1, len(elements)), dtype=[(field, object) for field in fields])
    for k, element in enumerate(elements):
        for field in fields:
            array[0, k][field] = element[field]
    return array


def mask(*rows: int, size: tuple[int, int] = SIZE) -> Any:
    drawn = np.zeros(size, np.uint8)
    drawn[list(rows)] = 1
    return drawn


def thing(kind: str, parts: dict[str, Any], silhouette: Any = None) -> dict[str, Any]:
    listed = [{"part_name": name, "mask": drawn} for name, drawn in parts.items()]
    return {
        "class": kind,
        "class_ind": 15.0 if kind == "person" else 12.0,
        "mask": mask() if silhouette is None else silhouette,
        "parts": structs(listed, ("part_name", "mask")),
    }


def save_anno(path: Path, *things: dict[str, Any]) -> None:
    objects = structs(list(things), ("class", "class_ind", "mask", "parts"))
    savemat(path, {"anno": {"imname": path.stem, "objects": objects}}, do_compression=True)


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    tree = tmp_path / "parts"
    (tree / "Annotations_Part").mkdir(parents=True)
    for name in (*LISTS["train"], *LISTS["val"]):
        person = thing("person", {"hair": mask(0), "neck": mask(1), "lhand": mask(2)}, mask(0, 1))
        save_anno(tree / "Annotations_Part" / f"{name}.mat", person)
    return tree


def prepared(voc: Path, parts: Path, *, neck: Neck = "torso", **options: Any) -> DataSet:
    read = partial(read_person_part, voc, parts, neck=neck, lists=options.pop("lists", None))
    settings = {"official": False, "sources": [{"name": "PP"}], "progress": False} | options
    return prepare(read, voc.parent / "prepared", **settings)


def test_the_24_parts_become_six() -> None:
    assert dict(zip(PART2IND, SIX, strict=True)) == PARTS
    assert len(PARTS) == 24


@pytest.mark.parametrize("name", PART2IND)
def test_every_part_is_painted(tmp_path: Path, name: str) -> None:
    save_anno(tmp_path / "a.mat", thing("person", {name: mask(3, 4)}))
    label = read_parts(tmp_path / "a.mat")
    expected = np.zeros(SIZE, np.uint8)
    expected[3:5] = SIX[PART2IND.index(name)]
    np.testing.assert_array_equal(label, expected)
    assert label.dtype == np.uint8


def test_the_neck_may_go_with_the_head(tmp_path: Path) -> None:
    save_anno(tmp_path / "a.mat", thing("person", {"neck": mask(3), "torso": mask(4)}))
    assert read_parts(tmp_path / "a.mat")[3:5, 0].tolist() == [2, 2]
    assert read_parts(tmp_path / "a.mat", neck="head")[3:5, 0].tolist() == [1, 2]


def test_only_persons_count_and_later_ones_lie_in_front(tmp_path: Path) -> None:
    save_anno(
        tmp_path / "a.mat",
        thing("person", {"torso": mask(0, 1, 2)}),
        thing("dog", {"head": mask(5), "lfleg": mask(6)}, mask(5, 6)),
        thing("person", {"head": mask(2, 3)}),
        thing("person", {}, mask(7)),  # drawn whole, without parts
    )
    assert read_parts(tmp_path / "a.mat")[:, 0].tolist() == [2, 2, 1, 1, 0, 0, 0, 0, 0]


def test_splits_are_images_with_a_persons_parts(parts: Path) -> None:
    folder = parts / "Annotations_Part"
    save_anno(folder / "x1.mat", thing("dog", {"head": mask(1)}))
    save_anno(folder / "x2.mat", thing("person", {}, mask(1)))
    save_anno(folder / "x3.mat", thing("person", {"nose": mask()}, mask(1)))  # nowhere in it
    save_anno(folder / "x4.mat")
    assert part_ids(parts, ["x1", "2008_000003", "x2", "x3", "x4"]) == ["2008_000003"]


def test_prepared(voc2010: Path, parts: Path) -> None:
    save_anno(parts / "Annotations_Part/2008_000002.mat", thing("cat", {"head": mask(1)}))
    data = prepared(voc2010, parts)
    assert data.classes == PERSON_PART.names
    assert data.ids("train") == ["2008_000001"]
    assert data.ids("val") == LISTS["val"]
    label = read_label(data.label_path("2008_000003"), 7)
    assert label[:, 0].tolist() == [1, 2, 4, 0, 0, 0, 0, 0, 0]
    head = read_label(
        prepared(voc2010, parts, neck="head", limits={"val": 1}).label_path("2008_000003"), 7
    )
    assert head[:, 0].tolist() == [1, 1, 4, 0, 0, 0, 0, 0, 0]


def test_archives(voc2010: Path, parts: Path, tmp_path: Path) -> None:
    (parts / "examples").mkdir()
    (parts / "examples/2008_000002.jpg").write_text("not wanted")
    with tarfile.open(tmp_path / "VOC.tar", "w") as archive:
        archive.add(voc2010.parent, "VOCdevkit")
    with tarfile.open(tmp_path / "trainval.tar.gz", "w:gz") as archive:
        for member in sorted(parts.iterdir()):
            archive.add(member, member.name)
    plain = prepared(voc2010, parts).meta
    assert prepared(tmp_path / "VOC.tar", tmp_path / "trainval.tar.gz").meta == plain


def test_official_counts(voc2010: Path, parts: Path) -> None:
    with pytest.raises(
        ReplicationError, match=r"`train` has 2 ids, the official one 1,716; .* `lists`"
    ):
        prepared(voc2010, parts, official=True)


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda path: path.unlink(), "there is no such PASCAL-Part annotation"),
        (lambda path: path.write_bytes(b""), "the PASCAL-Part annotation is broken"),
        (lambda path: path.write_bytes(path.read_bytes()[:150]), "annotation is broken"),
        (lambda path: savemat(path, {"x": [[1]]}), "annotation has no variable `anno`"),
        (lambda path: savemat(path, {"anno": [[1]]}), "without the fields objects"),
        (
            lambda path: savemat(path, {"anno": {"objects": {"class": "person"}}}),
            "without the fields class, mask, parts",
        ),
        (
            lambda path: save_anno(path, thing("person", {"tail": mask(1)})),
            "`tail` is not one of the 24 parts of a person",
        ),
        (
            lambda path: save_anno(path, thing("person", {"head": mask(1) * 2})),
            "the mask of the part `head` holds other values than 0 and 1",
        ),
        (
            lambda path: save_anno(path, thing("person", {"head": np.zeros((9, 14, 3))})),
            r"the mask of the part `head` is .* \(9, 14, 3\)",
        ),
        (
            lambda path: save_anno(path, thing("person", {"head": mask(1, size=(14, 9))})),
            r"masks of \(14, 9\) and \(9, 14\) in one image",
        ),
        (
            lambda path: save_anno(
                path, thing("person", {}), thing("dog", {}, mask(1, size=(14, 9)))
            ),
            r"masks of \(14, 9\) and \(9, 14\) in one image",
        ),
        (
            lambda path: save_anno(
                path, thing("person", {"head": mask(1, size=(14, 9))}, mask(1, size=(14, 9)))
            ),
            r"the label is 9x14 pixels, its image 2008_000003\.jpg 14x9",
        ),
        (
            lambda path: save_anno(path, thing("dog", {})),
            "no part of a person in any image of `val`",
        ),
    ],
)
def test_bad_annotations(
    voc2010: Path, parts: Path, break_it: Callable[[Path], Any], message: str
) -> None:
    break_it(parts / "Annotations_Part/2008_000003.mat")
    with pytest.raises(ReplicationError, match=message) as caught:
        prepared(voc2010, parts)
    assert "\n" not in str(caught.value)
    assert "Annotations_Part" in str(caught.value)


def test_an_annotation_without_objects_has_no_size(tmp_path: Path) -> None:
    save_anno(tmp_path / "a.mat")
    with pytest.raises(ReplicationError, match=r"a\.mat: .* has no objects"):
        read_parts(tmp_path / "a.mat")


def test_the_authors_lists(voc2010: Path, parts: Path, tmp_path: Path) -> None:
    folder = tmp_path / "lists/pascal_person_part/pascal_person_part_trainval_list"
    folder.mkdir(parents=True)
    (folder / "train_id.txt").write_text("2008_000001\n")
    (folder / "val_id.txt").write_text("2008_000003\n")
    archive = tmp_path / "pascal_person_part.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for path in sorted(folder.iterdir()):
            packed.write(path, path.relative_to(tmp_path / "lists"))
        packed.writestr("pascal_person_part/pascal_person_part_gt/2008_000001.png", "not wanted")
    for lists in (archive, tmp_path / "lists"):
        data = prepared(voc2010, parts, lists=lists)
        assert data.ids("train") == ["2008_000001"]
        assert data.ids("val") == ["2008_000003"]
    with pytest.raises(ReplicationError, match=r"`train` has 1 ids, the official one 1,716"):
        prepared(voc2010, parts, lists=archive, official=True)
    (folder / "val_id.txt").write_text("2008_000001\n")
    with pytest.raises(ReplicationError, match=r"`train` holds 1 of .*2008_000001"):
        prepared(voc2010, parts, lists=tmp_path / "lists")
    (folder / "val_id.txt").write_text("2008_000009\n")
    with pytest.raises(ReplicationError, match="no image for listed id `2008_000009`"):
        prepared(voc2010, parts, lists=tmp_path / "lists")
    with pytest.raises(ReplicationError, match="no authors' lists here"):
        prepared(voc2010, parts, lists=voc2010)


def test_missing_trees(voc2010: Path, parts: Path) -> None:
    (voc2010 / "JPEGImages/2008_000003.jpg").unlink()
    with pytest.raises(ReplicationError, match="no image for listed id `2008_000003`"):
        prepared(voc2010, parts)
    with pytest.raises(ReplicationError, match="no PASCAL-Part here"):
        prepared(voc2010, voc2010)
    with pytest.raises(ReplicationError, match="no VOC 2010 tree here"):
        prepared(parts, parts, sources=[])
