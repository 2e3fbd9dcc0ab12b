"""A disk that is full, fills up meanwhile, or can't be written to."""

import errno
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from replication.data import part
from replication.errors import ReplicationError

BODY = bytes(range(256)) * 1200 + b"end"  # as the server of conftest.py has it


def test_too_little_room_is_seen_before_downloading(
    server: Any, place: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(place.root)
    monkeypatch.setattr(part.shutil, "disk_usage", lambda _: usage._replace(free=1000))
    mirror = server.script("/mirror", server.whole())
    with pytest.raises(ReplicationError, match="no room in") as caught:
        place.fetch(place.source_of(server.script("/thing.tar", server.whole()), mirror))
    text = str(caught.value)
    assert "needs 307,203 bytes more and 1,000 are free" in text
    assert str(place.into) in text
    assert "data.archives.thing" in text
    assert len(server.requests) == 1, "another mirror makes no room"
    assert not place.part.exists()


def test_disk_fills_up_meanwhile(server: Any, place: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    address = server.script("/thing.tar", server.whole())
    plain = Path.open
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", lambda path, *a, **o: _full_after(plain(path, *a, **o), path))
        with pytest.raises(ReplicationError, match=r"needs 107,203 bytes more") as caught:
            place.fetch(place.source_of(address))
    assert "what is there already is kept" in str(caught.value)
    assert place.part.read_bytes() == BODY[:200_000]
    assert not place.final.exists()
    place.fetch(place.source_of(address))
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
def test_really_full_disk(server: Any, place: Any, size: int | None) -> None:
    def unsized(handler: Any) -> None:
        handler.start(200, {})
        handler.wfile.write(BODY)

    with _tiny_disk(place.into):
        with pytest.raises(ReplicationError, match=r"no room in `.*archives` for `thing\.tar`"):
            place.fetch(place.source_of(server.script("/thing.tar", unsized), size=size))
        assert not place.final.exists()


def test_unwritable_folder(place: Any) -> None:
    place.into.write_text("a file where the folder should be")
    with pytest.raises(ReplicationError, match=r"can't lock .*use a folder that can be written"):
        place.fetch(place.source_of("x"))
