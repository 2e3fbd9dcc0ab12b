"""Python, packages against the lock, torch beside torchvision."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from replication.doctor import versions
from replication.doctor.finding import Finding

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(("wanted", "status"), [(">=3.11", "ok"), (">=3.99", "wrong")])
def test_python(root: Path, wanted: str, status: str, one: Any) -> None:
    (root / "pyproject.toml").write_text(f'[project]\nrequires-python = "{wanted}"\n')
    found = one(versions.python(root))
    assert found.status == status
    assert sys.version.split()[0] in found.said


def project(one: Any, root: Path, dependencies: list[str], lock: str | None) -> Finding:
    text = f"[project]\nrequires-python = '>=3.11'\ndependencies = {json.dumps(dependencies)}\n"
    (root / "pyproject.toml").write_text(text)
    if lock is not None:
        (root / "requirements.lock").write_text(lock)
    return one(versions.packages(root))


@pytest.mark.parametrize(
    ("dependencies", "lock", "status", "said"),
    [
        (["numpy>=2"], f"numpy=={np.__version__} \\\n    --hash=sha256:00\n", "ok", "all 1 as in"),
        (["numpy>=99"], "", "wrong", "numpy is .*, needed >=99"),
        (["not-there>=1"], "", "wrong", "not-there is missing"),
        (["numpy>=2"], "numpy==1.0.0 \\\n", "note", r"numpy .* \(lock: 1\.0\.0\)"),
        (["numpy>=2"], "not-there==1.0 \\\n", "note", "not here: not-there"),
        (["numpy>=2"], "not-there==1.0 ; sys_platform == 'beos' \\\n", "ok", "all 0"),
        (["numpy>=2"], None, "note", "does not exist: versions are not compared"),
    ],
)
def test_packages(
    root: Path, *, dependencies: list[str], lock: str | None, status: str, said: str, one: Any
) -> None:
    found = project(one, root, dependencies, lock)
    assert found.status == status
    assert re.search(said, found.said)
    assert bool(found.cure) == (status != "ok" and lock is not None)


def test_the_lock_is_read_as_uv_wrote_it() -> None:
    text = (ROOT / "requirements.lock").read_text()
    found = list(versions.locked(text))
    plain = re.findall(r"^([\w.-]+)==(\S+) \\$", text, re.M)  # those without markers
    assert set(plain) <= set(found)
    assert len(found) <= len(re.findall(r"^\S+==", text, re.M))
    assert dict(found)["torch"] == re.search(r"^torch==(\S+)", text, re.M)[1]  # type: ignore[index]


@pytest.mark.parametrize(
    ("torch_version", "vision_version", "status", "said"),
    [
        (None, "0.26.0", "wrong", "torch is not installed"),
        ("2.11.0+cpu", "0.26.0+cu128", "wrong", "built for different devices"),
        ("2.10.0", "0.26.0", "wrong", "which needs torch ==2.11.0"),
        ("2.11.0+cpu", "0.26.0+cpu", "ok", "from one place"),
    ],
)
def test_torch_and_torchvision_must_be_a_pair(
    monkeypatch: pytest.MonkeyPatch,
    *,
    torch_version: str | None,
    vision_version: str,
    status: str,
    said: str,
    one: Any,
) -> None:
    monkeypatch.setattr(
        versions, "version", {"torch": torch_version, "torchvision": vision_version}.get
    )
    monkeypatch.setattr(versions.metadata, "requires", lambda _: ["numpy", "torch==2.11.0"])
    found = one(versions.torch_pair())
    assert (found.status, said in found.said) == (status, True)
    assert ("at once" in found.cure) == (status == "wrong" and torch_version is not None)
