"""``profiles/NAME.yaml``: how far everything is scaled down; ``paper`` scales nothing."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from replication.settings.base import Factor, Name, Seed, Strict


class Profile(Strict):
    """How a run is scaled. ``paper`` has factors of 1 everywhere.

    The two factors of ``resnet`` are those of runs whose backbone is ResNet-101; null: the general
    ones hold for them too.
    """

    about: str
    families: list[Name] | None = None  # of experiments.yaml, besides `runs`; null: all
    more_seeds: dict[Name, list[Seed]] = Field(default={})  # besides those of params.yaml
    data: Literal["sample", "folder", "official"]
    train_split: Literal["train", "trainaug"]
    width: Annotated[float, Field(gt=0, le=1)]
    crop: Annotated[int, Field(ge=9, le=2**15)]
    test_size: Annotated[int, Field(ge=9, le=2**15)]
    iterations_factor: Factor
    batch_factor: Factor
    base_lr_factor: Factor
    resnet_iterations_factor: Factor | None = None
    resnet_base_lr_factor: Factor | None = None
    micro_batch: Annotated[int, Field(ge=1, le=2**20)]
    backbone: str
    resnet_backbone: str = "torchvision"
    dropout: Annotated[float, Field(ge=0, lt=1)] | None = None  # null: the run's own
    decimation: Literal["plain", "gathered"] = "plain"
    fc_std: Annotated[float, Field(gt=0)]
    checkpoint_every: Annotated[int, Field(ge=1)]
    score_batch: Annotated[int, Field(ge=1)]
    limit_eval: Annotated[int, Field(ge=1)] | None
    search_samples: Annotated[int, Field(ge=1)] = 100  # images of the CRF's search
    search_every: Annotated[int, Field(ge=1)] = 1  # every so many values of its coarse grid's axes
    threads: Annotated[int, Field(ge=1)] | None = None  # of torch on a CPU; null: all cores

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
