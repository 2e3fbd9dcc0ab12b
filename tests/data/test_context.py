"""PASCAL-Context: 459 labels to 59 by name, its prepared set, and every kind of bad input."""

import tarfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from replication.data.canonical import DataSet
from replication.data.classes import CONTEXT
from replication.data.context import (
    find_context,
    lookup_table,
    read_context,
    read_context_label,
    read_names,
)
from replication.data.labels import read_label
from replication.data.prepare import prepare
from replication.errors import ReplicationError

SIZE = (9, 14)  # H, W, as the fixture voc2010's images
LISTS = {"train": ["2008_000002", "2008_000001"], "val": ["2008_000003"]}

# Numbers among the 459 of the 59 classes in alphabetical order, as published beside scripts that
# know the labels by number (PASCAL in Detail's; 0, for background, left out).
PUBLISHED = (
    *(2, 9, 18, 19, 22, 23, 25, 31, 33, 34, 44, 45, 46, 59, 65, 68, 72, 80, 85, 98, 104, 105, 113),
    *(115, 144, 158, 159, 162, 187, 189, 207, 220, 232, 258, 259, 260, 284, 295, 296, 308, 324),
    *(326, 347, 349, 354, 355, 360, 366, 368, 397, 415, 416, 420, 424, 427, 440, 445, 454, 458),
)
# The names that the 459 have, some with a space, which sort as the numbers do.
SORTED = sorted(
    {"pottedplant": "potted plant", "diningtable": "table", "tvmonitor": "tv monitor"}.get(name)
    or {"bedcloth": "bedclothes", "clothes": "cloth"}.get(name, name)
    for name in CONTEXT.names[1:]
)


def lines() -> list[str]:
    """labels.txt of 459 names: the 59 at their published numbers."""
    names = {number: f"thing {number}" for number in range(1, 460)}
    names |= dict(zip(PUBLISHED, SORTED, strict=True))
    return [f"{number}: {name}" for number, name in sorted(names.items())]


def save_mat(path: Path, label: Any) -> None:
    savemat(path, {"LabelMap": label}, do_compression=True)


@pytest.fixture
def context(tmp_path: Path) -> Path:
    tree = tmp_path / "context"
    (tree / "trainval").mkdir(parents=True)
    (tree / "labels.txt").write_text("\n".join(lines()) + "\n")
    for name in (*LISTS["train"], *LISTS["val"]):
        label = np.zeros(SIZE, np.uint16)  # unlabelled in the first row
        label[1:4], label[4:6], label[6:] = 2, 397, 431  # aeroplane, table, none of the 59
        save_mat(tree / "trainval" / f"{name}.mat", label)
    return tree


def prepared(voc: Path, context: Path, **options: Any) -> DataSet:
    settings = {"official": False, "sources": [{"name": "PC"}], "progress": False} | options
    read = partial(read_context, voc, context)
    return prepare(read, voc.parent / "prepared", **settings)


def test_the_59_are_found_by_name_at_their_published_numbers(context: Path) -> None:
    assert len(PUBLISHED) == 59
    path = context / "labels.txt"
    names = read_names(path)
    assert len(names) == 459
    table = lookup_table(path, names)
    assert table.shape == (460,)
    assert np.flatnonzero(table).tolist() == list(PUBLISHED)
    assert sorted(table[table > 0].tolist()) == list(range(1, 60))
    # spot checks against the published list of classes (its place is the class)
    for number, name in {2: "aeroplane", 284: "person", 397: "diningtable", 458: "wood"}.items():
        assert CONTEXT.names[table[number]] == name
    assert CONTEXT.names[table[19]] == "bedcloth"
    assert CONTEXT.names[table[80]] == "clothes"
    assert CONTEXT.names[table[308]] == "pottedplant"


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float64])
def test_every_label_is_mapped(context: Path, tmp_path: Path, dtype: type) -> None:
    table = lookup_table(context / "labels.txt", read_names(context / "labels.txt"))
    label = np.arange(460).reshape(20, 23)
    save_mat(tmp_path / "a.mat", label.astype(dtype))
    read = read_context_label(tmp_path / "a.mat", table)
    assert read.dtype == np.uint8
    for number, found in zip(label.ravel(), read.ravel(), strict=True):  # brute force
        name = lines()[number - 1].split(": ")[1].replace(" ", "") if number else ""
        name = {"table": "diningtable", "bedclothes": "bedcloth", "cloth": "clothes"}.get(
            name, name
        )
        assert found == (CONTEXT.names.index(name) if name in CONTEXT.names else 0)


def test_prepared(voc2010: Path, context: Path) -> None:
    data = prepared(voc2010, context)
    assert data.classes == CONTEXT.names
    assert data.ids("train") == LISTS["train"]
    assert data.ids("val") == LISTS["val"]
    label = read_label(data.label_path("2008_000003"), 60)
    assert (label[0] == 0).all()
    assert (label[1:4] == 1).all()
    assert (label[4:6] == CONTEXT.names.index("diningtable")).all()
    assert (label[6:] == 0).all()
    assert data.meta["splits"]["val"]["void_pixels"] == 0
    assert prepared(voc2010, context, limits={"train": 1}).ids("train") == LISTS["train"][:1]


def test_archives(voc2010: Path, context: Path, tmp_path: Path) -> None:
    for folder in ("Annotations", "SegmentationClass"):
        (voc2010 / folder).mkdir()
        (voc2010 / folder / "x.xml").write_text("not wanted")
    with tarfile.open(tmp_path / "VOC.tar", "w") as archive:
        archive.add(voc2010.parent, "VOCdevkit")
    with tarfile.open(tmp_path / "trainval.tar.gz", "w:gz") as archive:
        for member in sorted(context.iterdir()):
            archive.add(member, member.name)
    plain = prepared(voc2010, context).meta
    assert prepared(tmp_path / "VOC.tar", tmp_path / "trainval.tar.gz").meta == plain


def test_official_counts(voc2010: Path, context: Path) -> None:
    with pytest.raises(ReplicationError, match=r"`train` has 2 ids, the official one 4,998; fetch"):
        prepared(voc2010, context, official=True)


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda t: (t / "labels.txt").unlink(), "no PASCAL-Context here"),
        (
            lambda t: (t / "labels.txt").write_text(
                "\n".join(x for x in lines() if x != "2: aeroplane")
            ),
            r"labels\.txt: class `aeroplane` is 0 times among its 458 labels, as `aero",
        ),
        (
            lambda t: (t / "labels.txt").write_text("\n".join([*lines(), "460: aeroplane"])),
            r"class `aeroplane` is 2 times",
        ),
        (
            lambda t: (t / "labels.txt").write_text("\n".join([*lines(), "7: twice"])),
            r"labels\.txt: label 7 comes twice",
        ),
        (lambda t: (t / "labels.txt").write_text("aeroplane\n"), "`aeroplane` is not `number"),
        (lambda t: (t / "labels.txt").write_text("\n"), "names no label"),
        (lambda t: (t / "labels.txt").write_bytes(b"\xff\xfe\x00"), r"labels\.txt: can't be read"),
        (
            lambda t: (t / "trainval/2008_000001.mat").unlink(),
            r"trainval: no 2008_000001\.mat for a listed id",
        ),
        (
            lambda t: (t / "trainval/2008_000001.mat").write_bytes(b"cut short"),
            r"2008_000001\.mat: the PASCAL-Context label is broken",
        ),
        (
            lambda t: savemat(t / "trainval/2008_000001.mat", {"Other": [[1]]}),
            r"2008_000001\.mat: the PASCAL-Context label has no variable `LabelMap`",
        ),
        (
            lambda t: save_mat(t / "trainval/2008_000001.mat", np.full(SIZE, 460)),
            r"2008_000001\.mat: LabelMap holds the label 460 \(126 pixels are outside 0\.\.459\)",
        ),
        (
            lambda t: save_mat(t / "trainval/2008_000001.mat", np.full(SIZE, 0.5)),
            r"holds the label 0\.5",
        ),
        (
            lambda t: save_mat(t / "trainval/2008_000001.mat", np.zeros((*SIZE, 2))),
            r"LabelMap is float64 \(9, 14, 2\), not a map of labels",
        ),
        (
            lambda t: save_mat(t / "trainval/2008_000001.mat", np.zeros(SIZE[::-1])),
            r"2008_000001\.mat: the label is 9x14 pixels, its image 2008_000001\.jpg 14x9",
        ),
    ],
)
def test_bad_context(voc2010: Path, context: Path, break_it: Any, message: str) -> None:
    break_it(context)
    with pytest.raises(ReplicationError, match=message) as caught:
        prepared(voc2010, context)
    assert "\n" not in str(caught.value)


def test_bad_voc(voc2010: Path, context: Path) -> None:
    lists = voc2010 / "ImageSets/Main"
    (voc2010 / "JPEGImages/2008_000003.jpg").unlink()
    with pytest.raises(ReplicationError, match="no image for listed id `2008_000003`"):
        prepared(voc2010, context)
    (lists / "val.txt").write_text("2008_000003\n2008_000003\n")
    with pytest.raises(ReplicationError, match=r"val\.txt: id `2008_000003` is listed 2 times"):
        prepared(voc2010, context)
    (lists / "val.txt").write_text("2008_000001\n")
    with pytest.raises(ReplicationError, match=r"`train` holds 1 of .*\(2008_000001\)"):
        prepared(voc2010, context)
    (lists / "val.txt").unlink()
    with pytest.raises(ReplicationError, match=r"val\.txt: the list is missing"):
        prepared(voc2010, context)
    with pytest.raises(ReplicationError, match="no such archive or folder"):
        prepared(voc2010, context / "nowhere")


def test_the_tree_is_found(context: Path) -> None:
    assert find_context(context.parent / "context") == context
