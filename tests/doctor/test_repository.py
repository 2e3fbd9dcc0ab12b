"""Disk, git, DVC and the embedded sample: what the repository lies on and is made of."""

import hashlib
import json
import os
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from replication.doctor import disk, repository
from replication.plan import load

ROOT = Path(__file__).resolve().parents[2]


def test_the_need_is_above_what_the_archives_and_the_demo_take(root: Path) -> None:
    listed = 0
    for path in (ROOT / "dvc.lock", *ROOT.glob("pipelines/*/dvc.lock")):
        for stage in yaml.load(path.read_text(), yaml.CSafeLoader)["stages"].values():
            outs = [out for out in stage.get("outs", []) if "/demo" in out["path"]]
            listed += sum(out.get("size", 0) for out in outs)
    assert listed < disk.needed_bytes(load(root)) < 6 * listed
    from replication.data.sources import SOURCES

    archives = sum(source.size or 0 for source in SOURCES.values())
    assert archives > 3 * 10**9
    assert 3 * archives < disk.needed_bytes(load(root, "paper")) < 10**12


def test_room_counts_what_is_made_already(
    root: Path, monkeypatch: pytest.MonkeyPatch, one: Any
) -> None:
    settings = load(root)
    needed = disk.needed_bytes(settings)
    monkeypatch.setattr(
        disk.shutil, "disk_usage", lambda _: SimpleNamespace(free=int(needed / 2), total=0, used=0)
    )
    found = one(disk.room(settings))
    assert (found.status, found.cure.startswith("make room")) == ("wrong", True)
    place = settings.place("scores")
    place.mkdir(parents=True)
    with (place / "all").open("wb") as stream:
        stream.truncate(int(needed / 3))
    assert one(disk.room(settings)).status == "ok"


def test_folders_that_cannot_be_written_to_are_named(root: Path, one: Any) -> None:
    assert one(disk.folders(load(root))).status == "ok"
    (root / "scores").mkdir()
    (root / "scores" / "demo").write_text("a file")
    found = one(disk.folders(load(root)))
    assert found.status == "wrong"
    assert str(root / "scores" / "demo") in found.said


def test_git(root: Path, monkeypatch: pytest.MonkeyPatch, one: Any) -> None:
    outside = one(repository.git(root))
    assert (outside.status, "not a git repository" in outside.said) == ("wrong", True)
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    for commit, status in (("a" * 40, "ok"), ("a" * 40 + "+changes", "note"), (None, "note")):
        monkeypatch.setattr(repository, "git_commit", lambda commit=commit: commit)
        assert one(repository.git(root)).status == status
    monkeypatch.setenv("PATH", str(root))
    assert one(repository.git(root)).cure == "install git"


def test_dvc(root: Path, one: Any) -> None:
    assert one(repository.dvc(root)).cure == "restore it with `git checkout .dvc`"
    (root / ".dvc" / "tmp").mkdir(parents=True)
    (root / ".dvc" / "config").write_text("")
    assert one(repository.dvc(root)).status == "ok"
    lock = root / ".dvc" / "tmp" / "rwlock"
    gone = subprocess.Popen(["true"])
    gone.wait()
    for pid, status in ((os.getpid(), "note"), (gone.pid, "ok")):
        holder = {"pid": pid, "cmd": "dvc repro"}
        for held in ({"write": {"a": holder}}, {"read": {"a": [holder]}}):
            lock.write_text(json.dumps(held))
            assert one(repository.dvc(root)).status == status
    for broken in ("", '{"write"', "[]", '{"write": {"a": {"cmd": 1}}}'):
        lock.write_text(broken)
        found = one(repository.dvc(root))
        assert (found.status, found.cure) == ("wrong", "delete it while no DVC runs")


def test_the_sample(root: Path, one: Any) -> None:
    missing = one(repository.sample(root, load(root)))
    assert (missing.status, "`dvc pull data.dvc`" in missing.cure) == ("wrong", True)
    assert one(repository.sample(root, load(root, "paper"))).status == "note"
    folder = root / "data" / "sample" / "archives"
    folder.mkdir(parents=True)
    (folder / "a.tar").write_bytes(b"abc")
    digest = hashlib.sha256(b"abc").hexdigest()
    listed = {"a.tar": {"sha256": digest, "size": 3}}
    (folder / "checksums.json").write_text(json.dumps(listed))
    assert one(repository.sample(root, load(root))).status == "ok"
    (folder / "a.tar").write_bytes(b"abd")
    assert "missing or damaged (a.tar)" in one(repository.sample(root, None)).said
    (folder / "checksums.json").write_text("[1]")
    assert "is broken" in one(repository.sample(root, None)).said
