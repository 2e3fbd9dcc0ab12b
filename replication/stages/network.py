"""The network's stages: `train` and `score`."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from replication.atomic import write_json
from replication.errors import ReplicationError
from replication.plan import Plan, Settings
from replication.provenance import read_record, sha256_file
from replication.settings import IMAGENET
from replication.stages.data import open_dataset
from replication.stages.left_out import left_out
from replication.stages.seeds import forget_other_seeds

if TYPE_CHECKING:
    from replication.models.deeplab import InitialWeights


def imagenet(settings: Settings) -> None:
    """Note which ImageNet weights the runs start from -> runs/PROFILE/imagenet/.

    Runs depend on this note, so that they are trained again where a file of weights is another.
    """
    given, profile = settings.params.data, settings.profile
    places = {
        "vgg16": given.backbone or profile.backbone,
        "resnet101": given.resnet_backbone or profile.resnet_backbone,
    }
    note: dict[str, dict[str, str | None]] = {}
    for backbone, place in places.items():
        path = settings.root / place
        note[backbone] = {
            "place": place,
            "sha256": sha256_file(path) if path.is_file() else None,
        }
    write_json(settings.place("runs", IMAGENET) / "weights.json", note)


def train(settings: Settings, run: str) -> None:
    """Train ``run`` once for each seed: datasets/ -> runs/.

    One training of a run at a time: of several processes the first one holds its lock.
    """
    from replication.data.locks import alone
    from replication.training.processes import is_first
    from replication.training.run import train as train_one

    if left_out(settings.leaves_out(run), settings.place("runs", run)):
        return
    plan, dataset = settings.plan(run), open_dataset(settings, run)
    for seed in settings.seeds(run):
        checkpoints = settings.place("checkpoints", run, seed)
        what = f"train run {run!r}, seed {seed}"
        with alone(checkpoints, what) if is_first() else nullcontext():
            train_one(
                plan,
                dataset,
                _initial_weights(settings, plan, seed),
                seed,
                out=settings.place("runs", run, seed),
                checkpoints=checkpoints,
                device=settings.params.device,
                precision=settings.params.precision,
                devices=settings.params.devices,
                num_nodes=settings.params.num_nodes,
                compiled=settings.params.compile,
                cache_mib=settings.params.image_cache,
            )
    if is_first():
        forget_other_seeds(settings, "runs", run)


def _initial_weights(settings: Settings, plan: Plan, seed: int) -> InitialWeights:
    """Load what a run starts from: the profile's or user's file, or another run's weights."""
    from replication.models.resnet_weights import load_resnet
    from replication.models.weights import load_backbone

    given, profile = settings.params.data, plan.profile
    if plan.backbone == "vgg16":
        return load_backbone(given.backbone or profile.backbone, settings.root)
    if plan.init != IMAGENET:
        path = settings.place("runs", plan.init, seed) / "weights.safetensors"
        if not path.is_file():
            raise ReplicationError(
                f"run {plan.run!r} starts from {plan.init!r}, and {path} does not exist; run `dvc "
                f"repro {settings.target('train', plan.init)}` first"
            )
        return load_resnet(str(path), settings.root)
    weights = load_resnet(given.resnet_backbone or profile.resnet_backbone, settings.root)
    if weights.segmentation and plan.comparable:
        raise ReplicationError(
            f"initial weights {weights.origin} are a segmentation network's, which has learned "
            f"more than ImageNet, and run {plan.run!r} starts from ImageNet alone in the paper; "
            "set `data.resnet_backbone` in params.yaml to such weights, or null for torchvision's"
        )
    return weights


def score(settings: Settings, run: str) -> None:
    """Score val with every trained seed of ``run``: runs/ -> scores/.

    One process at a time scores a run: it may empty the folder first.
    """
    from replication.data.locks import alone
    from replication.inference.score import score as score_one

    if left_out(settings.leaves_out(run), settings.place("scores", run)):
        return
    plan, dataset = settings.plan(run), open_dataset(settings, run)
    for seed in settings.seeds(run):
        trained, out = settings.place("runs", run, seed), settings.place("scores", run, seed)
        _check_whole(settings, run, trained)
        with alone(out, f"score run {run!r}, seed {seed}"):
            score_one(
                plan,
                dataset,
                trained / "weights.safetensors",
                out,
                device=settings.params.device,
                precision=settings.params.precision,
            )
    forget_other_seeds(settings, "scores", run)


def _check_whole(settings: Settings, run: str, trained: Path) -> None:
    """Refuse weights that are not the bytes that training wrote: no checksum is in their file."""
    record, weights = trained / "train.json", trained / "weights.safetensors"
    for path in (weights, record):
        if not path.is_file():
            raise ReplicationError(
                f"{path} does not exist; run `dvc repro {settings.target('train', run)}` first"
            )
    if read_record(record).get("weights_sha256") != sha256_file(weights):
        raise ReplicationError(
            f"{weights} is damaged: it is not what {record.name} says; train the run again"
        )
