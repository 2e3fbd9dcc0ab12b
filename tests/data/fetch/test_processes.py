"""Fetching in processes that are killed, or that want the same archive at once."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from replication.data import fetch as fetch_module
from replication.data.sources import Source

BODY = bytes(range(256)) * 1200 + b"end"  # as the server of conftest.py has it
# The stage `fetch` of one archive, by the command line, which heeds SIGINT whoever started it.
CHILD = """
import signal, sys
from pathlib import Path
from tests_source import source
from replication import cli, stages
from replication.data.fetch import Policy, fetch
signal.signal(signal.SIGINT, signal.default_int_handler)
root = Path(sys.argv[1])
def one(_):
    policy = Policy(read=20)
    print(fetch(source, root / "archives", root=root, progress=False, policy=policy).origin)
stages.imagenet = one
sys.argv = ["replication", "stage", "imagenet", "--root", sys.argv[2]]
cli.main()
"""


def _child(place: Any, source: Source) -> "subprocess.Popen[str]":
    """Fetch in another process, as another stage of the pipeline would."""
    (place.root / "tests_source.py").write_text(
        f"from replication.data.sources import Source\nsource = {source!r}\n"
    )
    repository = Path(fetch_module.__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": f"{place.root}{os.pathsep}{repository}"}
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(place.root), str(repository)],
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


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (signal.SIGKILL, ""),
        (signal.SIGTERM, "terminated; run the same command again to go on"),
        (signal.SIGINT, "interrupted; run the same command again to go on"),
    ],
)
def test_killed_download_is_resumed(
    server: Any, place: Any, kind: signal.Signals, said: str
) -> None:
    source = place.source_of(
        server.script("/thing.tar", server.whole(stop=196_608, pause=30), server.whole())
    )
    child = _child(place, source)
    _await(lambda: place.part.exists() and place.part.stat().st_size >= 196_608)
    child.send_signal(kind)
    last = child.communicate()[1].strip().splitlines()[-1:]
    assert child.returncode == (-kind if kind == signal.SIGKILL else 128 + kind)
    assert last == [said] * bool(said)
    assert not place.final.exists()
    fetched = place.fetch(source)
    assert server.requests[-1] == ("/thing.tar", "bytes=196608-", '"one"')
    assert len(server.requests) == 2
    assert fetched.path.read_bytes() == BODY
    assert place.visible() == {"thing.tar"}


def test_two_processes_fetch_once(server: Any, place: Any) -> None:
    release = threading.Event()

    def slow(handler: Any) -> None:
        handler.start(200, {"Content-Length": len(BODY)})
        handler.wfile.write(BODY[:100_000])
        handler.wfile.flush()
        release.wait(30)
        handler.wfile.write(BODY[100_000:])

    source = place.source_of(server.script("/thing.tar", slow))
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
