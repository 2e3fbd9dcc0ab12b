"""Python and its packages: those that the project was tried with."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from replication.doctor.finding import Finding

SETUP = "run `make setup`"
_NAMED = 4


def python(root: Path) -> Iterator[Finding]:
    """Compare Python's version with what pyproject.toml asks for."""
    from packaging.specifiers import SpecifierSet

    found, said = sys.version.split()[0], f"{sys.version.split()[0]} at {sys.executable}"
    wanted = str(_project(root).get("requires-python", ""))
    if SpecifierSet(wanted).contains(found, prereleases=True):
        yield Finding("ok", "python", said)
    else:
        cure = "run `rm -rf .venv; make setup PYTHON=/path/to/python3.12`"
        yield Finding("wrong", "python", f"{said}, and the project needs {wanted}", cure)


def packages(root: Path) -> Iterator[Finding]:
    """Compare what is installed with pyproject.toml (must hold) and requirements.lock (should)."""
    from packaging.requirements import Requirement

    broken, direct = [], set()
    for text in _project(root).get("dependencies", []):
        wanted = Requirement(text)
        direct.add(_plain(wanted.name))
        found = version(wanted.name)
        if found is None:
            broken.append(f"{wanted.name} is missing")
        elif not wanted.specifier.contains(found, prereleases=True):
            broken.append(f"{wanted.name} is {found}, needed {wanted.specifier}")
    if broken:
        yield Finding("wrong", "packages", _few(broken), SETUP)
        return
    lock = root / "requirements.lock"
    if not lock.is_file():
        yield Finding("note", "packages", f"{lock} does not exist: versions are not compared")
        return
    pinned = dict(locked(lock.read_text(encoding="utf-8")))
    there = {name: found for name in pinned if (found := version(name)) is not None}
    # A version's local part (+cpu, +cu128) is where it was built.
    other = [
        f"{name} {found} (lock: {pinned[name]})"
        for name, found in there.items()
        if found.split("+")[0] != pinned[name]
    ]
    if other:
        said = f"{len(other)} of other versions than requirements.lock: {_few(other)}"
        cure = f"numbers may differ in their last digits; {SETUP}"
        yield Finding("note", "packages", said, cure)
    elif missing := pinned.keys() - there.keys():
        said = f"{len(there)} as in requirements.lock; not here: {_few(sorted(missing))}"
        yield Finding("note", "packages", said, f"tests may need them: {SETUP}")
    else:
        yield Finding("ok", "packages", f"all {len(there)} as in requirements.lock")


def torch_pair() -> Iterator[Finding]:
    """See whether torch and torchvision fit: of one release, one builder and one folder."""
    from packaging.requirements import Requirement

    versions = {name: version(name) for name in ("torch", "torchvision")}
    torch, vision = versions.values()
    if torch is None or vision is None:
        missing = " and ".join(name for name, found in versions.items() if found is None)
        yield Finding("wrong", "torch", f"{missing} is not installed", SETUP)
        return
    said = f"torch {torch}, torchvision {vision}"
    cure = "install both from one place, at once: `pip install torch torchvision`"
    asked = (Requirement(text) for text in metadata.requires("torchvision") or [])
    wanted = next((one.specifier for one in asked if one.name == "torch"), None)
    homes = {_home(name) for name in versions}
    if wanted is not None and not wanted.contains(torch.split("+")[0], prereleases=True):
        yield Finding("wrong", "torch", f"{said}, which needs torch {wanted}", cure)
    elif torch.partition("+")[2] != vision.partition("+")[2]:
        yield Finding("wrong", "torch", f"{said}: built for different devices", cure)
    elif len(homes) > 1:
        yield Finding("wrong", "torch", f"{said} lie in {' and '.join(sorted(homes))}", cure)
    else:
        try:
            import torchvision.ops

            torchvision.ops.nms  # noqa: B018  its compiled part is loaded with the module
        except (ImportError, RuntimeError, OSError) as error:
            yield Finding("wrong", "torch", f"{said} can't be loaded ({error})", cure)
            return
        yield Finding("ok", "torch", f"{said}, from one place")


def locked(text: str) -> Iterator[tuple[str, str]]:
    """Yield (name, version) of a lock file's lines whose markers hold here."""
    from packaging.requirements import InvalidRequirement, Requirement

    for line in text.splitlines():
        if line[:1].isspace() or "==" not in line:
            continue
        try:
            wanted = Requirement(line.removesuffix("\\").strip())
        except InvalidRequirement:
            continue
        if wanted.marker is None or wanted.marker.evaluate():
            yield wanted.name, str(wanted.specifier).removeprefix("==")


def version(name: str) -> str | None:
    """Return an installed package's version, or None."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _project(root: Path) -> dict[str, Any]:
    """Return pyproject.toml's project table; the package's own root where ``root`` has none."""
    for folder in (root, Path(__file__).resolve().parents[2]):
        path = folder / "pyproject.toml"
        if path.is_file():
            return dict(tomllib.loads(path.read_text(encoding="utf-8")).get("project", {}))
    return {}


def _home(name: str) -> str:
    return str(Path(str(metadata.distribution(name).locate_file(""))).resolve())


def _plain(name: str) -> str:
    return name.lower().replace("_", "-")


def _few(texts: list[str]) -> str:
    rest = len(texts) - _NAMED
    return ", ".join(texts[:_NAMED]) + (f" and {rest} more" if rest > 0 else "")
