"""Anyone's folders: what pairs, and what is named when it does not."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from replication.crf.folder import check_out, count_classes, read_folders
from replication.errors import ReplicationError


def refused(words: str, function: Any, *arguments: Any) -> None:
    with pytest.raises(ReplicationError, match=words) as caught:
        function(*arguments)
    assert "\n" not in str(caught.value)


def test_files_pair_by_name_whatever_their_kind(folders: Any) -> None:
    pixels = np.zeros((30, 42, 3), np.uint8)
    for name, suffix in (("a", "JPG"), ("b", "jpeg")):
        (folders.images / f"{name}.png").unlink()
        Image.fromarray(pixels).save(folders.images / f"{name}.{suffix}", format="JPEG")
    (folders.scores / "c.npz").unlink()
    np.save(folders.scores / "c.npy", np.zeros((3, 5, 7)))
    (folders.images / ".hidden.png").write_bytes(b"")
    (folders.scores / "readme.txt").write_text("mine")
    items = read_folders(folders.images, folders.scores, folders.labels)
    assert [item.id for item in items] == list("abcde")
    assert [item.image.name for item in items] == ["a.JPG", "b.jpeg", "c.png", "d.png", "e.png"]
    assert items[2].scores.name == "c.npy"
    assert items[4].label == folders.labels / "e.png"
    assert read_folders(folders.images, folders.scores)[0].label is None
    assert count_classes(items) == 3


def test_a_list_chooses(folders: Any, tmp_path: Path) -> None:
    listed = tmp_path / "ids.txt"
    listed.write_text("d\nb\n")
    (folders.scores / "a.npz").unlink()  # not asked for
    items = read_folders(folders.images, folders.scores, ids=listed)
    assert [item.id for item in items] == ["b", "d"]
    listed.write_text("b\nzebra\n")
    refused(r"zebra\.jpg: .*ids\.txt lists `zebra`", read_folders, *places(folders), None, listed)
    listed.write_text("b\nd\nb\n")
    refused(r"ids\.txt: id `b` is listed 2 times", read_folders, *places(folders), None, listed)
    listed.write_text("\n")
    refused(r"ids\.txt: the list of ids is empty", read_folders, *places(folders), None, listed)
    refused(
        r"none\.txt: the list of ids can't be read", read_folders, *places(folders), None,
        tmp_path / "none.txt",
    )  # fmt: skip


def places(folders: Any) -> tuple[Path, Path]:
    return folders.images, folders.scores


@pytest.mark.parametrize(
    ("gone", "words"),
    [
        (
            "images/c.png",
            r"images/c\.jpg: there is no such file \(nor \.jpeg, \.png\), and .*c\.npz",
        ),
        ("scores/c.npz", r"scores/c\.npz: there is no such file \(nor \.npy\), and .*c\.png is"),
        ("labels/c.png", r"labels/c\.png: there is no such file, and .*images/c\.png is there"),
    ],
)
def test_a_missing_partner_is_named(folders: Any, gone: str, words: str) -> None:
    (folders.root / gone).unlink()
    refused(words, read_folders, *places(folders), folders.labels)


def test_folders_that_hold_nothing_or_too_much_are_named(folders: Any, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    refused(r"empty: holds no scores \(ID\.npz, ID\.npy\)", read_folders, folders.images, empty)
    refused(r"nowhere: the folder can't be read", read_folders, tmp_path / "nowhere", empty)
    refused(r"a\.npz: the folder can't be read", read_folders, folders.scores / "a.npz", empty)
    np.save(folders.scores / "b.npy", np.zeros((3, 5, 7)))
    refused(r"scores: id `b` has two files, b\.npy and b\.npz", read_folders, *places(folders))


@pytest.mark.parametrize("channels", [1, 257])
def test_channels_that_can_be_no_classes_are_named(folders: Any, channels: int) -> None:
    np.savez(folders.scores / "a.npz", scores=np.zeros((channels, 5, 7), np.float32))
    refused(
        rf"a\.npz: scores have {channels} channels", count_classes, read_folders(*places(folders))
    )


def test_what_is_not_ours_is_not_written_over(folders: Any, tmp_path: Path) -> None:
    check_out(tmp_path / "new", places(folders))
    refused("is a folder that is read from", check_out, folders.images, places(folders))
    twisted = folders.images / ".." / "images"
    refused("is a folder that is read from", check_out, twisted, places(folders))
    refused(r"labels/a\.png: is not from", check_out, folders.labels, places(folders))
    refused("is a file", check_out, folders.labels / "a.png", places(folders))
