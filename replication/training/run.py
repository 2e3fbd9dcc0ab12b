"""Train one run for one seed: from canonical data and initial weights to trained weights."""

import logging
import shutil
import warnings
from pathlib import Path
from typing import Any

import lightning as L
import torch
from rich.console import Console
from torch import Tensor
from torch.utils.data import DataLoader

from replication.data.canonical import DataSet
from replication.data.guard import refuse_overlap
from replication.errors import ReplicationError
from replication.models.deeplab import DeepLab, InitialWeights, build
from replication.plan import Plan
from replication.provenance import sha256_file
from replication.training.batches import crop_loader
from replication.training.callbacks import Checkpoints, Curves, PlainIO, Progress
from replication.training.device import (
    ACCELERATORS,
    choose_device,
    choose_layout,
    choose_precision,
    use_threads,
)
from replication.training.finite import LossWatch, check_weights
from replication.training.loading import errors_in_one_line
from replication.training.module import Segmentation
from replication.training.outcome import make_record, write_run
from replication.training.processes import Devices, Processes, choose_processes, lost
from replication.training.resume import code_hash, finished_record, usable_checkpoint

_console = Console(stderr=True)


def train(
    plan: Plan,
    dataset: DataSet,
    weights: InitialWeights,
    seed: int,
    *,
    out: Path,
    checkpoints: Path,
    device: str = "auto",
    precision: str = "auto",
    devices: Devices = 1,
    num_nodes: int = 1,
    compiled: bool = False,
    cache_mib: int = 0,
) -> dict[str, Any]:
    """Train ``plan`` with ``seed``; write weights, curve and record into ``out``.

    Returns the record. A finished run of the same settings, data, initial weights and code is left
    as it is. A run that was killed goes on from its last checkpoint in ``checkpoints`` and, on a
    CPU, ends with the same weights as an undisturbed one.

    ``devices``, ``num_nodes``, ``compiled`` (by torch.compile) and ``cache_mib`` (of decoded
    images, on each node) decide how long it takes, and but for rounding and dropout's draws nothing
    else: a run may go on with others than it began with. Of several processes the first one
    writes; the others return the same record when it has.

    Raises:
        ReplicationError: the evaluation split holds a training image; the loss is not finite; the
            devices are not there, or can't share a batch evenly.
    """
    refuse_overlap(
        dataset.ids(plan.train_split),
        dataset.ids("val") if "val" in dataset.meta["splits"] else [],  # COCO only pre-trains
        train_name=plan.train_split,
        eval_name="val",
    )
    device = choose_device(device)
    precision = choose_precision(precision, device)
    use_threads(plan.profile.threads)
    fingerprint = plan.fingerprint(
        seed=seed,
        precision=precision,
        data=sha256_file(dataset.root / "meta.json"),
        backbone=weights.sha256,
        code=code_hash(),
    )
    finished = finished_record(out, fingerprint)
    if finished is not None:
        _console.print(f"{plan.run}, seed {seed}: already trained with these settings, kept")
        return finished
    processes = choose_processes(
        devices, num_nodes, device, run=plan.run, batch=plan.recipe.batch_size
    )
    say = _console.print if processes.writes else _silent
    last = checkpoints / "last.ckpt"
    resume = usable_checkpoint(last, fingerprint, say)
    if resume is not None:
        say(f"{plan.run}, seed {seed}: goes on from update {resume}")
    elif processes.writes:
        shutil.rmtree(checkpoints, ignore_errors=True)
    checkpoints.mkdir(parents=True, exist_ok=True)

    model = build(plan, dataset.num_classes, weights, seed)
    layout = choose_layout(device, precision)
    _lay_out(model, layout, compiled=compiled)
    updates, batch = plan.recipe.iterations, plan.recipe.batch_size
    crops, loader = crop_loader(
        plan,
        dataset,
        seed,
        resume or 0,
        device=device,
        processes=processes,
        cache_mib=cache_mib,
        say=say,
    )
    watch = LossWatch(lambda n: [crops.id_of(k) for k in range(n * batch, (n + 1) * batch)])
    module = Segmentation(
        model,
        plan.recipe,
        plan.micro_batch,
        seed,
        multi_scale=plan.multi_scale,
        watch=watch,
        layout=layout,
    )
    curves = Curves(checkpoints / "live")
    saver = Checkpoints(last, plan.profile.checkpoint_every, fingerprint, watch)
    progress = Progress(f"train {plan.run} seed {seed}", updates)
    _quiet()
    trainer = L.Trainer(
        accelerator=ACCELERATORS[device],
        devices=processes.devices,
        num_nodes=processes.nodes,
        strategy=processes.strategy(),
        plugins=[processes.environment, PlainIO()],
        use_distributed_sampler=False,  # `From` gives each process its share
        precision=precision,  # type: ignore[arg-type]
        max_steps=updates,
        max_epochs=1,
        deterministic=True if device == "cpu" else "warn",
        benchmark=False,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[progress, curves, saver],
        default_root_dir=checkpoints,
    )
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    who = f"{plan.run}, seed {seed}"
    begun = last if resume else None
    _fit(trainer, module, loader, last=begun, who=who, processes=processes)
    watch.look()
    check_weights(model, updates)
    record: dict[str, Any] = {}
    if processes.writes:
        record = make_record(
            plan=plan,
            dataset=dataset,
            weights=weights,
            seed=seed,
            model=model,
            saver=saver,
            device=device,
            precision=precision,
        )
        if processes.count > 1:  # its speed is no other device's
            record["device"] = f"{processes.count} x {record['device']}"
        record |= {"processes": processes.count, "compiled": compiled, "fingerprint": fingerprint}
        write_run(out, plan=plan, dataset=dataset, model=model, curves=curves, record=record)
        shutil.rmtree(checkpoints, ignore_errors=True)
    return trainer.strategy.broadcast(record)


def _lay_out(model: DeepLab, layout: torch.memory_format, *, compiled: bool) -> None:
    """Lay the filters out in memory, and let torch.compile make the kernels where that is asked."""
    model.to(memory_format=layout)  # type: ignore[call-overload]
    if compiled:
        for part in (model.backbone, model.classifier):
            part.compile(dynamic=False)  # a graph for each scale's size


def _fit(
    trainer: L.Trainer,
    module: Segmentation,
    loader: DataLoader[tuple[Tensor, Tensor]],
    *,
    last: Path | None,
    who: str,
    processes: Processes,
) -> None:
    """Make all updates, from the checkpoint ``last`` on where there is one.

    Raises:
        ReplicationError: stopped by Ctrl-C, SIGTERM, or the end of another process.
    """
    again = "run the same command again to go on from the last checkpoint"
    stopped = False
    try:
        with errors_in_one_line():
            trainer.fit(module, loader, ckpt_path=last, weights_only=True)
    except SystemExit:  # how Lightning ends at Ctrl-C and SIGTERM, the latter with status 0
        stopped = True
    except RuntimeError as error:
        if not lost(error):
            raise
        raise ReplicationError(
            f"{who}: another of the {processes.count} processes ended, and says why itself; {again}"
        ) from None
    assert trainer.max_steps is not None
    if stopped or trainer.global_step < trainer.max_steps:
        raise ReplicationError(
            f"{who}: stopped at update {trainer.global_step} of {trainer.max_steps}; {again}"
        )


def _silent(_: str) -> None:
    """Say nothing: the first process says it."""


def _quiet() -> None:
    """Silence what a user can't act on: Lightning's advertisements, advice, own deprecations."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for text in (
        ".*Grad strides do not match bucket view strides.*",  # of 1x1 filters, whose bytes agree
        ".*grad attribute of a Tensor that is not a leaf.*",  # torch.compile's own look at an input
        ".*does not have many workers.*",
        ".*`srun` command is available.*",  # one process is right there, too: docs/scale.md
        ".*Consider setting `persistent_workers.*",
        r".*isinstance\(treespec, LeafSpec\).*",  # Lightning's own use of torch
    ):
        warnings.filterwarnings("ignore", text)
