"""``params.yaml``: what a person turns: profile, seeds, places of data, device, CRF."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from replication.crf.engine import EngineName
from replication.crf.parameters import (
    PRESETS,
    CrfParameters,
    Iterations,
    Normalization,
    Weight,
    Width,
)
from replication.settings.base import Name, Seed, Strict


class Archives(Strict):
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


class Places(Strict):
    """Where the data and the initial weights are."""

    folder: str | None = None
    archives: Archives = Archives()
    backbone: str | None = None
    resnet_backbone: str | None = None


class CrfSearch(Strict):
    """The cross-validation of section 4.1: what stays fixed in it, and what it is judged by.

    Attributes:
        w2, sigma_gamma: the spatial kernel, which the paper does not search.
        objective: ``miou``, or ``trimap``: mean IOU within 10 pixels of a contour.
        mode: ``fast`` (its winner is run again exactly), or ``exact`` throughout.
        seed: draws the images.
        exclude: whether the images of the search are left out of the reported score; the paper
            keeps them.
    """

    w2: Weight = 3.0
    sigma_gamma: Width = 3.0
    objective: Literal["miou", "trimap"] = "miou"
    mode: Literal["fast", "exact"] = "fast"
    seed: Seed = 0
    exclude: bool = False


class CrfKernels(Strict):
    """Weights and widths of both kernels, as a person gives them."""

    w1: Weight
    sigma_alpha: Width
    sigma_beta: Width
    w2: Weight = 3.0
    sigma_gamma: Width = 3.0


class Crf(Strict):
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


def _number_or_auto(value: object) -> object:
    """Refuse what neither is, in one sentence for both."""
    number = isinstance(value, int) and not isinstance(value, bool) and value >= 1
    if number or value == "auto":
        return value
    raise ValueError(f"`devices` is {value!r}; use a number from 1, or auto")


class Params(Strict):
    """``params.yaml``.

    Attributes:
        devices: processes of a training on each node, a device each; ``auto``, every GPU.
        num_nodes: machines of a training.
        compile: whether torch.compile makes the network's kernels.
        image_cache: MiB of decoded training images that a node keeps in memory.
        jobs: processes for the CRF, the evaluation and the figures; null: one for each core.
        cluster: address of a Dask scheduler, such as ``tcp://host:8786``, whose workers do the
            CRF's search and refinement; null stays here. Like ``jobs`` it decides no number, and
            stands outside ``crf``, which DVC watches: naming one makes no stage run again.
    """

    profile: Name
    seeds: Annotated[list[Seed], Field(min_length=1)]
    device: Literal["auto", "cpu", "cuda", "mps"]
    precision: Literal["auto", "32-true", "bf16-mixed"]
    devices: Annotated[int | Literal["auto"], BeforeValidator(_number_or_auto)] = 1
    num_nodes: Annotated[int, Field(ge=1)] = 1
    compile: bool = False
    image_cache: Annotated[int, Field(ge=0)] = 256
    jobs: Annotated[int, Field(ge=1)] | None = None
    cluster: Annotated[str, Field(min_length=1)] | None = None
    data: Places
    crf: Crf

    @model_validator(mode="after")
    def _seeds_differ(self) -> Params:
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"`seeds` is {self.seeds}; each seed may stand there once")
        return self
