"""A server on this machine that breaks in every way that servers do, and a place to fetch into."""

import hashlib
import http.server
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from replication.data.fetch import Fetched, Policy, fetch
from replication.data.sources import Source

BODY = bytes(range(256)) * 1200 + b"end"  # 307,203 bytes: several chunks of 64 KiB
QUICK = Policy(connect=2, read=0.4, patience=3, backoff=0.01, redirects=4)


class Request(NamedTuple):
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

    @staticmethod
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

    @staticmethod
    def status(code: int, body: bytes = b"no", **headers: object) -> Reply:
        """Answer with a status and a short text."""

        def reply(handler: Handler) -> None:
            handler.start(code, {"Content-Length": len(body), **headers})
            handler.wfile.write(body)

        return reply

    @property
    def ranges(self) -> list[str | None]:
        """The Range header of each request, in order."""
        return [request.range for request in self.requests]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """The server, running; it answers nothing yet."""
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
    policy: Policy = QUICK
    into: Path = field(init=False)

    def __post_init__(self) -> None:
        self.into = self.root / "archives"

    def fetch(self, source: Source, **options: Any) -> Fetched:
        options = {"root": self.root, "progress": False, "policy": self.policy} | options
        return fetch(source, self.into, **options)

    @staticmethod
    def source_of(*addresses: str, body: bytes = BODY, **changes: Any) -> Source:
        """Describe ``body`` as an archive that lies at the addresses."""
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
    """A place with nothing in it."""
    return Place(tmp_path)
