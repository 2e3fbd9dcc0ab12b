"""Results on disk, ``results/<profile>/<run>.json``, read into typed objects.

Only what tables and figures read is named here; other keys are let through, so that a result may
carry more than this version knows of.
"""

import json
from pathlib import Path
from statistics import fmean, stdev
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from replication.errors import ReplicationError
from replication.evaluation.trimap import NEAR
from replication.paper.reported import ResultField

FORMAT = 1
Percent = Annotated[float, Field(ge=0, le=100)]
Pixels = Annotated[int, Field(ge=0, lt=2**53)]
_CURE = "remove the file and let `dvc repro` make it again"


class _Open(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)


class Trimap(_Open):
    """Mean IOU in percent by width of the band, pixels; None where no pixel lies in it."""

    width: list[int]
    miou: list[Percent | None]

    @model_validator(mode="after")
    def _one_value_a_width(self) -> "Trimap":
        if len(self.width) != len(self.miou):
            raise ValueError(f"`miou` has {len(self.miou)} values for {len(self.width)} widths")
        return self


class Evaluation(_Open):
    """Accuracies of one set of predictions, in percent; None where undefined (absent classes)."""

    miou: Percent
    iou: list[Percent | None]
    pixel_accuracy: Percent | None
    mean_accuracy: Percent | None
    confusion: list[list[Pixels]]  # rows truth, columns prediction
    trimap: Trimap | None = None

    @model_validator(mode="after")
    def _confusion_is_square(self) -> "Evaluation":
        if any(len(row) != len(self.confusion) for row in self.confusion):
            raise ValueError("`confusion` has rows of another length than its number of rows")
        return self

    @property
    def near_miou(self) -> float | None:
        """Mean IOU within `NEAR` pixels of contours; None where it was not measured."""
        if self.trimap is None or NEAR not in self.trimap.width:
            return None
        return self.trimap.miou[self.trimap.width.index(NEAR)]


class Curve(_Open):
    """A learning curve: loss and base learning rate at so many updates."""

    step: Annotated[list[int], Field(min_length=1)]
    loss: list[float]
    lr: list[float]

    @model_validator(mode="after")
    def _one_value_a_step(self) -> "Curve":
        if not len(self.step) == len(self.loss) == len(self.lr):
            counts = f"{len(self.loss)} losses, {len(self.lr)} rates"
            raise ValueError(f"a curve of {len(self.step)} steps has {counts}")
        return self


class Training(_Open):
    """What one training took; results of before curves were kept have none."""

    seconds: float
    images_per_second: Annotated[float, Field(gt=0)]
    updates: int
    device: str
    precision: str
    threads: Annotated[int, Field(gt=0)] | None = None
    curve: Curve | None = None

    def on(self) -> tuple[str, str]:
        """Return what the speed depends on: the device, a CPU with its threads; the precision."""
        if self.device != "cpu" or self.threads is None:
            return self.device, self.precision
        count = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        return f"{self.device} with {count}", self.precision


class SeedResult(_Open):
    """One seed's accuracies before and after the CRF (None: the CRF was not run)."""

    seed: int
    before: Evaluation
    after: Evaluation | None = None
    train: Training


class Data(_Open):
    """The images that the result was measured on."""

    name: str
    split: str
    images: int
    classes: list[str]
    meta_sha256: str


class Model(_Open):
    """The network's size; ``field_of_view`` of fc6 on pool5, in pixels."""

    parameters: int
    field_of_view: int


class Measure(NamedTuple):
    """Mean over seeds, and the sample standard deviation where there are several."""

    mean: float
    std: float | None


class Result(_Open):
    """One run's result. ``comparable`` says whether data and settings are the paper's."""

    format: Literal[1]
    run: str
    profile: str
    comparable: bool
    data: Data
    model: Model
    configuration: dict[str, Any] = {}
    seeds: Annotated[list[SeedResult], Field(min_length=1)]
    environment: dict[str, Any] = {}

    def measure(self, field: ResultField, scale: float = 1.0) -> Measure | None:
        """Return ``field`` times ``scale`` over the seeds; None where a seed lacks it."""
        part, name = field.split(".")
        if part == "model":
            return Measure(float(getattr(self.model, name)) * scale, None)
        parts = [getattr(seed, part) for seed in self.seeds]
        if any(p is None for p in parts):
            return None
        measured = [getattr(p, name) for p in parts]
        if any(value is None for value in measured):
            return None
        values = [float(value) * scale for value in measured]
        return Measure(fmean(values), stdev(values) if len(values) > 1 else None)

    def devices(self) -> set[tuple[str, str]]:
        """Return the (device, precision) pairs that the seeds were trained on."""
        return {seed.train.on() for seed in self.seeds}


def result_path(results_dir: Path, run: str) -> Path:
    """Return where the result of ``run`` lies in a profile's results folder."""
    return results_dir / f"{run}.json"


def read_result(results_dir: Path, run: str, profile: str) -> Result | None:
    """Read the result of ``run`` from ``results_dir`` (``results/<profile>``).

    Returns:
        The result, or None if the run has no result file yet.

    Raises:
        ReplicationError: the file can't be read, is no JSON, has another format or misses a
            value, or belongs to another run or profile.
    """
    path = result_path(results_dir, run)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ReplicationError(f"{path}: can't be read ({error.strerror}); {_CURE}") from error
    except (ValueError, RecursionError) as error:  # JSONDecodeError and UnicodeDecodeError
        raise ReplicationError(f"{path}: not a JSON file ({error}); {_CURE}") from error
    found = content.get("format") if isinstance(content, dict) else None
    if found != FORMAT:
        raise ReplicationError(
            f"{path}: `format` is {found!r}, this version reads {FORMAT}; {_CURE}"
        )
    if "left_out" in content:  # by the profile: the same as not run
        return None
    try:
        result = Result.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ReplicationError(f"{path}: `{place}`: {first['msg']}; {_CURE}") from error
    if (result.run, result.profile) != (run, profile):
        raise ReplicationError(
            f"{path}: holds run `{result.run}` of profile `{result.profile}`, "
            f"not `{run}` of `{profile}`; {_CURE}"
        )
    return result
