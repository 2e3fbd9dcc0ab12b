"""``experiments.yaml``: every training run of the paper, once, by name."""

from __future__ import annotations

from collections import Counter
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from replication.settings.base import Name, Strict
from replication.settings.network import Flavour, Head, MultiScale, Recipe

IMAGENET = "imagenet"

# The names of `replication.data.sets.SETS`, which imports what reads them.
DataName = Literal[
    "voc2012",
    "pascal_context",
    "pascal_person_part",
    "cityscapes",
    "cityscapes_half",
    "coco",
]

# How many atrous rates the rows that a run fills can use (the paper's tables 1 to 3).
RATES_NEEDED = {"aspp_s": (3, 4), "aspp_l": (3, 4)}


class Run(Strict):
    """One trained network at the paper's scale, and the search that chooses its CRF.

    Attributes:
        data: the data set that it is trained and tested on; in the profile `photos` voc2012 stands
            for your folder.
        search: of the CRF's parameters; null: the run only starts others, and is not measured.
        flavour: where a ResNet's stages take their stride: on the first 1x1 (``caffe``, the
            authors' network) or on the 3x3 (``torchvision``, whose weights are easy to get).
        multi_scale: null: one scale.
        rescale: factors by one of which an image is resized, at random, before it is cropped.
        init: ``imagenet``, or a run whose trained backbone this one starts from.
    """

    about: str
    data: DataName
    backbone: Literal["vgg16", "resnet101"]
    flavour: Flavour = "caffe"
    search: Name | None
    head: Head
    recipe: Recipe
    multi_scale: MultiScale | None = None
    rescale: list[Annotated[float, Field(gt=0, le=4)]] = Field(default=[1.0], min_length=1)
    init: Name = IMAGENET

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
        if self.init != IMAGENET:
            raise ValueError(f"`init` is {self.init!r}, which only resnet101 can have; remove it")
        if self.flavour != "caffe":
            raise ValueError(f"`flavour` is {self.flavour!r}, and vgg16 has but one; remove it")
        return self

    @model_validator(mode="after")
    def _factors_differ(self) -> Run:
        if len(set(self.rescale)) != len(self.rescale):
            raise ValueError(f"`rescale` is {self.rescale}; each factor may stand there once")
        return self


class Search(Strict):
    """A search of the CRF's parameters: the run whose scores it is made on, and that run's data."""

    run: Name
    data: DataName


class Experiments(Strict):
    """``experiments.yaml``; ``recipes``, ``heads`` and ``parts`` hold what runs share.

    ``datasets`` names the data sets that are fetched and prepared: those of the runs. ``runs`` are
    those of the root's dvc.yaml, tables 1 to 3; each of ``families`` has a dvc.yaml of its own in
    pipelines/, because DVC reads and writes the whole lock file of a dvc.yaml at every stage.
    """

    datasets: list[DataName]
    recipes: dict[str, Recipe]
    heads: dict[str, Head]
    runs: Annotated[dict[Name, Run], Field(min_length=1)]
    parts: dict[str, dict[str, Any]] = Field(default={})
    families: dict[Name, dict[Name, Run]] = Field(default={})
    searches: dict[Name, Search]

    @cached_property
    def all_runs(self) -> dict[Name, Run]:
        """Return every run by name, those of the families too."""
        merged = dict(self.runs)
        for family in self.families.values():
            merged |= family
        return merged

    def key_of(self, name: str) -> str:
        """Return where a run stands in the file, such as ``families.context.context_vgg``."""
        for family, runs in self.families.items():
            if name in runs:
                return f"families.{family}.{name}"
        return f"runs.{name}"

    @model_validator(mode="after")
    def _names_differ(self) -> Experiments:
        names = [*self.runs, *(name for family in self.families.values() for name in family)]
        twice = [name for name, count in Counter(names).items() if count > 1]
        if twice:
            raise ValueError(f"`{twice[0]}` names two runs; give one of them another name")
        return self

    @model_validator(mode="after")
    def _data_are_those_of_the_runs(self) -> Experiments:
        used = sorted({run.data for run in self.all_runs.values()})
        if sorted(self.datasets) != used:
            raise ValueError(
                f"`datasets` is {self.datasets}, and the runs need {used}; list just these"
            )
        return self

    @model_validator(mode="after")
    def _searches_and_runs_fit(self) -> Experiments:
        for name, search in self.searches.items():
            scored = self.all_runs.get(search.run)
            if scored is None:
                raise ValueError(f"`searches.{name}.run` is {search.run!r}, which is no run here")
            if scored.data != search.data:
                raise ValueError(
                    f"`searches.{name}.data` is {search.data!r}, and the data of run "
                    f"{search.run!r} {scored.data!r}; write that"
                )
        for name, run in self.all_runs.items():
            if run.search is not None and run.search not in self.searches:
                raise ValueError(
                    f"`{self.key_of(name)}.search` is {run.search!r}; use one of "
                    f"{', '.join(sorted(self.searches))}"
                )
        return self

    @model_validator(mode="after")
    def _starts_are_runs(self) -> Experiments:
        for name, run in self.all_runs.items():
            if run.init == IMAGENET:
                continue
            start, key = self.all_runs.get(run.init), f"{self.key_of(name)}.init"
            if start is None or run.init == name:
                raise ValueError(f"`{key}` is {run.init!r}; name another run, or {IMAGENET}")
            if (start.backbone, start.flavour) != (run.backbone, run.flavour):
                raise ValueError(
                    f"`{key}` is {run.init!r}, whose backbone is {start.backbone} "
                    f"({start.flavour}), not {run.backbone} ({run.flavour}); name a run of the "
                    "same backbone"
                )
            if start.init != IMAGENET:
                raise ValueError(
                    f"`{key}` is {run.init!r}, which itself starts from {start.init!r}; "
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
