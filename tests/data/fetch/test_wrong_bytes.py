"""Bytes that are not the archive's, too few or too many of them: noticed, and never kept."""

import shutil
from typing import Any

import pytest

from replication.errors import ReplicationError

BODY = bytes(range(256)) * 1200 + b"end"  # as the server of conftest.py has it
OTHER = b"\xff" * len(BODY)


def test_wrong_bytes_send_to_the_next_mirror(server: Any, place: Any) -> None:
    one, two = server.script("/one", server.whole(OTHER)), server.script("/two", server.whole())
    assert place.fetch(place.source_of(one, two)).origin == two
    assert server.ranges == [None, None]
    assert place.final.read_bytes() == BODY


def test_wrong_bytes_alone_leave_nothing(server: Any, place: Any) -> None:
    with pytest.raises(ReplicationError, match=r"sent another file: its checksum is md5:\w+ inst"):
        place.fetch(place.source_of(server.script("/thing.tar", server.whole(OTHER))))
    assert place.visible() == set()


def test_truncated_file_is_not_taken(server: Any, place: Any) -> None:
    address = server.script("/thing.tar", server.whole(BODY[:100_000]))
    with pytest.raises(ReplicationError, match=r"its file has 100,000 bytes instead of 307,203"):
        place.fetch(place.source_of(address))
    assert server.ranges == [None, "bytes=100000-"]
    assert not place.final.exists()


def test_length_too_small_is_resumed_to_the_declared_size(server: Any, place: Any) -> None:
    def short(handler: Any) -> None:
        handler.start(200, {"Content-Length": 5000})
        handler.wfile.write(BODY[:5000])

    place.fetch(place.source_of(server.script("/thing.tar", short, server.whole())))
    assert server.ranges == [None, "bytes=5000-"]
    assert place.final.read_bytes() == BODY


def test_length_too_great_is_refused_before_a_byte(server: Any, place: Any) -> None:
    with pytest.raises(ReplicationError, match=r"offers 307,208 bytes instead of 307,203"):
        place.fetch(place.source_of(server.script("/thing.tar", server.whole(BODY + b"extra"))))
    assert place.visible() == set()


def test_length_that_never_comes(server: Any, place: Any) -> None:
    address = server.script("/thing.tar", server.whole(length=len(BODY) + 10))
    with pytest.raises(ReplicationError, match="3 times in a row"):
        place.fetch(place.source_of(address, size=None))
    assert not place.final.exists()


def test_more_bytes_than_the_file_has(server: Any, place: Any) -> None:
    def endless(handler: Any) -> None:
        handler.start(200, {})
        handler.wfile.write(BODY + b"extra")

    with pytest.raises(ReplicationError, match="sends more than the 307,203 bytes"):
        place.fetch(place.source_of(server.script("/thing.tar", endless)))
    assert place.visible() == set()


def test_body_without_length(server: Any, place: Any) -> None:
    def bare(handler: Any) -> None:
        handler.start(200, {})
        handler.wfile.write(BODY)

    def chunked(handler: Any) -> None:
        handler.start(200, {"Transfer-Encoding": "chunked"})
        for start in range(0, len(BODY), 100_000):
            piece = BODY[start : start + 100_000]
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        handler.wfile.write(b"0\r\n\r\n")

    for reply in (bare, chunked):
        place.fetch(place.source_of(server.script("/thing.tar", reply), size=None))
        assert place.final.read_bytes() == BODY
        shutil.rmtree(place.into)


def test_labelled_as_gzip_is_kept_as_sent(server: Any, place: Any) -> None:
    import gzip

    body = gzip.compress(BODY)
    address = server.script("/thing.tar", server.whole(body, **{"Content-Encoding": "gzip"}))
    place.fetch(place.source_of(address, body=body))
    assert place.final.read_bytes() == body


def test_empty_answer_is_no_archive(server: Any, place: Any) -> None:
    address = server.script("/thing.tar", server.whole(b"", etag=None))
    with pytest.raises(ReplicationError, match="it is empty"):
        place.fetch(place.source_of(address, size=None, checksum=None))


def test_login_page_is_not_an_archive(server: Any, place: Any) -> None:
    page = server.whole(b"\n<!DOCTYPE html><title>Log in</title>", **{"Content-Type": "text/html"})
    address = server.script("/thing.tar", page)
    for changes in ({}, {"size": None}, {"size": None, "checksum": None}):
        with pytest.raises(ReplicationError, match=r"sent a web page \(a login or error page"):
            place.fetch(place.source_of(address, **changes))
        assert not place.final.exists()
