"""Files that are whole or absent: what a killed process leaves, and how long a name may be."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from replication.atomic import alive, atomic_path, put_folder, scratch_beside, write_text

# Begins to write a file, and waits to be killed.
WRITER = """
import sys, time
from pathlib import Path
from replication.atomic import atomic_path
with atomic_path(Path(sys.argv[1])) as part:
    part.write_text("half")
    print(part, flush=True)
    time.sleep(600)
"""


def begun(path: Path) -> "tuple[subprocess.Popen[str], Path]":
    """Start a process that is writing ``path``; return it and its temporary file."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_what_killed_processes_were_writing_goes(tmp_path: Path) -> None:
    living, half = begun(tmp_path / "a.json")
    killed, left = begun(tmp_path / "b.json")
    try:
        killed.send_signal(signal.SIGKILL)
        killed.communicate()
        assert {half, left} == set(tmp_path.iterdir())
        code = (
            "import sys; from replication.atomic import write_text\nwrite_text(sys.argv[1], 'new')"
        )
        subprocess.run([sys.executable, "-c", code, str(tmp_path / "c.json")], check=True)
        assert set(tmp_path.iterdir()) == {half, tmp_path / "c.json"}
        assert alive(living.pid)
    finally:
        living.kill()
        living.communicate()
    assert not alive(killed.pid)


def test_dvc_and_git_see_no_temporary_file(tmp_path: Path) -> None:
    from pathspec import GitIgnoreSpec

    with atomic_path(tmp_path / "last.ckpt") as part:
        part.write_text("half")
        name = part.name
    root = Path(__file__).resolve().parents[2]
    for rules in (".dvcignore", ".gitignore"):
        ignored = GitIgnoreSpec.from_lines((root / rules).read_text().splitlines())
        assert ignored.match_file(f"results/demo/{name}")
        assert ignored.match_file("searches/demo/.vgg_aspp.json.lock")
        assert not ignored.match_file("results/demo/aspp_l.json")


@pytest.mark.parametrize("name", ["a" * 250, "é" * 120, "図" * 80, "no suffix", "a.b.c.json"])
def test_names_as_long_as_a_disk_takes(tmp_path: Path, name: str) -> None:
    write_text(tmp_path / name, "whole")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_folder_takes_anothers_place_whole(tmp_path: Path) -> None:
    final = tmp_path / "report"
    (tmp_path / ".report.building-99999999").mkdir()  # beyond the largest process id
    for content in ("old", "new"):
        with scratch_beside(final) as scratch:
            write_text(scratch / "new" / content, content)
            put_folder(scratch / "new", final, scratch)
    assert [path.name for path in final.iterdir()] == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["report"]
