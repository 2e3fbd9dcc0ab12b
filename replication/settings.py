"""Typed settings: what a person turns, how far a profile scales, and every run of the paper.

Three kinds of file, each validated in full before anything runs:

- ``params.yaml``: the profile, seeds, places of data, device, CRF parameters;
- ``profiles/NAME.yaml``: how far everything is scaled down (``paper`` scales nothing);
- ``experiments.yaml``: every training run of the paper, once, by name.

A mistake becomes one line: file, key, value, cure. Nothing here imports torch.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from replication.crf.engine import EngineName
from replication.crf.parameters import (
    PRESETS,
    CrfParameters,
    Iterations,
    Normalization,
    Weight,
    Width,
)
from replication.errors import ReplicationError

Rate = Annotated[int, Field(ge=1, le=64)]
# Names of profiles and runs become names of folders and of DVC's stages.
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
# torch's generator on the CPU reads 32 bits of a seed: two larger ones could be the same.
Seed = Annotated[int, Field(ge=0, lt=2**31)]

Flavour = Literal["caffe", "torchvision"]

# How many atrous rates the rows that a run fills can use (the paper's tables 1 to 3).
RATES_NEEDED = {"aspp_s": (3, 4), "aspp_l": (3, 4)}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Recipe(_Strict):
    """How a run learns: section 4.1 and 4.1.2 of the paper, and the authors' solver files."""

    policy: Literal["step", "poly"]
    batch_size: Annotated[int, Field(ge=1)]
    iterations: Annotated[int, Field(ge=1)]
    base_lr: Annotated[float, Field(gt=0)]
    power: Annotated[float, Field(gt=0)] = 0.9
    step_size: Annotated[int, Field(ge=1)] = 2_000
    gamma: Annotated[float, Field(gt=0, le=1)] = 0.1
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: Annotated[float, Field(ge=0)] = 5e-4
    # What a loss is divided by: the valid positions of the whole batch, or of each image, then the
    # images. The second is what Caffe does where a batch of 10 is one image at iter_size 10.
    average: Literal["batch", "image"] = "batch"


class Head(_Strict):
    """What follows the backbone: one branch for each atrous rate, scores summed over branches.

    A branch is fc6 (kernel x kernel at the rate), fc7 and fc8 of ``channels`` filters; or, where
    ``channels`` is null, the classifier alone (kernel x kernel at the rate), as on ResNet-101.
    """

    kernel: Annotated[int, Field(ge=1, le=7)]
    rates: Annotated[list[Rate], Field(min_length=1)]
    channels: Annotated[int, Field(ge=1)] | None
    average_pool: bool
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5

    @model_validator(mode="after")
    def _padding_can_keep_the_size(self) -> Head:
        for rate in self.rates:
            if (self.kernel - 1) * rate % 2:
                raise ValueError(
                    f"`rates` is {self.rates}; an even `kernel` ({self.kernel}) needs even rates, "
                    "else no padding keeps the size of the scores"
                )
        return self


class MultiScale(_Strict):
    """Several scales of the input through one network, the maximum of their scores (section 4.1.2).

    Attributes:
        scales: factors on the image's sides, from 1 down.
        wiring: of the losses. ``authors``: the scores of a branch whose scale divides 1 (0.5) meet
            labels shrunk as far (16); those of another (0.75) are enlarged to the first branch's
            size. ``ports``: labels are resized to every branch's own size.
    """

    scales: Annotated[list[Annotated[float, Field(gt=0, le=1)]], Field(min_length=2)] = [
        *(1.0, 0.75, 0.5)
    ]
    wiring: Literal["authors", "ports"] = "authors"

    @model_validator(mode="after")
    def _scales_fall_from_one(self) -> MultiScale:
        if self.scales[0] != 1 or sorted(set(self.scales), reverse=True) != self.scales:
            raise ValueError(
                f"`scales` is {self.scales}; begin with 1 and let each be smaller than the last"
            )
        return self


class Run(_Strict):
    """One trained network at the paper's scale, and the search that chooses its CRF.

    Attributes:
        flavour: where a ResNet's stages take their stride: on the first 1x1 (``caffe``, the
            authors' network) or on the 3x3 (``torchvision``, whose weights are easy to get).
        multi_scale: null: one scale.
        rescale: factors by one of which an image is resized, at random, before it is cropped.
        init: a run whose trained backbone this one starts from; null: the ImageNet weights.
    """

    about: str
    backbone: Literal["vgg16", "resnet101"]
    flavour: Flavour = "caffe"
    search: Name
    head: Head
    recipe: Recipe
    multi_scale: MultiScale | None = None
    rescale: Annotated[list[Annotated[float, Field(gt=0, le=4)]], Field(min_length=1)] = [1.0]
    init: Name | None = None

    @model_validator(mode="after")
    def _head_and_flavour_fit_the_backbone(self) -> Run:
        if self.backbone == "resnet101":
            if self.head.channels is not None or self.head.average_pool:
                raise ValueError(
                    f"`head.channels` is {self.head.channels} and `head.average_pool` "
                    f"{self.head.average_pool}; on resnet101 the classifier reads the backbone "
                    "itself: set them to null and false"
                )
            return self
        if self.head.channels is None:
            raise ValueError(
                "`head.channels` is None; on vgg16 fc6 and fc7 need channels: set it to 1_024 or "
                "4_096"
            )
        if self.init is not None:
            raise ValueError(f"`init` is {self.init!r}, which only resnet101 can have; remove it")
        if self.flavour != "caffe":
            raise ValueError(f"`flavour` is {self.flavour!r}, and vgg16 has but one; remove it")
        return self

    @model_validator(mode="after")
    def _factors_differ(self) -> Run:
        if len(set(self.rescale)) != len(self.rescale):
            raise ValueError(f"`rescale` is {self.rescale}; each factor may stand there once")
        return self


class Profile(_Strict):
    """How a run is scaled. ``paper`` has factors of 1 everywhere."""

    about: str
    data: Literal["sample", "folder", "voc2012"]
    train_split: Literal["train", "trainaug"]
    width: Annotated[float, Field(gt=0, le=1)]
    crop: Annotated[int, Field(ge=9)]
    test_size: Annotated[int, Field(ge=9)]
    iterations_factor: Annotated[float, Field(gt=0)]
    batch_factor: Annotated[float, Field(gt=0)]
    base_lr_factor: Annotated[float, Field(gt=0)]
    micro_batch: Annotated[int, Field(ge=1)]
    backbone: str
    resnet_backbone: str = "torchvision"
    dropout: Annotated[float, Field(ge=0, lt=1)] | None = None  # null: the run's own
    decimation: Literal["plain", "gathered"] = "plain"
    fc_std: Annotated[float, Field(gt=0)]
    checkpoint_every: Annotated[int, Field(ge=1)]
    score_batch: Annotated[int, Field(ge=1)]
    limit_eval: Annotated[int, Field(ge=1)] | None
    search_samples: Annotated[int, Field(ge=1)] = 100  # images of the CRF's search

    @model_validator(mode="after")
    def _sizes_fit_the_stride(self) -> Profile:
        for key in ("crop", "test_size"):
            size = getattr(self, key)
            if size % 8 != 1:
                near = (size - 1) // 8 * 8 + 1
                raise ValueError(
                    f"`{key}` is {size}; align-corners at output stride 8 needs 8 k + 1: "
                    f"use {near} or {near + 8}"
                )
        return self

    @model_validator(mode="after")
    def _data_have_the_split(self) -> Profile:
        if self.data == "folder" and self.train_split != "train":
            raise ValueError(
                f"`train_split` is {self.train_split!r}, which a VOC-style folder does not have; "
                "use 'train'"
            )
        return self


class Archives(_Strict):
    """The user's own copies: an archive file or an unpacked folder; null fetches it."""

    voc2012: str | None = None
    sbd: str | None = None
    voc2010: str | None = None
    pascal_context: str | None = None
    pascal_part: str | None = None
    person_part_lists: str | None = None
    cityscapes_images: str | None = None
    cityscapes_labels: str | None = None
    coco_images: str | None = None
    coco_annotations: str | None = None


class Places(_Strict):
    """Where the data and the initial weights are."""

    folder: str | None = None
    archives: Archives = Archives()
    backbone: str | None = None
    resnet_backbone: str | None = None


class CrfSearch(_Strict):
    """The cross-validation of section 4.1: what stays fixed in it, and what it is judged by.

    Attributes:
        w2, sigma_gamma: the spatial kernel, which the paper does not search.
        objective: ``miou``, or ``trimap``: mean IOU within 10 pixels of a contour.
        mode: ``fast`` (its winner is run again exactly), or ``exact`` throughout.
        seed: draws the images.
        cluster: address of a Dask scheduler whose workers do the counting; null stays here.
        exclude: whether the images of the search are left out of the reported score; the paper
            keeps them.
    """

    w2: Weight = 3.0
    sigma_gamma: Width = 3.0
    objective: Literal["miou", "trimap"] = "miou"
    mode: Literal["fast", "exact"] = "fast"
    seed: Seed = 0
    cluster: str | None = None
    exclude: bool = False


class CrfKernels(_Strict):
    """Weights and widths of both kernels, as a person gives them."""

    w1: Weight
    sigma_alpha: Width
    sigma_beta: Width
    w2: Weight = 3.0
    sigma_gamma: Width = 3.0


class Crf(_Strict):
    """The CRF: its engine, and where its parameters come from.

    ``parameters`` is ``searched`` (the pipeline's own search), ``fixed`` (the values under
    ``fixed``), or the name of a published setting.
    """

    engine: EngineName = "lattice"
    parameters: str = "searched"
    iterations: Iterations = 10
    normalization: Normalization = "after"
    search: CrfSearch = CrfSearch()
    fixed: CrfKernels | None = None

    @model_validator(mode="after")
    def _parameters_are_known(self) -> Crf:
        known = ["searched", "fixed", *PRESETS]
        if self.parameters not in known:
            raise ValueError(f"`parameters` is {self.parameters!r}; use one of {', '.join(known)}")
        if self.parameters == "fixed" and self.fixed is None:
            raise ValueError(
                "`parameters` is 'fixed', and `fixed` is null; give w1, sigma_alpha and sigma_beta "
                "there, or use 'searched'"
            )
        return self

    def given(self) -> CrfParameters | None:
        """Return the parameters, or None where the search decides."""
        if self.parameters == "searched":
            return None
        if self.parameters == "fixed":
            assert self.fixed is not None
            kernels = self.fixed.model_dump()
        else:
            preset = PRESETS[self.parameters].parameters
            kernels = preset.model_dump(exclude={"iterations", "normalization"})
        return CrfParameters(
            **kernels, iterations=self.iterations, normalization=self.normalization
        )


class Params(_Strict):
    """``params.yaml``."""

    profile: Name
    seeds: Annotated[list[Seed], Field(min_length=1)]
    device: Literal["auto", "cpu", "cuda", "mps"]
    precision: Literal["auto", "32-true", "bf16-mixed"]
    jobs: Annotated[int, Field(ge=1)] | None = None
    data: Places
    crf: Crf

    @model_validator(mode="after")
    def _seeds_differ(self) -> Params:
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"`seeds` is {self.seeds}; each seed may stand there once")
        return self


class Experiments(_Strict):
    """``experiments.yaml``; ``recipes`` and ``heads`` only hold what runs share."""

    recipes: dict[str, Recipe]
    heads: dict[str, Head]
    runs: Annotated[dict[Name, Run], Field(min_length=1)]
    searches: dict[Name, Name]  # a search of the CRF's parameters, and the run that it scores

    @model_validator(mode="after")
    def _searches_and_runs_fit(self) -> Experiments:
        for search, scored in self.searches.items():
            if scored not in self.runs:
                raise ValueError(f"`searches.{search}` is {scored!r}, which `runs` does not have")
        for name, run in self.runs.items():
            if run.search not in self.searches:
                raise ValueError(
                    f"`runs.{name}.search` is {run.search!r}; use one of "
                    f"{', '.join(sorted(self.searches))}"
                )
        return self

    @model_validator(mode="after")
    def _starts_are_runs(self) -> Experiments:
        for name, run in self.runs.items():
            if run.init is None:
                continue
            start = self.runs.get(run.init)
            if start is None or run.init == name:
                raise ValueError(
                    f"`runs.{name}.init` is {run.init!r}; name another run, or null for the "
                    "ImageNet weights"
                )
            if (start.backbone, start.flavour) != (run.backbone, run.flavour):
                raise ValueError(
                    f"`runs.{name}.init` is {run.init!r}, whose backbone is {start.backbone} "
                    f"({start.flavour}), not {run.backbone} ({run.flavour}); name a run of the "
                    "same backbone"
                )
            if start.init is not None:
                raise ValueError(
                    f"`runs.{name}.init` is {run.init!r}, which itself starts from {start.init!r}; "
                    "name a run that starts from the ImageNet weights"
                )
        return self

    @model_validator(mode="after")
    def _rates_fit_the_tables(self) -> Experiments:
        for name, run in self.runs.items():
            table, needed = RATES_NEEDED.get(name, (None, 1))
            if table and len(run.head.rates) != needed:
                words = {4: "four"}[needed]
                raise ValueError(
                    f"`runs.{name}.head.rates` is {run.head.rates}; table {table} needs "
                    f"{words} rates"
                )
            if name.startswith(("fov_", "poly_")) and len(run.head.rates) != 1:
                raise ValueError(
                    f"`runs.{name}.head.rates` is {run.head.rates}; tables 1 and 2 need one rate"
                )
        return self


Model = TypeVar("Model", bound=BaseModel)
_SHOWN = 80  # characters of a wrong value


class _OnceLoader(yaml.SafeLoader):
    """YAML as plain data; a key that stands twice is an error, not silently the last one."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen = set()  # as written: `<<` has not been merged in yet
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.composer.ComposerError(
                        None, None, f"key `{key.value}` stands twice; keep one", key.start_mark
                    )
                seen.add(key.value)
        return node


def read_yaml(path: Path) -> Any:
    """Read a YAML file as plain data (no tags that run code).

    Raises:
        ReplicationError: the file is missing, can't be read or is not YAML.
    """
    try:
        return _OnceLoader(path.read_text(encoding="utf-8")).get_single_data()
    except FileNotFoundError:
        raise ReplicationError(
            f"{path} does not exist; run this in the repository's root, or restore the file "
            f"with `git checkout {path.name}`"
        ) from None
    except OSError as error:
        reason = error.strerror or error
        raise ReplicationError(
            f"{path} can't be read ({reason}); make it a readable file"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        where = getattr(error, "problem_mark", None)
        line = f" (line {where.line + 1})" if where else ""
        problem = getattr(error, "problem", None) or getattr(error, "reason", "it can't be parsed")
        raise ReplicationError(
            f"{path}{line} is not valid YAML: {problem}; correct it, or restore the file with "
            f"`git checkout {path.name}`"
        ) from None


def _one_line(path: Path, error: ValidationError) -> str:
    """Turn pydantic's first complaint into file, key, value and cure."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    kind, value, context = first["type"], first["input"], first.get("ctx", {})
    shown = repr(value) if len(repr(value)) <= _SHOWN else f"{repr(value)[:_SHOWN]}..."
    if kind == "extra_forbidden":
        return (
            f"{path}: `{key}` is {shown}, and there is no such setting; remove it or correct its "
            "spelling"
        )
    if kind in ("model_type", "dict_type"):
        where = f"`{key}`" if key else "the file"
        return f"{path}: {where} holds {shown}; write settings, one `name: value` a line"
    if kind == "missing":
        return f"{path}: `{key}` is missing; add it"
    if kind == "value_error":  # our own validators name key, value and cure themselves
        return f"{path}: {f'in `{key}`: ' if key else ''}{context.get('error', first['msg'])}"
    advice = first["msg"][0].lower() + first["msg"][1:]
    if isinstance(value, str) and re.fullmatch(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+", value):
        advice += "; YAML takes 1e-3 for text: write 0.001 or 1.0e-3"
    return f"{path}: `{key}` is {shown}; {advice}"


def parse(model: type[Model], path: Path) -> Model:
    """Read ``path`` and validate it as ``model``; complaints are one line."""
    try:
        return model.model_validate(read_yaml(path))
    except ValidationError as error:
        raise ReplicationError(_one_line(path, error)) from None
