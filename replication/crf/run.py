"""The stage `refine`: score maps and photographs in, labels after the CRF out.

One path serves the pipeline and `replication crf refine`.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8

from replication.atomic import atomic_path, write_json
from replication.crf import ledger
from replication.crf.engine import DEFAULT, engine_version
from replication.crf.labelling import find_mode, prepare, refine_many
from replication.crf.lattice import Mode
from replication.crf.parameters import CrfParameters
from replication.data.canonical import DataSet
from replication.data.labels import read_image, write_label
from replication.errors import ReplicationError
from replication.evaluation.parallel import over_images, processes
from replication.inference.enlarge import enlarge
from replication.inference.store import read_scores, score_path
from replication.provenance import environment, peak_memory_mib, sha256_file

RECORD = "refine.json"
_FEW = 4  # images that a process must have to be worth starting


@dataclass(frozen=True)
class Item:
    """One image: its id, photograph and score file; its true label where a search needs it."""

    id: str
    image: Path
    scores: Path
    label: Path | None = None

    def absolute(self) -> "Item":
        """Return the item as a process in another folder finds it."""
        label = None if self.label is None else self.label.absolute()
        return Item(self.id, self.image.absolute(), self.scores.absolute(), label)


@dataclass(frozen=True)
class Setting:
    """What decides the labels beside the files: all of it goes into the fingerprint."""

    parameters: CrfParameters
    stride: int
    num_classes: int | None
    engine: str = DEFAULT
    mode: Mode = "exact"

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data, with the version of the engine."""
        return {
            "engine": self.engine,
            "engine_version": engine_version(self.engine),
            "mode": self.mode,
            "parameters": self.parameters.model_dump(),
            "stride": self.stride,
        }


def read_item(
    item: Item, stride: int, num_classes: int | None
) -> tuple[UInt8[np.ndarray, "H W 3"], Float32[np.ndarray, "C H W"]]:
    """Return an item's image and its scores at image size.

    Raises:
        ReplicationError: a file is missing or broken, or its size or channels do not fit.
    """
    image = read_image(item.image)  # (H, W, 3)
    small = read_scores(item.scores, num_classes)  # (C, h, w)
    return image, enlarge(small, stride, (image.shape[0], image.shape[1]), name=str(item.scores))


def _write_probabilities(path: Path, beliefs: Float32[np.ndarray, "C H W"]) -> None:
    with atomic_path(path) as part, part.open("wb") as stream:
        np.savez(stream, probabilities=beliefs.astype(np.float16))


@dataclass(frozen=True)
class _Target:
    """What is written of one image; ``probabilities`` is None where only labels are wanted."""

    png: Path
    palette: UInt8[np.ndarray, "256 3"] | None
    probabilities: Path | None

    def absolute(self) -> "_Target":
        """Return it as a process in another folder writes it, links (to DVC's cache) unfollowed."""
        probabilities = None if self.probabilities is None else self.probabilities.absolute()
        return _Target(self.png.absolute(), self.palette, probabilities)


_Task = tuple[Item, Setting, str, _Target]


def _refine_one(
    item: Item, setting: Setting, inputs: str, target: _Target
) -> tuple[ledger.Entry, float]:
    """Refine one image; return its ledger entry and this process's peak memory, MiB."""
    image, scores = read_item(item, setting.stride, setting.num_classes)
    start = time.perf_counter()
    try:
        (refined,) = refine_many(
            scores,
            image,
            [setting.parameters],
            setting.engine,
            setting.mode,
            beliefs=target.probabilities is not None,
        )
    except ReplicationError as error:
        raise ReplicationError(f"{item.scores}: {error}") from None
    seconds = time.perf_counter() - start
    if target.probabilities is not None:
        assert refined.beliefs is not None
        _write_probabilities(target.probabilities, refined.beliefs)
    write_label(target.png, refined.labels, target.palette)
    entry = ledger.Entry(
        id=item.id, inputs=inputs, output=sha256_file(target.png), seconds=round(seconds, 4)
    )
    if target.probabilities is not None:
        entry["probabilities"] = sha256_file(target.probabilities)
    return entry, peak_memory_mib()


def _refuse_strangers(out_dir: Path, items: Sequence[Item]) -> None:
    known = {item.id for item in items}
    strange = sorted(
        p.name for p in out_dir.glob("*.png") if p.stem not in known and not p.name.startswith(".")
    )
    if strange:
        raise ReplicationError(
            f"{out_dir / strange[0]}: belongs to no image of this list ({len(strange)} such "
            "files): move them away, or refine into another folder"
        )


def _refine_all(
    tasks: list[_Task], jobs: int | None, cluster: str | None
) -> Iterator[tuple[ledger.Entry, float]]:
    """Refine here or on a cluster; yield an image's entry when its files can be read here."""
    if cluster is None:
        if processes(jobs, len(tasks), _FEW) > 1:
            _, setting, *_ = tasks[0]
            prepare(setting.engine, setting.mode)
        yield from over_images(_refine_one, tasks, "refine", jobs, _FEW)
        return
    sent = [
        (item.absolute(), setting, inputs, to.absolute()) for item, setting, inputs, to in tasks
    ]
    targets = {item.id: target for item, _, _, target in sent}
    for entry, memory in over_images(_refine_one, sent, "refine", cluster=cluster):
        target = targets[entry["id"]]
        if not ledger.is_done(entry, entry["inputs"], target.png, target.probabilities):
            raise ReplicationError(
                f"{target.png}: a Dask worker has written it, and here it is missing or another: "
                "give the workers this folder at the same path, on a file system that all share"
            )
        yield entry, memory


def refine_images(
    items: Sequence[Item],
    out_dir: Path,
    setting: Setting,
    palette: UInt8[np.ndarray, "256 3"] | None = None,
    jobs: int | None = None,
    *,
    save_probabilities: bool = False,
    cluster: str | None = None,
) -> dict[str, Any]:
    """Refine images into ``out_dir/ID.png`` (palette PNG) and write ``refine.json`` last.

    Images that an earlier, interrupted call refined from the same scores, image and setting are
    kept (see `replication.crf.ledger`). While ``refine.json`` is there, the folder is whole.

    Args:
        items: images with different ids.
        out_dir: made if it does not exist.
        setting: parameters, output stride, number of classes, engine, mode.
        palette: uint8 (256, 3) RGB of the PNGs; None takes VOC's.
        jobs: processes; None takes all usable cores.
        save_probabilities: also write Q as ``out_dir/ID.npz``, key ``probabilities``, float16
            (C, H, W); in mode ``exact`` only.
        cluster: address of a Dask scheduler whose workers refine and write, at the same paths; None
            stays here.

    Returns:
        The record, as in ``refine.json``: ``engine``, ``engine_version``, ``mode``,
        ``parameters``, ``stride``, ``images``, ``resumed`` (images kept from earlier calls),
        ``seconds`` (wall clock of this call), ``seconds_per_image`` (mean of the CRF alone, all
        images), ``peak_memory_mib`` (the largest process, a worker's since its start; None if
        nothing was left to do),
        ``labels_sha256`` (over all PNGs), ``environment``.

    Raises:
        ReplicationError: a file is missing or broken, or its size or classes do not fit; the engine
            is not installed; ``out_dir`` holds labels of other images; the cluster is not there, or
            its workers write elsewhere. What is written stays.
    """
    start = time.perf_counter()
    find_mode(setting.mode, setting.engine)
    if save_probabilities and setting.mode == "fast":
        raise ReplicationError(
            "mode `fast` gives labels and no probabilities: use mode `exact` to save them"
        )
    if not items:
        raise ReplicationError(f"{out_dir}: there is no image to refine; give at least one id")
    out_dir.mkdir(parents=True, exist_ok=True)
    _refuse_strangers(out_dir, items)
    plain = setting.as_dict()
    earlier = ledger.read(out_dir)
    done: dict[str, ledger.Entry] = {}
    tasks = []
    for item in items:
        target = _Target(
            png=out_dir / f"{item.id}.png",
            palette=palette,
            probabilities=out_dir / f"{item.id}.npz" if save_probabilities else None,
        )
        for path in (item.image, item.scores):
            if not path.is_file():
                raise ReplicationError(f"{path}: there is no such file; it belongs to {item.id!r}")
        inputs = ledger.fingerprint(plain, item.image, item.scores)
        entry = earlier.get(item.id)
        if entry is not None and ledger.is_done(entry, inputs, target.png, target.probabilities):
            done[item.id] = entry
        else:
            if entry is not None and "probabilities" in entry and not save_probabilities:
                (out_dir / f"{item.id}.npz").unlink(missing_ok=True)  # they are of other labels
            tasks.append((item, setting, inputs, target))
    resumed = len(done)
    record_path = out_dir / RECORD
    if tasks:
        record_path.unlink(missing_ok=True)  # the folder is not whole until the end
        # A new file: DVC may have linked the old one to its cache, which must not grow.
        ledger.rewrite(out_dir, list(done.values()))
    peak: float | None = None
    for entry, memory in _refine_all(tasks, jobs, cluster):
        ledger.append(out_dir, entry)
        done[entry["id"]] = entry
        peak = max(memory, peak or 0.0)
    entries = [done[item.id] for item in items]
    ledger.rewrite(out_dir, entries)
    labels = [(entry["id"], entry["output"]) for entry in entries]
    record = {
        **plain,
        "images": len(items),
        "resumed": resumed,
        "seconds": round(time.perf_counter() - start, 3),
        "seconds_per_image": round(sum(e["seconds"] for e in entries) / len(entries), 4),
        "peak_memory_mib": None if peak is None else round(peak, 1),
        "labels_sha256": ledger.fingerprint({"labels": sorted(labels)}),
        "environment": environment(),
    }
    write_json(record_path, record)
    return record


def refine_seed(
    dataset: DataSet,
    split: str,
    scores_dir: Path,
    out_dir: Path,
    parameters: CrfParameters,
    *,
    stride: int,
    ids: Sequence[str] | None = None,
    jobs: int | None = None,
    engine: str = DEFAULT,
    cluster: str | None = None,
) -> dict[str, Any]:
    """Refine a seed's scores over a split of a canonical data set; see `refine_images`.

    Args:
        split: the split's name, such as ``val``.
        scores_dir: holds ``ID.npz``.
        ids: the part of the split that was scored; None is all of it.
        dataset, out_dir, parameters, stride, jobs, engine, cluster: as `refine_images` and
            `Setting`.
    """
    wanted = dataset.ids(split) if ids is None else ids
    items = [Item(name, dataset.image_path(name), score_path(scores_dir, name)) for name in wanted]
    setting = Setting(parameters, stride, dataset.num_classes, engine)
    return refine_images(items, out_dir, setting, dataset.palette, jobs, cluster=cluster)
