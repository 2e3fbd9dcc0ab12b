"""Fetching against a real server on this machine that breaks in every way that servers do."""

import errno
import hashlib
import http.server
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from replication.data import fetch as fetch_module
from replication.data import part, verify
from replication.data.fetch import Fetched, Policy, fetch
from replication.data.sources import Source
from replication.errors import ReplicationError

BODY = bytes(range(256)) * 1200 + b"end"  # 307,203 bytes: several chunks of 64 KiB
OTHER = b"\xff" * len(BODY)
QUICK = Policy(connect=2, read=0.4, patience=3, backoff=0.01, redirects=4)


@dataclass
class Request:
    """What the server was asked."""

    path: str
    range: str | None
    if_range: str | None


Reply = Callable[["Handler"], None]


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers each path by the next of its scripted replies; the last one stays."""

    server: "Server"
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.close_connection = True
        headers = self.headers
        asked = Request(self.path, headers.get("Range"), headers.get("If-Range"))
        with self.server.lock:
            self.server.requests.append(asked)
            script = self.server.replies[self.path]
            reply = script.pop(0) if len(script) > 1 else script[0]
        reply(self)

    def log_message(self, *arguments: Any) -> None:
        pass

    def start(self, status: int, headers: dict[str, object]) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, str(value))
        self.send_header("Connection", "close")
        self.end_headers()

    @property
    def offset(self) -> int:
        """The first byte asked for."""
        found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        return int(found[1]) if found else 0


class Server(http.server.ThreadingHTTPServer):
    """A server with a script, and a list of what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[Request] = []
        self.replies: dict[str, list[Reply]] = {}
        self.lock = threading.Lock()

    def handle_error(self, *arguments: Any) -> None:
        pass  # clients that hang up are part of the play

    def script(self, path: str, *replies: Reply) -> str:
        """Answer ``path`` by ``replies`` in turn; return its address."""
        self.replies[path] = list(replies)
        return f"http://127.0.0.1:{self.server_port}{path}"

    @property
    def ranges(self) -> list[str | None]:
        """The Range header of each request, in order."""
        return [request.range for request in self.requests]


def whole(
    body: bytes = BODY,
    *,
    ranges: bool = True,
    etag: str | None = '"one"',
    length: int | None = None,
    stop: int | None = None,
    pause: float = 0.0,
    **headers: object,
) -> Reply:
    """Serve ``body`` as a good server does, but for what the arguments spoil.

    ``length`` is the total size that is claimed, ``stop`` the byte of the body before which the
    connection is closed, ``pause`` the seconds of silence there.
    """

    def reply(handler: Handler) -> None:
        start = handler.offset if ranges else 0
        if handler.headers.get("If-Range") not in (None, etag):
            start = 0
        claimed = len(body) if length is None else length
        sent: dict[str, object] = {"Content-Length": claimed - start, **headers}
        if etag is not None:
            sent["ETag"] = etag
        if start >= len(body) and start > 0:
            handler.start(416, {"Content-Range": f"bytes */{claimed}", "Content-Length": 0})
            return
        if start:
            sent["Content-Range"] = f"bytes {start}-{claimed - 1}/{claimed}"
        handler.start(206 if start else 200, sent)
        handler.wfile.write(body[start:stop])
        handler.wfile.flush()
        time.sleep(pause)

    return reply


def status(code: int, body: bytes = b"no", **headers: object) -> Reply:
    """Answer with a status and a short text."""

    def reply(handler: Handler) -> None:
        handler.start(code, {"Content-Length": len(body), **headers})
        handler.wfile.write(body)

    return reply


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@dataclass
class Place:
    """A repository root with an archives folder, and how to fetch into it."""

    root: Path
    into: Path = field(init=False)

    def __post_init__(self) -> None:
        self.into = self.root / "archives"

    def fetch(self, source: Source, **options: Any) -> Fetched:
        options = {"root": self.root, "progress": False, "policy": QUICK} | options
        return fetch(source, self.into, **options)

    @property
    def final(self) -> Path:
        return self.into / "thing.tar"

    @property
    def part(self) -> Path:
        return self.into / "thing.tar.part"

    def visible(self) -> set[str]:
        """The names in the archives folder, our own hidden notes aside."""
        return {path.name for path in self.into.iterdir() if not path.name.startswith(".")}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def source_of(*addresses: str, body: bytes = BODY, **changes: Any) -> Source:
    made = Source(
        name="thing",
        title="A thing",
        file="thing.tar",
        address=addresses[0] if addresses else "",
        mirrors=addresses[1:],
        size=len(body),
        checksum=f"md5:{hashlib.md5(body).hexdigest()}",
        licence="none",
        citation="none",
        homepage="https://example.org/home",
        unverified="nothing is checked",
    )
    return replace(made, **changes)


def test_plain_download(server: Server, place: Place) -> None:
    fetched = place.fetch(source_of(address := server.script("/thing.tar", whole())))
    assert place.final.read_bytes() == BODY
    assert place.visible() == {"thing.tar"}
    assert fetched.path == place.final
    assert (fetched.kind, fetched.origin, fetched.size) == ("archive", address, len(BODY))
    assert fetched.sha256 == hashlib.sha256(BODY).hexdigest()
    assert server.ranges == [None]


def test_record_does_not_depend_on_the_mirror(server: Server, place: Place, tmp_path: Path) -> None:
    one, two = server.script("/a", status(404)), server.script("/b", whole())
    good = source_of(one, two)
    by_mirror = place.fetch(good).record()
    present = place.fetch(good).record()
    copy = tmp_path / "own.tar"
    copy.write_bytes(BODY)
    assert by_mirror == present == place.fetch(good, given=copy).record()
    assert by_mirror["address"] == one
    json.dumps(by_mirror)


def test_present_and_verified_is_not_read_again(
    server: Server, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = source_of(server.script("/thing.tar", whole()))
    first = place.fetch(good)

    def never(*arguments: Any, **options: Any) -> None:
        raise AssertionError("hashed again")

    monkeypatch.setattr(verify, "digest", never)
    again = place.fetch(good)
    assert again == replace(first, origin="present")
    assert len(server.requests) == 1


def test_changed_file_is_verified_and_replaced(
    server: Server, place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    good = source_of(server.script("/thing.tar", whole()))
    place.fetch(good)
    os.utime(place.final, (1, 1))
    assert place.fetch(good).origin == "present"  # touched only: hashed, and right
    place.final.write_bytes(OTHER)
    os.utime(place.final, (2, 2))
    assert place.fetch(good).origin == good.address
    assert "is not the archive" in caplog.text
    assert place.final.read_bytes() == BODY


def test_wrong_file_stays_until_a_right_one_is_there(server: Server, place: Place) -> None:
    place.into.mkdir()
    place.final.write_bytes(b"half")
    with pytest.raises(ReplicationError, match="HTTP 404"):
        place.fetch(source_of(server.script("/thing.tar", status(404))))
    assert place.final.read_bytes() == b"half"


def test_file_put_there_by_hand_is_accepted_if_right(place: Place) -> None:
    place.into.mkdir()
    place.final.write_bytes(BODY)
    assert place.fetch(source_of()).origin == "present"


def test_a_new_checksum_asks_for_the_file_again(server: Server, place: Place) -> None:
    address = server.script("/thing.tar", whole(), whole(OTHER))
    place.fetch(source_of(address))
    place.fetch(source_of(address, body=OTHER))
    assert place.final.read_bytes() == OTHER


def test_drops_are_resumed(server: Server, place: Place) -> None:
    address = server.script(
        "/thing.tar", whole(stop=100_000), whole(stop=200_000), whole(stop=200_001), whole()
    )
    place.fetch(source_of(address))
    assert place.final.read_bytes() == BODY
    assert server.ranges == [None, "bytes=100000-", "bytes=200000-", "bytes=200001-"]
    assert [request.if_range for request in server.requests] == [None] + ['"one"'] * 3


def test_any_number_of_drops_is_survived_while_bytes_come(server: Server, place: Place) -> None:
    stops = range(20_000, len(BODY), 20_000)
    address = server.script("/thing.tar", *(whole(stop=stop) for stop in stops), whole())
    place.fetch(source_of(address))
    assert len(server.requests) == len(stops) + 1 > QUICK.patience


def test_without_progress_it_gives_up_and_keeps_the_part(server: Server, place: Place) -> None:
    address = server.script("/thing.tar", whole(stop=100_000))
    with pytest.raises(ReplicationError, match=r"3 times in a row"):
        place.fetch(source_of(address))
    assert server.ranges == [None] + ["bytes=100000-"] * 3
    assert place.part.read_bytes() == BODY[:100_000]
    assert not place.final.exists()
    server.script("/thing.tar", whole())
    place.fetch(source_of(address))
    assert server.ranges[-1] == "bytes=100000-"
    assert place.final.read_bytes() == BODY


def test_the_next_mirror_continues_what_the_first_began(server: Server, place: Place) -> None:
    one = server.script("/one", whole(stop=100_000))
    two = server.script("/two", whole(etag='"two"'))
    assert place.fetch(source_of(one, two)).origin == two
    assert server.requests[-1] == Request("/two", "bytes=100000-", None)
    assert place.final.read_bytes() == BODY


def test_without_a_checksum_no_two_mirrors_are_mixed(server: Server, place: Place) -> None:
    one = server.script("/one", whole(OTHER, stop=100_000))
    two = server.script("/two", whole())
    fetched = place.fetch(source_of(one, two, checksum=None, size=None))
    assert server.requests[-1] == Request("/two", None, None)
    assert place.final.read_bytes() == BODY
    assert fetched.sha256 == hashlib.sha256(BODY).hexdigest()


def test_silence_is_a_break(server: Server, place: Place) -> None:
    address = server.script("/thing.tar", whole(stop=131_072, pause=1.0), whole())
    begun = time.monotonic()
    place.fetch(source_of(address))
    assert time.monotonic() - begun < 1.0
    assert place.final.read_bytes() == BODY
    assert server.ranges == [None, "bytes=131072-"]


def test_server_that_ignores_range_starts_again(server: Server, place: Place) -> None:
    address = server.script("/thing.tar", whole(stop=100_000), whole(ranges=False))
    place.fetch(source_of(address))
    assert server.ranges == [None, "bytes=100000-"]
    assert place.final.read_bytes() == BODY


def test_server_that_ignores_range_and_always_drops_is_left(server: Server, place: Place) -> None:
    one = server.script("/one", whole(ranges=False, stop=100_000))
    two = server.script("/two", whole())
    assert place.fetch(source_of(one, two)).origin == two
    assert len(server.requests) == 1 + QUICK.patience + 1


def test_a_file_that_changed_meanwhile_is_sent_whole(server: Server, place: Place) -> None:
    address = server.script("/thing.tar", whole(OTHER, stop=100_000), whole(etag='"two"'))
    place.fetch(source_of(address))
    assert server.requests[-1] == Request("/thing.tar", "bytes=100000-", '"one"')
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
    server: Server, place: Place, headers: dict[str, object], expected: str | None
) -> None:
    address = server.script(
        "/thing.tar", whole(etag=None, stop=100_000, **headers), whole(etag=expected)
    )
    place.fetch(source_of(address))
    assert server.requests[-1] == Request("/thing.tar", "bytes=100000-", expected)


def test_wrong_place_of_continuation_is_not_appended(server: Server, place: Place) -> None:
    def shifted(handler: Handler) -> None:
        total = len(BODY)
        handler.start(206, {"Content-Range": f"bytes 5-{total - 1}/{total}"})
        handler.wfile.write(BODY[5:])

    address = server.script("/thing.tar", whole(stop=100_000), shifted, whole())
    place.fetch(source_of(address))
    assert server.ranges == [None, "bytes=100000-", None]
    assert place.final.read_bytes() == BODY


def test_refused_range_starts_again(server: Server, place: Place) -> None:
    address = server.script("/thing.tar", whole(stop=100_000), status(416), whole())
    place.fetch(source_of(address))
    assert server.ranges == [None, "bytes=100000-", None]


def test_complete_part_is_verified_without_asking(server: Server, place: Place) -> None:
    place.into.mkdir()
    place.part.write_bytes(BODY)
    place.fetch(source_of(server.script("/thing.tar", status(404))))
    assert server.requests == []
    assert place.final.read_bytes() == BODY


def test_complete_part_of_unknown_size_is_told_by_416(server: Server, place: Place) -> None:
    place.into.mkdir()
    place.part.write_bytes(BODY)
    place.fetch(source_of(server.script("/thing.tar", whole()), size=None))
    assert server.ranges == [f"bytes={len(BODY)}-"]
    assert place.final.read_bytes() == BODY


@pytest.mark.parametrize("held", [OTHER[:1000], BODY + b"more", OTHER])
def test_wrong_part_costs_one_fresh_try(server: Server, place: Place, held: bytes) -> None:
    place.into.mkdir()
    place.part.write_bytes(held)
    place.fetch(source_of(server.script("/thing.tar", whole())))
    assert server.ranges[-1] is None
    assert place.final.read_bytes() == BODY


def test_wrong_bytes_send_to_the_next_mirror(server: Server, place: Place) -> None:
    one, two = server.script("/one", whole(OTHER)), server.script("/two", whole())
    assert place.fetch(source_of(one, two)).origin == two
    assert server.ranges == [None, None]
    assert place.final.read_bytes() == BODY


def test_wrong_bytes_alone_leave_nothing(server: Server, place: Place) -> None:
    with pytest.raises(ReplicationError, match=r"sent another file: its checksum is md5:\w+ inst"):
        place.fetch(source_of(server.script("/thing.tar", whole(OTHER))))
    assert place.visible() == set()


def test_truncated_file_is_not_taken(server: Server, place: Place) -> None:
    address = server.script("/thing.tar", whole(BODY[:100_000]))
    with pytest.raises(ReplicationError, match=r"its file has 100,000 bytes instead of 307,203"):
        place.fetch(source_of(address))
    assert server.ranges == [None, "bytes=100000-"]
    assert not place.final.exists()


def test_length_too_small_is_resumed_to_the_declared_size(server: Server, place: Place) -> None:
    def short(handler: Handler) -> None:
        handler.start(200, {"Content-Length": 5000})
        handler.wfile.write(BODY[:5000])

    place.fetch(source_of(server.script("/thing.tar", short, whole())))
    assert server.ranges == [None, "bytes=5000-"]
    assert place.final.read_bytes() == BODY


def test_length_too_great_is_refused_before_a_byte(server: Server, place: Place) -> None:
    with pytest.raises(ReplicationError, match=r"offers 307,208 bytes instead of 307,203"):
        place.fetch(source_of(server.script("/thing.tar", whole(BODY + b"extra"))))
    assert place.visible() == set()


def test_length_that_never_comes(server: Server, place: Place) -> None:
    address = server.script("/thing.tar", whole(length=len(BODY) + 10))
    with pytest.raises(ReplicationError, match="3 times in a row"):
        place.fetch(source_of(address, size=None))
    assert not place.final.exists()


def test_more_bytes_than_the_file_has(server: Server, place: Place) -> None:
    def endless(handler: Handler) -> None:
        handler.start(200, {})
        handler.wfile.write(BODY + b"extra")

    with pytest.raises(ReplicationError, match="sends more than the 307,203 bytes"):
        place.fetch(source_of(server.script("/thing.tar", endless)))
    assert place.visible() == set()


def test_body_without_length(server: Server, place: Place) -> None:
    def bare(handler: Handler) -> None:
        handler.start(200, {})
        handler.wfile.write(BODY)

    def chunked(handler: Handler) -> None:
        handler.start(200, {"Transfer-Encoding": "chunked"})
        for start in range(0, len(BODY), 100_000):
            piece = BODY[start : start + 100_000]
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        handler.wfile.write(b"0\r\n\r\n")

    for reply in (bare, chunked):
        place.fetch(source_of(server.script("/thing.tar", reply), size=None))
        assert place.final.read_bytes() == BODY
        shutil.rmtree(place.into)


def test_labelled_as_gzip_is_kept_as_sent(server: Server, place: Place) -> None:
    import gzip

    body = gzip.compress(BODY)
    address = server.script("/thing.tar", whole(body, **{"Content-Encoding": "gzip"}))
    place.fetch(source_of(address, body=body))
    assert place.final.read_bytes() == body


def test_redirects_are_followed_and_resumed(server: Server, place: Place) -> None:
    server.script("/real", whole(stop=100_000), whole())
    address = server.script("/thing.tar", status(301, Location="/second"))
    server.script("/second", status(302, Location="/real"))
    place.fetch(source_of(address))
    assert [(r.path, r.range) for r in server.requests] == [
        *[(path, None) for path in ("/thing.tar", "/second", "/real")],
        *[(path, "bytes=100000-") for path in ("/thing.tar", "/second", "/real")],
    ]
    assert place.final.read_bytes() == BODY


def test_redirect_loop(server: Server, place: Place) -> None:
    loop = server.script("/loop", status(302, Location="/loop"))
    with pytest.raises(ReplicationError, match=f"{loop} redirects more than 4 times"):
        place.fetch(source_of(loop))


def test_redirect_to_no_web_address(server: Server, place: Place) -> None:
    address = server.script("/thing.tar", status(302, Location="file:///etc/passwd"))
    with pytest.raises(ReplicationError, match="can't be used"):
        place.fetch(source_of(address))


def test_busy_server_is_asked_again(server: Server, place: Place) -> None:
    address = server.script("/thing.tar", status(503, **{"Retry-After": "0"}), status(429), whole())
    place.fetch(source_of(address))
    assert len(server.requests) == 3


def test_not_found_is_final(server: Server, place: Place) -> None:
    with pytest.raises(ReplicationError, match="answers HTTP 404 Not Found"):
        place.fetch(source_of(server.script("/thing.tar", status(404))))
    assert len(server.requests) == 1


@pytest.mark.parametrize("code", [401, 403])
def test_missing_login(server: Server, place: Place, code: int) -> None:
    address = server.script("/thing.tar", status(code))
    with pytest.raises(ReplicationError, match="it needs a login: register at example"):
        place.fetch(source_of(address, login="register at example, download thing.tar"))
    with pytest.raises(ReplicationError, match=rf"HTTP {code}.*see https://example.org/home"):
        place.fetch(source_of(address))
    assert len(server.requests) == 2


def test_login_page_is_not_an_archive(server: Server, place: Place) -> None:
    page = whole(b"\n<!DOCTYPE html><title>Log in</title>", **{"Content-Type": "text/html"})
    address = server.script("/thing.tar", page)
    for changes in ({}, {"size": None}, {"size": None, "checksum": None}):
        with pytest.raises(ReplicationError, match=r"sent a web page \(a login or error page"):
            place.fetch(source_of(address, **changes))
        assert not place.final.exists()


def test_one_error_lists_every_address_and_the_cure(server: Server, place: Place) -> None:
    gone, wrong = server.script("/gone", status(404)), server.script("/wrong", whole(OTHER))
    closed = "http://127.0.0.1:9/thing.tar"
    with pytest.raises(ReplicationError) as caught:
        place.fetch(source_of(gone, wrong, closed, "elsewhere/thing.tar", hint="run `dvc pull`"))
    text = str(caught.value)
    assert "\n" not in text
    assert f"{gone} answers HTTP 404" in text
    assert f"{wrong} sent another file" in text
    assert re.search(rf"{closed} connection failed \(.*refused.*\), 3 times in a row", text)
    assert "elsewhere/thing.tar does not exist" in text
    assert "run `dvc pull`" in text
    assert "set data.archives.thing in params.yaml to the file or unpacked folder" in text


def test_no_address_at_all(place: Place) -> None:
    with pytest.raises(
        ReplicationError, match=r"it has no public address\. To go on, it needs a l"
    ):
        place.fetch(source_of(login="write to the authors"))


def test_where_to_put_what_needs_a_login(place: Place) -> None:
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


def test_file_addresses(place: Place) -> None:
    (place.root / "data").mkdir()
    (place.root / "data/thing.tar").write_bytes(BODY)
    assert place.fetch(source_of("data/thing.tar")).origin == "data/thing.tar"
    assert place.final.read_bytes() == BODY
    shutil.rmtree(place.into)
    address = (place.root / "data/thing.tar").as_uri()
    assert place.fetch(source_of(address)).origin == address


@pytest.mark.parametrize("body", [OTHER, BODY[:-1], BODY + b"x", b""])
def test_wrong_file_at_a_file_address(place: Place, body: bytes) -> None:
    (place.root / "thing.tar").write_bytes(body)
    with pytest.raises(ReplicationError, match="sent another file"):
        place.fetch(source_of("thing.tar"))
    assert place.visible() == set()


def test_empty_answer_is_no_archive(server: Server, place: Place) -> None:
    address = server.script("/thing.tar", whole(b"", etag=None))
    with pytest.raises(ReplicationError, match="it is empty"):
        place.fetch(source_of(address, size=None, checksum=None))


def test_sample_source_end_to_end(place: Place) -> None:
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


def test_given_file_is_verified_where_it_lies(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = place.root / "own"
    own.mkdir()
    (own / "renamed.tar").write_bytes(BODY)
    fetched = place.fetch(source_of(), given=Path("own/renamed.tar"))
    assert fetched.path == own / "renamed.tar"
    assert (fetched.kind, fetched.origin) == ("archive", "given")
    assert fetched.sha256 == hashlib.sha256(BODY).hexdigest()
    assert not place.final.exists()
    assert [path.name for path in own.iterdir()] == ["renamed.tar"]
    monkeypatch.setattr(verify, "digest", None)
    assert place.fetch(source_of(), given=own / "renamed.tar") == fetched


@pytest.mark.parametrize(
    ("body", "why"), [(OTHER, "its checksum is md5:"), (BODY[:-1], "it has 307,202 bytes instead")]
)
def test_given_wrong_file(place: Place, body: bytes, why: str) -> None:
    own = place.root / "own.tar"
    own.write_bytes(body)
    with pytest.raises(ReplicationError, match=f"data.archives.thing .*own.tar.*{why}"):
        place.fetch(source_of(), given=own)
    assert own.read_bytes() == body


def test_given_folder(place: Place) -> None:
    own = place.root / "VOCdevkit"
    own.mkdir()
    with pytest.raises(ReplicationError, match=r"names `.*VOCdevkit`, an empty folder"):
        place.fetch(source_of(), given=own)
    (own / "VOC2012").mkdir()
    fetched = place.fetch(source_of(), given=own)
    assert (fetched.kind, fetched.path, fetched.sha256) == ("folder", own, None)
    assert str(own) not in json.dumps(fetched.record())


def test_given_nothing_there(place: Place) -> None:
    with pytest.raises(
        ReplicationError, match=r"data\.archives\.thing.*missing`, which does not e"
    ):
        place.fetch(source_of(), given=Path("missing"))


def test_too_little_room_is_seen_before_downloading(
    server: Server, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(place.root)
    monkeypatch.setattr(part.shutil, "disk_usage", lambda _: usage._replace(free=1000))
    mirror = server.script("/mirror", whole())
    with pytest.raises(ReplicationError, match="no room in") as caught:
        place.fetch(source_of(server.script("/thing.tar", whole()), mirror))
    text = str(caught.value)
    assert "needs 307,203 bytes more and 1,000 are free" in text
    assert str(place.into) in text
    assert "data.archives.thing" in text
    assert len(server.requests) == 1, "another mirror makes no room"
    assert not place.part.exists()


def test_disk_fills_up_meanwhile(
    server: Server, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = server.script("/thing.tar", whole())
    plain = Path.open
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", lambda path, *a, **o: _full_after(plain(path, *a, **o), path))
        with pytest.raises(ReplicationError, match=r"needs 107,203 bytes more") as caught:
            place.fetch(source_of(address))
    assert "what is there already is kept" in str(caught.value)
    assert place.part.read_bytes() == BODY[:200_000]
    assert not place.final.exists()
    place.fetch(source_of(address))
    assert server.ranges == [None, "bytes=200000-"]
    assert place.final.read_bytes() == BODY


def _full_after(stream: Any, path: Path, room: int = 200_000) -> Any:
    """Let a part file's stream write ``room`` bytes, the last of them as a short write."""
    if not path.name.endswith(".part"):
        return stream

    class Full:
        def __enter__(self) -> "Full":
            return self

        def __exit__(self, *arguments: object) -> None:
            stream.close()

        def __getattr__(self, name: str) -> Any:
            return getattr(stream, name)

        def write(self, data: memoryview) -> int:
            left = room - stream.tell()
            if left <= 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            return int(stream.write(data[:left]))

    return Full()


@contextmanager
def _tiny_disk(folder: Path) -> Iterator[Path]:
    folder.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    if not mounted or mounted.returncode:
        pytest.skip("may not mount a small file system here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("size", [len(BODY), None])
def test_really_full_disk(server: Server, place: Place, size: int | None) -> None:
    def unsized(handler: Handler) -> None:
        handler.start(200, {})
        handler.wfile.write(BODY)

    with _tiny_disk(place.into):
        with pytest.raises(ReplicationError, match=r"no room in `.*archives` for `thing\.tar`"):
            place.fetch(source_of(server.script("/thing.tar", unsized), size=size))
        assert not place.final.exists()


def test_unwritable_folder(place: Place) -> None:
    place.into.write_text("a file where the folder should be")
    with pytest.raises(ReplicationError, match=r"can't lock .*use a folder that can be written"):
        place.fetch(source_of("x"))


def test_given_file_that_can_not_be_read(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    own = place.root / "own.tar"
    own.write_bytes(BODY)

    def denied(*arguments: Any, **options: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(verify, "digest", denied)
    with pytest.raises(ReplicationError, match=r"can't use `.*own.tar`.*Permission denied"):
        place.fetch(source_of(), given=own)


CHILD = """
import sys
from pathlib import Path
from tests_source import source
from replication.data.fetch import Policy, fetch
root = Path(sys.argv[1])
print(fetch(source, root / "archives", root=root, progress=False, policy=Policy(read=20)).origin)
"""


def _child(place: Place, source: Source) -> "subprocess.Popen[str]":
    """Fetch in another process, as another stage of the pipeline would."""
    (place.root / "tests_source.py").write_text(
        f"from replication.data.sources import Source\nsource = {source!r}\n"
    )
    repository = Path(fetch_module.__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": f"{place.root}{os.pathsep}{repository}"}
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(place.root)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _await(condition: Callable[[], bool], seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)


def test_killed_download_is_resumed(server: Server, place: Place) -> None:
    source = source_of(server.script("/thing.tar", whole(stop=196_608, pause=30), whole()))
    child = _child(place, source)
    _await(lambda: place.part.exists() and place.part.stat().st_size >= 196_608)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert not place.final.exists()
    fetched = place.fetch(source)
    assert server.requests[-1] == Request("/thing.tar", "bytes=196608-", '"one"')
    assert len(server.requests) == 2
    assert fetched.path.read_bytes() == BODY
    assert place.visible() == {"thing.tar"}


def test_two_processes_fetch_once(server: Server, place: Place) -> None:
    release = threading.Event()

    def slow(handler: Handler) -> None:
        handler.start(200, {"Content-Length": len(BODY)})
        handler.wfile.write(BODY[:100_000])
        handler.wfile.flush()
        release.wait(30)
        handler.wfile.write(BODY[100_000:])

    source = source_of(server.script("/thing.tar", slow))
    first = _child(place, source)
    _await(lambda: bool(server.requests))
    second = _child(place, source)
    assert second.stderr is not None
    assert "another process is at work" in second.stderr.readline()
    release.set()
    assert first.communicate()[0].strip() == source.address
    assert second.communicate()[0].strip() == "present"
    assert len(server.requests) == 1
    assert place.final.read_bytes() == BODY


def test_back_off_grows_to_a_limit() -> None:
    policy = Policy(backoff=1, longest_wait=30)
    assert [policy.wait(idle) for idle in (0, 1, 2, 3, 10)] == [1, 1, 2, 4, 30]
    assert policy.wait(1, asked=7) == 7
    assert policy.wait(1, asked=3600) == 30


def test_no_heavy_import() -> None:
    code = (
        "import sys, replication.data.fetch, replication.data.unpack, replication.data.sources;"
        "heavy = {'torch', 'numpy', 'requests', 'tqdm', 'filelock'} & set(sys.modules);"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
