"""Redirects, refusals and logins: what an address answers, and what the error says to do."""

import re
from typing import Any

import pytest

from replication.errors import ReplicationError

BODY = bytes(range(256)) * 1200 + b"end"  # as the server of conftest.py has it
OTHER = b"\xff" * len(BODY)


def test_redirects_are_followed_and_resumed(server: Any, place: Any) -> None:
    server.script("/real", server.whole(stop=100_000), server.whole())
    address = server.script("/thing.tar", server.status(301, Location="/second"))
    server.script("/second", server.status(302, Location="/real"))
    place.fetch(place.source_of(address))
    assert [(r.path, r.range) for r in server.requests] == [
        *[(path, None) for path in ("/thing.tar", "/second", "/real")],
        *[(path, "bytes=100000-") for path in ("/thing.tar", "/second", "/real")],
    ]
    assert place.final.read_bytes() == BODY


def test_redirect_loop(server: Any, place: Any) -> None:
    loop = server.script("/loop", server.status(302, Location="/loop"))
    with pytest.raises(ReplicationError, match=f"{loop} redirects more than 4 times"):
        place.fetch(place.source_of(loop))


def test_redirect_to_no_web_address(server: Any, place: Any) -> None:
    address = server.script("/thing.tar", server.status(302, Location="file:///etc/passwd"))
    with pytest.raises(ReplicationError, match="can't be used"):
        place.fetch(place.source_of(address))


def test_busy_server_is_asked_again(server: Any, place: Any) -> None:
    address = server.script(
        "/thing.tar", server.status(503, **{"Retry-After": "0"}), server.status(429), server.whole()
    )
    place.fetch(place.source_of(address))
    assert len(server.requests) == 3


def test_not_found_is_final(server: Any, place: Any) -> None:
    with pytest.raises(ReplicationError, match="answers HTTP 404 Not Found"):
        place.fetch(place.source_of(server.script("/thing.tar", server.status(404))))
    assert len(server.requests) == 1


@pytest.mark.parametrize("code", [401, 403])
def test_missing_login(server: Any, place: Any, code: int) -> None:
    address = server.script("/thing.tar", server.status(code))
    with pytest.raises(ReplicationError, match="it needs a login: register at example"):
        place.fetch(place.source_of(address, login="register at example, download thing.tar"))
    with pytest.raises(ReplicationError, match=rf"HTTP {code}.*see https://example.org/home"):
        place.fetch(place.source_of(address))
    assert len(server.requests) == 2


def test_one_error_lists_every_address_and_the_cure(server: Any, place: Any) -> None:
    gone, wrong = (
        server.script("/gone", server.status(404)),
        server.script("/wrong", server.whole(OTHER)),
    )
    closed = "http://127.0.0.1:9/thing.tar"
    with pytest.raises(ReplicationError) as caught:
        place.fetch(
            place.source_of(gone, wrong, closed, "elsewhere/thing.tar", hint="run `dvc pull`")
        )
    text = str(caught.value)
    assert "\n" not in text
    assert f"{gone} answers HTTP 404" in text
    assert f"{wrong} sent another file" in text
    assert re.search(rf"{closed} connection failed \(.*refused.*\), 3 times in a row", text)
    assert "elsewhere/thing.tar does not exist" in text
    assert "run `dvc pull`" in text
    assert "set data.archives.thing in params.yaml to the file or unpacked folder" in text


def test_no_address_at_all(place: Any) -> None:
    with pytest.raises(
        ReplicationError, match=r"it has no public address\. To go on, it needs a l"
    ):
        place.fetch(place.source_of(login="write to the authors"))


def test_where_to_put_what_needs_a_login(place: Any) -> None:
    from replication.data.sources import SOURCES

    for name in ("cityscapes_labels", "cityscapes_images"):
        source = SOURCES[name]
        with pytest.raises(ReplicationError) as caught:
            place.fetch(source)
        text = str(caught.value)
        assert "\n" not in text
        assert source.file in text
        assert "https://www.cityscapes-dataset.com/register/" in text
        assert re.search(r"file-handling/\?packageID=[13]", text)
        assert f"put it into `{place.into}`" in text
        assert f"data.archives.{name}" in text
