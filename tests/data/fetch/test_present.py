"""What is there already is kept if it is right, and replaced only by what is."""

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from replication.data import verify
from replication.errors import ReplicationError

BODY = bytes(range(256)) * 1200 + b"end"  # as the server of conftest.py has it
OTHER = b"\xff" * len(BODY)


def test_plain_download(server: Any, place: Any) -> None:
    fetched = place.fetch(place.source_of(address := server.script("/thing.tar", server.whole())))
    assert place.final.read_bytes() == BODY
    assert place.visible() == {"thing.tar"}
    assert fetched.path == place.final
    assert (fetched.kind, fetched.origin, fetched.size) == ("archive", address, len(BODY))
    assert fetched.sha256 == hashlib.sha256(BODY).hexdigest()
    assert server.ranges == [None]


def test_record_does_not_depend_on_the_mirror(server: Any, place: Any, tmp_path: Path) -> None:
    one, two = server.script("/a", server.status(404)), server.script("/b", server.whole())
    good = place.source_of(one, two)
    by_mirror = place.fetch(good).record()
    present = place.fetch(good).record()
    copy = tmp_path / "own.tar"
    copy.write_bytes(BODY)
    assert by_mirror == present == place.fetch(good, given=copy).record()
    assert by_mirror["address"] == one
    json.dumps(by_mirror)


def test_present_and_verified_is_not_read_again(
    server: Any, place: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = place.source_of(server.script("/thing.tar", server.whole()))
    first = place.fetch(good)

    def never(*arguments: Any, **options: Any) -> None:
        raise AssertionError("hashed again")

    monkeypatch.setattr(verify, "digest", never)
    again = place.fetch(good)
    assert again == replace(first, origin="present")
    assert len(server.requests) == 1


def test_changed_file_is_verified_and_replaced(
    server: Any, place: Any, caplog: pytest.LogCaptureFixture
) -> None:
    good = place.source_of(server.script("/thing.tar", server.whole()))
    place.fetch(good)
    os.utime(place.final, (1, 1))
    assert place.fetch(good).origin == "present"  # touched only: hashed, and right
    place.final.write_bytes(OTHER)
    os.utime(place.final, (2, 2))
    assert place.fetch(good).origin == good.address
    assert "is not the archive" in caplog.text
    assert place.final.read_bytes() == BODY


@pytest.mark.parametrize("seconds", [0, 4_102_444_800])  # 1970, 2100
def test_file_times_that_jump_fetch_nothing_again(
    server: Any, place: Any, seconds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = place.source_of(server.script("/thing.tar", server.whole()))
    place.fetch(good)
    for path in place.into.iterdir():  # the archive, and the record of its being verified
        os.utime(path, (seconds, seconds))
    assert place.fetch(good).origin == "present"  # hashed again, as its time is another
    with monkeypatch.context() as patch:
        patch.setattr(verify, "digest", None)
        assert place.fetch(good).origin == "present"  # and remembered
    assert len(server.requests) == 1
    place.final.write_bytes(OTHER)
    os.utime(place.final, (seconds + 1, seconds + 1))
    assert place.fetch(good).origin == good.address
    assert place.final.read_bytes() == BODY


def test_wrong_file_stays_until_a_right_one_is_there(server: Any, place: Any) -> None:
    place.into.mkdir()
    place.final.write_bytes(b"half")
    with pytest.raises(ReplicationError, match="HTTP 404"):
        place.fetch(place.source_of(server.script("/thing.tar", server.status(404))))
    assert place.final.read_bytes() == b"half"


def test_file_put_there_by_hand_is_accepted_if_right(place: Any) -> None:
    place.into.mkdir()
    place.final.write_bytes(BODY)
    assert place.fetch(place.source_of()).origin == "present"


def test_a_new_checksum_asks_for_the_file_again(server: Any, place: Any) -> None:
    address = server.script("/thing.tar", server.whole(), server.whole(OTHER))
    place.fetch(place.source_of(address))
    place.fetch(place.source_of(address, body=OTHER))
    assert place.final.read_bytes() == OTHER


def test_no_heavy_import() -> None:
    code = (
        "import sys, replication.data.fetch, replication.data.unpack, replication.data.sources;"
        "heavy = {'torch', 'numpy', 'requests', 'tqdm', 'filelock'} & set(sys.modules);"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
