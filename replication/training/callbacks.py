"""What happens around the updates: a progress bar, curves, and a checkpoint to go on from."""

import csv
import shutil
import time
from pathlib import Path
from typing import Any

import lightning as L
import torch
from dvclive.live import Live
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from tqdm import tqdm

from replication.atomic import atomic_path, naming
from replication.training.finite import LossWatch, check_weights

LOG_EVERY = 10


class Progress(L.Callback):
    """A bar over updates (not Lightning's, which counts the batches of an epoch).

    Of several processes the first one shows it.
    """

    def __init__(self, title: str, updates: int) -> None:
        self.title, self.updates = title, updates
        self.bar: tqdm[Any] | None = None

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.bar = tqdm(
            total=self.updates,
            initial=trainer.global_step,
            desc=self.title,
            unit="update",
            disable=None if trainer.is_global_zero else True,  # None: shown on a terminal
        )

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, *_: Any
    ) -> None:
        assert self.bar is not None
        self.bar.update()
        if trainer.global_step % LOG_EVERY == 0:
            self.bar.set_postfix(loss=f"{float(outputs['loss']):.3f}", refresh=False)

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        self._close()

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        self._close()  # Lightning has no teardown then, and the error would share the bar's line

    def _close(self) -> None:
        if self.bar is not None:
            self.bar.close()


class Curves(L.Callback):
    """Loss and learning rate of every `LOG_EVERY`-th update, through DVCLive.

    The loss is the mean over the updates since the last row. The rows are kept in the checkpoint
    too: a run that goes on from there first puts DVCLive's files back to them, so that no update
    stands twice, and a file that a crash cut short does no harm. Of several processes the first one
    writes DVCLive's files.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.live: Live | None = None
        self.recent: list[Any] = []
        self.rows: list[tuple[int, float, float]] = []  # step, loss, lr

    def state_dict(self) -> dict[str, Any]:
        return {"recent": [float(loss) for loss in self.recent], "rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.recent = list(state_dict["recent"])
        self.rows = list(state_dict["rows"])

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        with naming(self.folder):
            self.live = Live(str(self.folder), dvcyaml=False, save_dvc_exp=False)
        for row in self.rows:
            self._log(*row)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, *_: Any
    ) -> None:
        self.recent.append(outputs["loss"])
        step = trainer.global_step
        if step % LOG_EVERY == 0 or step == trainer.max_steps:
            loss = sum(float(x) for x in self.recent) / len(self.recent)
            self.rows.append((step, loss, float(outputs["lr"])))
            self._log(*self.rows[-1])
            self.recent = []

    def _log(self, step: int, loss: float, lr: float) -> None:
        if self.live is None:
            return
        self.live.step = step
        with naming(self.folder):
            self.live.log_metric("loss", loss)
            self.live.log_metric("lr", lr)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self.live is not None:
            with naming(self.folder):
                self.live.end()  # type: ignore[no-untyped-call]
            self._close()

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        self._close()

    def _close(self) -> None:
        """Close the files of the Git repository that DVCLive looked into: it leaves them open."""
        repo = self.live._dvc_repo if self.live is not None else None
        if repo is not None:
            repo.close()

    def write(self, path: Path) -> None:
        """Write the curves as one table with tabs: step, loss, lr."""
        with path.open("w", encoding="utf-8", newline="") as stream:
            table = csv.writer(stream, delimiter="\t", lineterminator="\n")
            table.writerows([("step", "loss", "lr"), *self.rows])


class PlainIO(TorchCheckpointIO):
    """Writes a checkpoint where it is asked to.

    Lightning's own first holds it in memory once more, then writes it to the system's folder for
    temporary files, which may be full where the checkpoints' folder is not.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Write ``checkpoint`` to the file ``path``."""
        del storage_options
        torch.save(checkpoint, path)


class Checkpoints(L.Callback):
    """Every so many updates, all that is needed to go on, in one file that is whole or absent.

    Lightning's own callback writes under changing names; a single name, renamed into place, can't
    leave two files to choose from. A checkpoint that is there is a good one: nothing is written
    before every loss has been looked at, nor of weights that are not finite.
    """

    def __init__(self, path: Path, every: int, fingerprint: str, watch: LossWatch) -> None:
        self.path, self.every, self.fingerprint = path, every, fingerprint
        self.watch = watch
        self.seconds_before = 0.0
        self.started = time.perf_counter()
        self.first_step = 0

    @property
    def seconds(self) -> float:
        """Seconds spent in updates so far, those before a resumption included."""
        return self.seconds_before + time.perf_counter() - self.started

    def state_dict(self) -> dict[str, Any]:
        return {"fingerprint": self.fingerprint, "seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.seconds_before = state_dict["seconds"]

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.started = time.perf_counter()

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        if trainer.global_step % self.every or trainer.global_step >= trainer.max_steps:
            return
        self.watch.look()
        check_weights(pl_module, trainer.global_step)
        if trainer.is_global_zero:
            with atomic_path(self.path) as part:
                trainer.save_checkpoint(part)
        else:
            trainer.save_checkpoint(self.path)  # writes nothing: it waits for the first process
