"""A disk that fills up, a process that is killed, two at once: nothing half-made stays."""

import errno
import gzip
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from replication.data import unpack as unpack_module
from replication.data.unpack import unpack
from replication.errors import ReplicationError


def test_disk_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, archives: Any) -> None:
    def full(*arguments: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(unpack_module, "_write", full)
    archives.refused(
        tmp_path, archives.packers["tar"](archives.tree), r"no room in .* to unpack `.*thing\.tar`"
    )


def test_really_full_disk(tmp_path: Path, archives: Any) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(small)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("may not mount a small file system here")
    try:
        archive = archives.put(
            tmp_path, archives.packers["tar"]({f"{i}": os.urandom(100_000) for i in range(5)})
        )
        with pytest.raises(ReplicationError, match=r"no room in .* to unpack `.*thing\.tar`"):
            unpack(archive, small / "out", progress=False)
        assert {path.name for path in small.iterdir()} == {".out.lock"}
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)


def test_killed_half_way_leaves_nothing_under_the_name(tmp_path: Path, archives: Any) -> None:
    archive = archives.put(
        tmp_path,
        gzip.compress(archives.packers["tar"]({f"{i}": bytes(500) for i in range(2000)}), 1),
    )
    code = (
        "import sys, time; from pathlib import Path; from replication.data.unpack import unpack;"
        "unpack(Path(sys.argv[1]), Path(sys.argv[2]), progress=False,"
        " wanted=lambda name: name != '50' or time.sleep(60) is None)"
    )
    repository = Path(unpack_module.__file__).parents[2]
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(archive), str(tmp_path / "out")],
        env=os.environ | {"PYTHONPATH": str(repository)},
    )
    half = tmp_path / ".out.unpacking"
    until = time.monotonic() + 120
    while len(list(half.glob("*"))) < 50:
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert not (tmp_path / "out").exists()
    unpack(archive, tmp_path / "out", progress=False)
    assert len(archives.read_tree(tmp_path / "out")) == 2000
    assert not half.exists()


def test_second_process_takes_what_the_first_unpacked(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, archives: Any
) -> None:
    import threading

    archive = archives.put(tmp_path, archives.packers["tar"](archives.tree))
    begun, release = threading.Event(), threading.Event()

    def slow(name: str) -> bool:
        begun.set()
        return release.wait(30)

    def later() -> None:
        while "another process" not in caplog.text:
            time.sleep(0.01)
        release.set()

    options: dict[str, Any] = {"progress": False}
    first = threading.Thread(
        target=unpack, args=(archive, tmp_path / "out"), kwargs=options | {"wanted": slow}
    )
    helper = threading.Thread(target=later)
    first.start()
    begun.wait(30)
    helper.start()
    assert archives.read_tree(unpack(archive, tmp_path / "out", **options)) == archives.tree
    first.join()
    helper.join()
