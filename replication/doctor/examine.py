"""The whole examination, in order; one part that fails does not stop the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from replication.doctor.finding import Finding
from replication.errors import ReplicationError

Part = tuple[str, Callable[[], Iterator[Finding]]]


def examine(root: Path, profile: str | None = None) -> list[Finding]:
    """Look at everything that a run of the pipeline under ``root`` needs.

    Args:
        root: the repository.
        profile: another than params.yaml's.

    Returns:
        Findings, in a fixed order. Settings that don't hold are one of them; what rests on them is
        then left out.
    """
    from replication.doctor import disk, engines, inputs, machine, repository, versions
    from replication.plan import load

    findings = []
    try:
        settings = load(root, profile)
        named = f"profile {settings.name}: {settings.profile.about}"
        findings.append(Finding("ok", "settings", named))
    except ReplicationError as error:
        settings = None
        findings.append(Finding("wrong", "settings", str(error)))
    parts: list[Part] = [
        ("python", partial(versions.python, root)),
        ("packages", partial(versions.packages, root)),
        ("torch", versions.torch_pair),
        ("numba", engines.numba),
        ("pydensecrf", partial(engines.pydensecrf, settings)),
        ("git", partial(repository.git, root)),
        ("dvc", partial(repository.dvc, root)),
        ("sample", partial(repository.sample, root, settings)),
    ]
    if settings is not None:
        of_settings: dict[str, Callable[..., Iterator[Finding]]] = {
            "device": machine.devices,
            "threads": machine.threads,
            "memory": machine.memory,
            "shared memory": machine.shared_memory,
            "disk": disk.room,
            "folders": disk.folders,
            "weights": inputs.weights,
            "data": inputs.data,
        }
        parts += [(name, partial(look, settings)) for name, look in of_settings.items()]
    for name, look in parts:
        try:
            findings += look()
        except Exception as error:  # a broken set-up breaks in ways that nobody foresaw
            said = f"can't be examined ({type(error).__name__}: {error})"
            findings.append(Finding("wrong", name, said, "mend that first"))
    return findings
