"""What a run is made of: recipe, head, scales of the input; and what of it makes a network."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from replication.settings.base import Strict

Rate = Annotated[int, Field(ge=1, le=64)]
Flavour = Literal["caffe", "torchvision"]


class Recipe(Strict):
    """How a run learns: section 4.1 and 4.1.2 of the paper, and the authors' solver files."""

    policy: Literal["step", "poly"]
    batch_size: Annotated[int, Field(ge=1, le=2**20)]
    iterations: Annotated[int, Field(ge=1, le=2**30)]
    base_lr: Annotated[float, Field(gt=0, le=1e6)]
    power: Annotated[float, Field(gt=0)] = 0.9
    step_size: Annotated[int, Field(ge=1, le=2**30)] = 2_000
    gamma: Annotated[float, Field(gt=0, le=1)] = 0.1
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: Annotated[float, Field(ge=0)] = 5e-4
    # What a loss is divided by: the valid positions of the whole batch, or of each image, then the
    # images. The second is what Caffe does where a batch of 10 is one image at iter_size 10.
    average: Literal["batch", "image"] = "batch"


class Head(Strict):
    """What follows the backbone: one branch for each atrous rate, scores summed over branches.

    A branch is fc6 (kernel x kernel at the rate), fc7 and fc8 of ``channels`` filters; or, where
    ``channels`` is null, the classifier alone (kernel x kernel at the rate), as on ResNet-101.
    """

    kernel: Annotated[int, Field(ge=1, le=7)]
    rates: Annotated[list[Rate], Field(min_length=1)]
    channels: Annotated[int, Field(ge=1, le=2**20)] | None
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


class MultiScale(Strict):
    """Several scales of the input through one network, the maximum of their scores (section 4.1.2).

    Attributes:
        scales: factors on the image's sides, from 1 down.
        wiring: of the losses. ``authors``: the scores of a branch whose scale divides 1 (0.5) meet
            labels shrunk as far (16); those of another (0.75) are enlarged to the first branch's
            size. ``ports``: labels are resized to every branch's own size.
    """

    scales: list[Annotated[float, Field(ge=1 / 64, le=1)]] = Field(
        default=[1.0, 0.75, 0.5], min_length=2
    )
    wiring: Literal["authors", "ports"] = "authors"

    @model_validator(mode="after")
    def _scales_fall_from_one(self) -> MultiScale:
        if self.scales[0] != 1 or sorted(set(self.scales), reverse=True) != self.scales:
            raise ValueError(
                f"`scales` is {self.scales}; begin with 1 and let each be smaller than the last"
            )
        return self


class Architecture(Strict):
    """What decides a network's layers and their shapes, beside the number of classes.

    Attributes:
        width: factor on the channels of the backbone's layers; the head's are given as they are.
    """

    backbone: Literal["vgg16", "resnet101"]
    flavour: Flavour = "caffe"
    width: Annotated[float, Field(gt=0, le=1)]
    head: Head
    multi_scale: MultiScale | None = None
