"""Class scores of a trained network for every image of a split, kept at output stride 8."""

import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor
from tqdm import tqdm

from replication.data.canonical import DataSet
from replication.data.labels import read_image
from replication.errors import ReplicationError
from replication.inference.fit import Fit, Scorer, fit_and_score, padded
from replication.inference.resume import begin, finish
from replication.inference.store import write_scores
from replication.models.deeplab import DeepLab
from replication.plan import Plan, evaluated_ids
from replication.provenance import peak_memory_mib, sha256_file
from replication.training.device import choose_device, choose_precision, use_threads


def padded_input(path: Path, size: int) -> Float[Tensor, "3 S S"]:
    """Read an image, subtract the mean, pad to ``size`` at the bottom and right with the mean.

    Raises:
        ReplicationError: the image is larger than ``size``.
    """
    image = read_image(path)
    height, width = image.shape[:2]
    _check_size(path, width, height, size)
    return padded(image, size, size)


def _check_size(path: Path, width: int, height: int, size: int) -> None:
    if max(width, height) > size:
        raise ReplicationError(
            f"{path} is {width} x {height}, larger than the profile's `test_size` {size}; raise "
            "`test_size` (8 k + 1) or shrink the image"
        )


def _check_sizes(paths: list[Path], size: int) -> None:
    """Refuse a too large image before the first is scored; reads headers only."""
    for path in paths:
        try:
            with Image.open(path) as image:
                _check_size(path, *image.size, size)
        except OSError:
            continue  # `read_image` names what is wrong with it


def load_trained(plan: Plan, num_classes: int, weights: Path) -> DeepLab:
    """Build a run's network and load the weights that it was trained to.

    Raises:
        ReplicationError: the file is missing, damaged, or of another network.
    """
    model = DeepLab(plan, num_classes)
    try:
        model.load_state_dict(load_file(weights))
    except FileNotFoundError:
        raise ReplicationError(f"{weights} does not exist; train run {plan.run!r} first") from None
    except Exception as error:  # safetensors and torch raise types of their own
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ReplicationError(
            f"{weights} does not fit run {plan.run!r} ({reason}); train it again"
        ) from None
    return model.eval()


# An image's name, its scores (C, h, w), and the seconds that the network took for it.
_Scored = Iterator[tuple[str, Float32[np.ndarray, "C h w"], float]]


def _by_batches(
    model: DeepLab,
    plan: Plan,
    paths: dict[str, Path],
    device: str,
    precision: str,
    *,
    done: Collection[str],
) -> _Scored:
    names, size, batch = list(paths), plan.profile.test_size, plan.profile.score_batch
    for first in range(0, len(names), batch):
        some = names[first : first + batch]
        if done and all(name in done for name in some):
            continue  # a whole batch or none: a smaller one may round differently
        images = torch.stack([padded_input(paths[name], size) for name in some]).to(
            device, memory_format=torch.channels_last
        )  # (B, 3, S, S)
        before = time.perf_counter()
        with (
            torch.inference_mode(),
            torch.autocast(device, torch.bfloat16, enabled=precision == "bf16-mixed"),
        ):
            scores = model(images).float().cpu().numpy()  # (B, C, s, s), s = (S - 1) / 8 + 1
        seconds = (time.perf_counter() - before) / len(some)
        for name, one in zip(some, scores, strict=True):
            yield name, one, seconds


def _by_tiles(
    model: DeepLab,
    plan: Plan,
    paths: dict[str, Path],
    device: str,
    precision: str,
    *,
    done: Collection[str],
) -> _Scored:
    scorer = Scorer(model, device, precision)
    fit = Fit("tile", plan.profile.test_size, _overlap(plan))
    for name, path in paths.items():
        if name in done:
            continue
        image = read_image(path)
        before = time.perf_counter()
        scores = fit_and_score(scorer, image, fit).scores
        yield name, scores, time.perf_counter() - before


def _overlap(plan: Plan) -> int:
    """A third of a tile, as `replication predict` has it; the paper does not give its own."""
    return plan.profile.test_size // 3


def score(
    plan: Plan,
    dataset: DataSet,
    weights: Path,
    out: Path,
    *,
    device: str = "auto",
    precision: str = "auto",
) -> dict[str, Any]:
    """Write scores (C, h, w) float16 of every evaluated image to ``out/ID.npz``; return a record.

    Images are padded to the profile's test size with the mean at the bottom and right; those of
    Cityscapes are cut into overlapping tiles of that size, whose scores are blended. The scores
    are those before softmax, for a run of several scales the maximum over them;
    `replication.inference.enlarge` brings them to the image's size.

    Interrupted, the same call goes on (`replication.inference.resume`); ``seconds`` and
    ``network_images_per_second`` are then of what the last call did.
    """
    device = choose_device(device)
    precision = choose_precision(precision, device)
    use_threads(plan.profile.threads)
    ids = evaluated_ids(plan.profile, dataset)
    model = load_trained(plan, dataset.num_classes, weights)
    model = model.to(device)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    paths = {name: dataset.image_path(name) for name in ids}
    if not plan.tiled:
        _check_sizes(list(paths.values()), plan.profile.test_size)
    weights_sha256 = sha256_file(weights)
    done = begin(
        out,
        ids,
        weights=weights_sha256,
        data=sha256_file(dataset.root / "meta.json"),
        configuration=plan.configuration(),
        test_size=plan.profile.test_size,
        batch=plan.profile.score_batch,
        device=device,
        precision=precision,
    )
    started = time.perf_counter()
    network_seconds, count = 0.0, 0
    by = _by_tiles if plan.tiled else _by_batches
    scored = by(model, plan, paths, device, precision, done=done)
    with tqdm(
        total=len(ids), initial=len(done), desc=f"score {plan.run}", unit="image", disable=None
    ) as bar:
        for name, one, seconds in scored:
            write_scores(out / f"{name}.npz", one)
            network_seconds += seconds
            count += 1
            bar.update(name not in done)
    record = {
        "images": len(ids),
        "split": "val",
        "test_size": plan.profile.test_size,
        "tile_overlap": _overlap(plan) if plan.tiled else None,
        "scales": model.scales,
        "weights_sha256": weights_sha256,
        "seconds": round(time.perf_counter() - started, 3),
        "network_images_per_second": round(count / network_seconds, 3),
        "peak_memory_mib": round(
            torch.cuda.max_memory_allocated() / 2**20 if device == "cuda" else peak_memory_mib(), 1
        ),
        "device": torch.cuda.get_device_name() if device == "cuda" else device,
        "precision": precision,
    }
    finish(out, record)
    return record
