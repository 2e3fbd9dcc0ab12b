"""The machine: devices, threads, memory, shared memory."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from replication.doctor.finding import Finding, gib
from replication.errors import ReplicationError
from replication.plan import Settings

_CGROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
_SHARED = Path("/dev/shm")  # noqa: S108  where torch's loader processes hand over batches
_BYTES_A_PIXEL = 16  # of a batch: three float32 channels and a label, rounded up


def devices(settings: Settings) -> Iterator[Finding]:
    """Say what params.yaml's device and precision become here."""
    import torch

    from replication.training.device import choose_device, choose_precision

    params = settings.params
    try:
        device = choose_device(params.device)
        precision = choose_precision(params.precision, device)
    except ReplicationError as error:
        yield Finding("wrong", "device", str(error))
        return
    said = f"{device}, precision {precision}"
    if device == "cuda":
        names = [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())]
        memory = torch.cuda.get_device_properties(0).total_memory
        yield Finding("ok", "device", f"{said}: {', '.join(names)}, {gib(memory)}")
    elif torch.version.cuda is None and shutil.which("nvidia-smi"):
        cure = "install torch and torchvision with CUDA from pytorch.org"
        yield Finding("note", "device", f"{said}; a GPU may be here, and torch has no CUDA", cure)
    elif params.precision == "bf16-mixed" and choose_precision("auto", device) == "32-true":
        cure = "bfloat16 is emulated on this processor, 30 times slower: `precision: auto`"
        yield Finding("note", "device", said, cure)
    elif device == "cpu" and settings.profile.data == "official":
        said += f", and profile {settings.name} is sized for a GPU"
        cure = "`replication rehearse` and `replication estimate` say how long it would take"
        yield Finding("note", "device", said, cure)
    else:
        yield Finding("ok", "device", said)


def threads(settings: Settings) -> Iterator[Finding]:
    """Compare the cores that this process may use with what settings and surroundings ask for."""
    from replication.repro import processes, usable_cores

    usable, there = usable_cores(), os.cpu_count() or 1
    said = f"{usable} of {there} cores" if usable < there else f"{usable} cores"
    at_once = processes(settings, None, usable)
    said += f", {at_once} stages at once by `replication repro`"
    limit = os.environ.get("OMP_NUM_THREADS", "")
    jobs, wanted = settings.params.jobs, settings.profile.threads
    if jobs is not None and jobs > usable:
        cure = f"set `jobs` in params.yaml to {usable} or null"
        yield Finding("note", "threads", f"{said}; `jobs` is {jobs}", cure)
    elif wanted is not None and wanted > usable:
        cure = f"set `threads` in profiles/{settings.name}.yaml to {usable}"
        yield Finding("note", "threads", f"{said}; `threads` is {wanted}", cure)
    elif wanted is None and limit.isdigit() and int(limit) < usable:
        cure = "unset it to train on all cores"
        yield Finding("note", "threads", f"{said}; OMP_NUM_THREADS is {limit}", cure)
    else:
        yield Finding("ok", "threads", said)


def memory(settings: Settings) -> Iterator[Finding]:
    """Compare memory with the largest training of the profile that was measured on a CPU."""
    from replication.repro import processes, usable_cores

    usable, why = usable_memory()
    said = f"{gib(usable)} usable{why}"
    peak, run = _largest_training(settings)
    if peak == 0:
        yield Finding("ok", "memory", f"{said}; no training of {settings.name} is measured yet")
        return
    at_once = processes(settings, None, usable_cores())
    said += f"; {run} trained in {gib(peak)}"
    if peak * at_once <= usable:
        yield Finding("ok", "memory", said)
    elif peak <= usable:
        jobs = max(1, int(usable // peak))
        cure = f"run `make repro JOBS={jobs}`"
        yield Finding("note", "memory", f"{said}, and {at_once} run at once", cure)
    else:
        cure = f"make `micro_batch` in profiles/{settings.name}.yaml smaller"
        yield Finding("wrong", "memory", said, cure)


def usable_memory() -> tuple[float, str]:
    """Return the bytes that this process may have, and in words what limits it, if anything does.

    The least of what is there, a container's limit and the process's own.
    """
    import resource

    limits = {"": float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))}
    for place in _CGROUPS:
        try:
            text = Path(place).read_text().strip()
        except OSError:
            continue
        if text.isdigit():
            limits[" (a container's limit)"] = float(text)
            break
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft != resource.RLIM_INFINITY:
        limits[" (ulimit -v)"] = float(soft)
    why = min(limits, key=lambda name: limits[name])
    return limits[why], why


def _largest_training(settings: Settings) -> tuple[float, str]:
    """Return the bytes and the run of the largest training that results tell of; 0 if none."""
    largest, name = 0.0, ""
    for path in sorted(settings.place("results").glob("*.json")):
        try:
            seeds = json.loads(path.read_text(encoding="utf-8")).get("seeds", [])
            trainings = [seed["train"] for seed in seeds]
            peaks = [float(one["peak_memory_mib"]) for one in trainings if one["device"] == "cpu"]
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            continue  # `replication stage tables` names what is wrong with it
        if peaks and max(peaks) * 2**20 > largest:
            largest, name = max(peaks) * 2**20, path.stem
    return largest, name


def shared_memory(settings: Settings) -> Iterator[Finding]:
    """Compare /dev/shm with what the loader's processes hand over; on a CPU there are none."""
    from replication.repro import usable_cores
    from replication.training.device import choose_device

    what = "shared memory"
    try:
        device = choose_device(settings.params.device)
    except ReplicationError:
        return  # named by `devices`
    if device == "cpu" or not _SHARED.is_dir():
        yield Finding("ok", what, "not needed: no loader processes on this device")
        return
    free = shutil.disk_usage(_SHARED).free
    made = [name for name in settings.experiments.all_runs if not settings.leaves_out(name)]
    batch = max(settings.plan(name).recipe.batch_size for name in made)
    workers = min(8, usable_cores())
    needed = 2 * workers * batch * settings.profile.crop**2 * _BYTES_A_PIXEL
    said = f"{gib(free)} free in {_SHARED}, {workers} loader processes hold up to {gib(needed)}"
    if free >= needed:
        yield Finding("ok", what, said)
    else:
        yield Finding("wrong", what, said, "give the container more: `docker run --shm-size=8g`")
