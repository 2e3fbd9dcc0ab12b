"""Provenance records: the published facts, and records that can't be wrong silently."""

import json
import re
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

from replication.data.sources import SOURCES, Source, get_source, table
from replication.errors import ReplicationError


def _source(**changes: object) -> Source:
    fields: dict[str, object] = {
        "name": "thing",
        "title": "A thing",
        "file": "thing.tar",
        "address": "https://example.org/thing.tar",
        "licence": "none",
        "citation": "none",
        "homepage": "https://example.org",
        "unverified": "nothing is checked",
    }
    return Source(**(fields | changes))  # type: ignore[arg-type]


def test_published_facts() -> None:
    voc, sbd = SOURCES["voc2012"], SOURCES["sbd"]
    assert voc.file == "VOCtrainval_11-May-2012.tar"
    assert (voc.size, voc.checksum) == (1_999_639_040, "md5:6cd6e144f989b92b3379bac3b3de84fd")
    assert sbd.checksum == "md5:82b4d87ceb2ed10f6038a1cba92111cb"
    assert len(voc.addresses) >= 3
    assert len(sbd.addresses) >= 2


def test_torchvision_states_the_same_checksums() -> None:
    voc, sbd = SOURCES["voc2012"], SOURCES["sbd"]
    package = find_spec("torchvision")  # read as text: importing it takes seconds
    assert package is not None
    assert package.origin is not None
    folder = Path(package.origin).parent / "datasets"
    assert str(voc.checksum).removeprefix("md5:") in (folder / "voc.py").read_text()
    assert str(sbd.checksum).removeprefix("md5:") in (folder / "sbd.py").read_text()
    voc2010 = SOURCES["voc2010"]
    assert f'"{voc2010.file}"' in (folder / "voc.py").read_text()
    assert str(voc2010.checksum).removeprefix("md5:") in (folder / "voc.py").read_text()


@pytest.mark.parametrize("source", SOURCES.values(), ids=list(SOURCES))
def test_every_record_is_complete(source: Source) -> None:
    assert source.title
    assert source.licence
    assert source.citation
    assert source.homepage
    assert source.checksum or source.checksums or source.unverified
    assert source.addresses or source.login
    assert len(set(source.addresses)) == len(source.addresses)
    for address in source.addresses:
        served = source.served_as or source.file
        assert address.endswith(f"/{served}"), "a mirror serves the same file"
        assert re.match(r"https?://|data/sample/archives/", address)
    assert source.setting == f"data.archives.{source.name}"


def test_get_source_names_the_choices() -> None:
    assert get_source("voc2012") is SOURCES["voc2012"]
    with pytest.raises(
        ReplicationError, match=r"`voc2011`: choose from .*sbd, sbd_sample, .*voc2012"
    ):
        get_source("voc2011")


@pytest.mark.parametrize(
    "bad",
    [
        {"file": "../thing.tar"},
        {"file": ""},
        {"file": ".hidden"},
        {"size": 0},
        {"checksum": "md5:123"},
        {"checksum": "crc32:12345678"},
        {"checksum": "md5:" + "A" * 32},
        {"checksum": "0" * 32},
        {"unverified": ""},
    ],
)
def test_impossible_records_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="source `thing`"):
        _source(**bad)


def test_table_refuses_doubles() -> None:
    one = _source()
    assert table([one, replace(one, name="other", file="other.tar")])["other"].file == "other.tar"
    with pytest.raises(ValueError, match="two sources share"):
        table([one, replace(one, file="other.tar")])
    with pytest.raises(ValueError, match="two sources share"):
        table([one, replace(one, name="other")])


def test_sample_checksums_come_from_the_packer(tmp_path: Path) -> None:
    source = SOURCES["voc2012_sample"]
    path = tmp_path / "data/sample/archives/checksums.json"
    with pytest.raises(ReplicationError, match=r"checksums\.json`.*does not exist: run `dvc pull`"):
        source.resolved(tmp_path)
    path.parent.mkdir(parents=True)
    for bad in ("not json", "[]", "{}", json.dumps({source.file: {"size": "x", "sha256": ""}})):
        path.write_text(bad)
        with pytest.raises(ReplicationError, match="does not give size and sha256"):
            source.resolved(tmp_path)
    path.write_text(json.dumps({source.file: {"size": 5, "sha256": "ab" * 32}}))
    resolved = source.resolved(tmp_path)
    assert (resolved.size, resolved.checksum) == (5, "sha256:" + "ab" * 32)
    assert resolved.resolved(tmp_path) is resolved
