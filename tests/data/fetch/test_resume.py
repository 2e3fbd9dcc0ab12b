"""Downloads that break off go on where they were, and never mix two files."""

import hashlib
import time
from typing import Any

import pytest

from replication.data.fetch import Policy
from replication.errors import ReplicationError

BODY = bytes(range(256)) * 1200 + b"end"  # as the server of conftest.py has it
OTHER = b"\xff" * len(BODY)


def test_drops_are_resumed(server: Any, place: Any) -> None:
    address = server.script(
        "/thing.tar",
        server.whole(stop=100_000),
        server.whole(stop=200_000),
        server.whole(stop=200_001),
        server.whole(),
    )
    place.fetch(place.source_of(address))
    assert place.final.read_bytes() == BODY
    assert server.ranges == [None, "bytes=100000-", "bytes=200000-", "bytes=200001-"]
    assert [request.if_range for request in server.requests] == [None] + ['"one"'] * 3


def test_any_number_of_drops_is_survived_while_bytes_come(server: Any, place: Any) -> None:
    stops = range(20_000, len(BODY), 20_000)
    address = server.script(
        "/thing.tar", *(server.whole(stop=stop) for stop in stops), server.whole()
    )
    place.fetch(place.source_of(address))
    assert len(server.requests) == len(stops) + 1 > place.policy.patience


def test_without_progress_it_gives_up_and_keeps_the_part(server: Any, place: Any) -> None:
    address = server.script("/thing.tar", server.whole(stop=100_000))
    with pytest.raises(ReplicationError, match=r"3 times in a row"):
        place.fetch(place.source_of(address))
    assert server.ranges == [None] + ["bytes=100000-"] * 3
    assert place.part.read_bytes() == BODY[:100_000]
    assert not place.final.exists()
    server.script("/thing.tar", server.whole())
    place.fetch(place.source_of(address))
    assert server.ranges[-1] == "bytes=100000-"
    assert place.final.read_bytes() == BODY


def test_the_next_mirror_continues_what_the_first_began(server: Any, place: Any) -> None:
    one = server.script("/one", server.whole(stop=100_000))
    two = server.script("/two", server.whole(etag='"two"'))
    assert place.fetch(place.source_of(one, two)).origin == two
    assert server.requests[-1] == ("/two", "bytes=100000-", None)
    assert place.final.read_bytes() == BODY


def test_without_a_checksum_no_two_mirrors_are_mixed(server: Any, place: Any) -> None:
    one = server.script("/one", server.whole(OTHER, stop=100_000))
    two = server.script("/two", server.whole())
    fetched = place.fetch(place.source_of(one, two, checksum=None, size=None))
    assert server.requests[-1] == ("/two", None, None)
    assert place.final.read_bytes() == BODY
    assert fetched.sha256 == hashlib.sha256(BODY).hexdigest()


def test_silence_is_a_break(server: Any, place: Any) -> None:
    address = server.script("/thing.tar", server.whole(stop=131_072, pause=1.0), server.whole())
    begun = time.monotonic()
    place.fetch(place.source_of(address))
    assert time.monotonic() - begun < 1.0
    assert place.final.read_bytes() == BODY
    assert server.ranges == [None, "bytes=131072-"]


def test_server_that_ignores_range_starts_again(server: Any, place: Any) -> None:
    address = server.script("/thing.tar", server.whole(stop=100_000), server.whole(ranges=False))
    place.fetch(place.source_of(address))
    assert server.ranges == [None, "bytes=100000-"]
    assert place.final.read_bytes() == BODY


def test_server_that_ignores_range_and_always_drops_is_left(server: Any, place: Any) -> None:
    one = server.script("/one", server.whole(ranges=False, stop=100_000))
    two = server.script("/two", server.whole())
    assert place.fetch(place.source_of(one, two)).origin == two
    assert len(server.requests) == 1 + place.policy.patience + 1


def test_a_file_that_changed_meanwhile_is_sent_whole(server: Any, place: Any) -> None:
    address = server.script(
        "/thing.tar", server.whole(OTHER, stop=100_000), server.whole(etag='"two"')
    )
    place.fetch(place.source_of(address))
    assert server.requests[-1] == ("/thing.tar", "bytes=100000-", '"one"')
    assert place.final.read_bytes() == BODY


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"Last-Modified": "Fri, 11 May 2012 00:00:00 GMT"}, "Fri, 11 May 2012 00:00:00 GMT"),
        ({"ETag": 'W/"weak"'}, None),
        ({}, None),
    ],
)
def test_if_range_needs_a_strong_validator(
    server: Any, place: Any, headers: dict[str, object], expected: str | None
) -> None:
    address = server.script(
        "/thing.tar", server.whole(etag=None, stop=100_000, **headers), server.whole(etag=expected)
    )
    place.fetch(place.source_of(address))
    assert server.requests[-1] == ("/thing.tar", "bytes=100000-", expected)


def test_wrong_place_of_continuation_is_not_appended(server: Any, place: Any) -> None:
    def shifted(handler: Any) -> None:
        total = len(BODY)
        handler.start(206, {"Content-Range": f"bytes 5-{total - 1}/{total}"})
        handler.wfile.write(BODY[5:])

    address = server.script("/thing.tar", server.whole(stop=100_000), shifted, server.whole())
    place.fetch(place.source_of(address))
    assert server.ranges == [None, "bytes=100000-", None]
    assert place.final.read_bytes() == BODY


def test_refused_range_starts_again(server: Any, place: Any) -> None:
    address = server.script(
        "/thing.tar", server.whole(stop=100_000), server.status(416), server.whole()
    )
    place.fetch(place.source_of(address))
    assert server.ranges == [None, "bytes=100000-", None]


def test_complete_part_is_verified_without_asking(server: Any, place: Any) -> None:
    place.into.mkdir()
    place.part.write_bytes(BODY)
    place.fetch(place.source_of(server.script("/thing.tar", server.status(404))))
    assert server.requests == []
    assert place.final.read_bytes() == BODY


def test_complete_part_of_unknown_size_is_told_by_416(server: Any, place: Any) -> None:
    place.into.mkdir()
    place.part.write_bytes(BODY)
    place.fetch(place.source_of(server.script("/thing.tar", server.whole()), size=None))
    assert server.ranges == [f"bytes={len(BODY)}-"]
    assert place.final.read_bytes() == BODY


@pytest.mark.parametrize("held", [OTHER[:1000], BODY + b"more", OTHER])
def test_wrong_part_costs_one_fresh_try(server: Any, place: Any, held: bytes) -> None:
    place.into.mkdir()
    place.part.write_bytes(held)
    place.fetch(place.source_of(server.script("/thing.tar", server.whole())))
    assert server.ranges[-1] is None
    assert place.final.read_bytes() == BODY


def test_back_off_grows_to_a_limit() -> None:
    policy = Policy(backoff=1, longest_wait=30)
    assert [policy.wait(idle) for idle in (0, 1, 2, 3, 10)] == [1, 1, 2, 4, 30]
    assert policy.wait(1, asked=7) == 7
    assert policy.wait(1, asked=3600) == 30
