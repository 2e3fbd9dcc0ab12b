"""Files of this machine: file addresses, the embedded sample, and archives of one's own."""

import errno
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from replication.data import verify
from replication.errors import ReplicationError

BODY = bytes(range(256)) * 1200 + b"end"  # as the server of conftest.py has it
OTHER = b"\xff" * len(BODY)


def test_file_addresses(place: Any) -> None:
    (place.root / "data").mkdir()
    (place.root / "data/thing.tar").write_bytes(BODY)
    assert place.fetch(place.source_of("data/thing.tar")).origin == "data/thing.tar"
    assert place.final.read_bytes() == BODY
    shutil.rmtree(place.into)
    address = (place.root / "data/thing.tar").as_uri()
    assert place.fetch(place.source_of(address)).origin == address


@pytest.mark.parametrize("body", [OTHER, BODY[:-1], BODY + b"x", b""])
def test_wrong_file_at_a_file_address(place: Any, body: bytes) -> None:
    (place.root / "thing.tar").write_bytes(body)
    with pytest.raises(ReplicationError, match="sent another file"):
        place.fetch(place.source_of("thing.tar"))
    assert place.visible() == set()


def test_sample_source_end_to_end(place: Any) -> None:
    from replication.data.sources import SOURCES

    source = SOURCES["voc2012_sample"]
    folder = place.root / "data/sample/archives"
    folder.mkdir(parents=True)
    (folder / source.file).write_bytes(BODY)
    entry = {"sha256": hashlib.sha256(BODY).hexdigest(), "size": len(BODY)}
    (folder / "checksums.json").write_text(json.dumps({source.file: entry}))
    fetched = place.fetch(source)
    assert fetched.sha256 == entry["sha256"]
    assert fetched.record()["checksum"] == f"sha256:{entry['sha256']}"
    (folder / source.file).unlink()
    place.fetch(source)  # present already
    shutil.rmtree(place.into)
    with pytest.raises(ReplicationError, match=r"does not exist\. To go on, run `dvc pull`"):
        place.fetch(source)


def test_given_file_is_verified_where_it_lies(place: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    own = place.root / "own"
    own.mkdir()
    (own / "renamed.tar").write_bytes(BODY)
    fetched = place.fetch(place.source_of(), given=Path("own/renamed.tar"))
    assert fetched.path == own / "renamed.tar"
    assert (fetched.kind, fetched.origin) == ("archive", "given")
    assert fetched.sha256 == hashlib.sha256(BODY).hexdigest()
    assert not place.final.exists()
    assert [path.name for path in own.iterdir()] == ["renamed.tar"]
    monkeypatch.setattr(verify, "digest", None)
    assert place.fetch(place.source_of(), given=own / "renamed.tar") == fetched


@pytest.mark.parametrize(
    ("body", "why"), [(OTHER, "its checksum is md5:"), (BODY[:-1], "it has 307,202 bytes instead")]
)
def test_given_wrong_file(place: Any, body: bytes, why: str) -> None:
    own = place.root / "own.tar"
    own.write_bytes(body)
    with pytest.raises(ReplicationError, match=f"data.archives.thing .*own.tar.*{why}"):
        place.fetch(place.source_of(), given=own)
    assert own.read_bytes() == body


def test_given_folder(place: Any) -> None:
    own = place.root / "VOCdevkit"
    own.mkdir()
    with pytest.raises(ReplicationError, match=r"names `.*VOCdevkit`, an empty folder"):
        place.fetch(place.source_of(), given=own)
    (own / "VOC2012").mkdir()
    fetched = place.fetch(place.source_of(), given=own)
    assert (fetched.kind, fetched.path, fetched.sha256) == ("folder", own, None)
    assert str(own) not in json.dumps(fetched.record())


def test_given_nothing_there(place: Any) -> None:
    with pytest.raises(
        ReplicationError, match=r"data\.archives\.thing.*missing`, which does not e"
    ):
        place.fetch(place.source_of(), given=Path("missing"))


def test_given_file_that_can_not_be_read(place: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    own = place.root / "own.tar"
    own.write_bytes(BODY)

    def denied(*arguments: Any, **options: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(verify, "digest", denied)
    with pytest.raises(ReplicationError, match=r"can't use `.*own.tar`.*Permission denied"):
        place.fetch(place.source_of(), given=own)
