"""A run as a profile scales it: all that training, scoring and refining need to know."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from replication.errors import ReplicationError
from replication.settings import (
    IMAGENET,
    Architecture,
    Experiments,
    Flavour,
    Head,
    MultiScale,
    Params,
    Profile,
    Recipe,
    Run,
    check_names,
    parse,
    seeds_of,
)

if TYPE_CHECKING:
    from replication.data.canonical import DataSet

OUTPUT_STRIDE = 8


@dataclass(frozen=True)
class Plan:
    """One run under one profile.

    ``recipe`` and ``head`` are scaled: iterations, step size, batch and base learning rate by the
    profile's factors, channels by its width. ``micro_batch`` divides ``recipe.batch_size``; the
    gradients of ``recipe.batch_size // micro_batch`` micro-batches make one update, and iterations
    count updates.
    """

    run: str
    profile_name: str
    profile: Profile
    head: Head
    recipe: Recipe
    micro_batch: int
    backbone: Literal["vgg16", "resnet101"] = "vgg16"
    flavour: Flavour = "caffe"
    multi_scale: MultiScale | None = None
    rescale: tuple[float, ...] = (1.0,)
    init: str = IMAGENET
    data: str = "voc2012"

    @property
    def architecture(self) -> Architecture:
        """What of it makes the network."""
        return Architecture(
            backbone=self.backbone,
            flavour=self.flavour,
            width=self.profile.width,
            head=self.head,
            multi_scale=self.multi_scale,
        )

    @property
    def comparable(self) -> bool:
        """Whether results may be held against the paper's: real data at the paper's scale."""
        p = self.profile
        factors = (p.width, p.batch_factor, *_training_factors(p, self.backbone))
        return (
            p.data == "official"
            and factors == (1, 1, 1, 1)
            and (p.crop, p.test_size, p.train_split) == (321, 513, "trainaug")
            and (p.limit_eval, p.dropout, p.decimation) == (None, None, "plain")
        )

    @property
    def train_split(self) -> str:
        """The split that is trained on: the profile says which of VOC's; others have but one."""
        return self.profile.train_split if self.data == "voc2012" else "train"

    @property
    def tiled(self) -> bool:
        """Whether images are scored in overlapping tiles: Cityscapes' (section 4.4)."""
        return self.data.startswith("cityscapes")

    def configuration(self) -> dict[str, Any]:
        """Return everything that decides the weights, as plain data, for results and hashes."""
        return {
            "backbone": self.backbone,
            "flavour": self.flavour if self.backbone == "resnet101" else None,
            "width": self.profile.width,
            "crop": self.profile.crop,
            "fc_std": self.profile.fc_std,
            "decimation": self.profile.decimation,
            "data": self.data,
            "train_split": self.train_split,
            "micro_batch": self.micro_batch,
            "head": self.head.model_dump(),
            "recipe": self.recipe.model_dump(),
            "multi_scale": self.multi_scale.model_dump() if self.multi_scale else None,
            "rescale": list(self.rescale),
            "init": self.init,
        }

    def fingerprint(self, **origin: Any) -> str:
        """Hash the configuration with its ``origin`` (seed, hashes of data and initial weights)."""
        text = json.dumps([self.configuration(), origin], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def scale(name: str, run: Run, profile_name: str, profile: Profile) -> Plan:
    """Scale ``run`` by ``profile``.

    Raises:
        ReplicationError: the profile's crop does not fit the run's scales.
    """
    if run.multi_scale is not None:
        _check_crop(name, run.multi_scale, profile_name, profile)
    iterations_factor, base_lr_factor = _training_factors(profile, run.backbone)
    recipe = run.recipe.model_copy(
        update={
            "iterations": max(1, round(run.recipe.iterations * iterations_factor)),
            "step_size": max(1, round(run.recipe.step_size * iterations_factor)),
            "batch_size": max(1, round(run.recipe.batch_size * profile.batch_factor)),
            "base_lr": run.recipe.base_lr * base_lr_factor,
        }
    )
    changes: dict[str, Any] = {}
    if run.head.channels is not None:
        changes["channels"] = scale_channels(run.head.channels, profile.width)
    if profile.dropout is not None:
        changes["dropout"] = profile.dropout
    head = run.head.model_copy(update=changes)
    largest = min(profile.micro_batch, recipe.batch_size)
    micro = next(n for n in range(largest, 0, -1) if recipe.batch_size % n == 0)
    return Plan(
        name,
        profile_name,
        profile,
        head,
        recipe,
        micro,
        backbone=run.backbone,
        flavour=run.flavour,
        multi_scale=run.multi_scale,
        rescale=tuple(run.rescale),
        init=run.init,
        data=run.data,
    )


def _training_factors(profile: Profile, backbone: str) -> tuple[float, float]:
    """Return the factors of iterations and base learning rate for a backbone."""
    factors = profile.iterations_factor, profile.base_lr_factor
    if backbone != "resnet101":
        return factors
    own = profile.resnet_iterations_factor, profile.resnet_base_lr_factor
    return own[0] or factors[0], own[1] or factors[1]


def _check_crop(name: str, multi_scale: MultiScale, profile_name: str, profile: Profile) -> None:
    """Labels shrink by 8 / scale where that is whole: the crop must be so many times k, plus 1."""
    divisors = [whole_divisor(scale) or 1 for scale in multi_scale.scales]
    stride = OUTPUT_STRIDE * math.lcm(*divisors)
    if profile.crop % stride != 1:
        near = (profile.crop - 1) // stride * stride + 1
        raise ReplicationError(
            f"profiles/{profile_name}.yaml: `crop` is {profile.crop}; run {name!r} at scales "
            f"{multi_scale.scales} needs {stride} k + 1: use {near} or {near + stride}"
        )


def whole_divisor(scale: float) -> int:
    """Return n where ``scale`` is 1 / n, else 0."""
    nearest = round(1 / scale)
    return nearest if abs(nearest * scale - 1) < 1e-9 else 0


def evaluated_ids(profile: Profile, dataset: DataSet) -> list[str]:
    """Return the ids that are scored, refined and measured: val, or its first ``limit_eval``."""
    return dataset.ids("val")[: profile.limit_eval]


def scale_channels(channels: int, width: float) -> int:
    """Scale a layer's channels by the profile's ``width``, never below 4."""
    return max(4, round(channels * width))


@dataclass(frozen=True)
class Settings:
    """All settings of one repository root, and the places of everything that it makes."""

    root: Path
    params: Params
    profile: Profile
    experiments: Experiments

    @cached_property
    def name(self) -> str:
        """The profile's name."""
        return self.params.profile

    def plan(self, run: str) -> Plan:
        """Return ``run`` scaled by the profile; an unknown name lists the known ones."""
        if run not in self.experiments.all_runs:
            known = ", ".join(self.experiments.all_runs)
            raise ReplicationError(
                f"{self.root / 'experiments.yaml'}: no run is called {run!r}; use one of {known}"
            )
        return scale(run, self.experiments.all_runs[run], self.name, self.profile)

    def seeds(self, run: str) -> list[int]:
        """Return the seeds that ``run`` is trained with: params.yaml's, then the profile's more."""
        return seeds_of(run, self.params, self.profile)

    def leaves_out(self, run: str) -> str | None:
        """Return why the profile makes nothing of ``run``, or None where it makes it."""
        wanted = self.profile.families
        for family, runs in self.experiments.families.items():
            if run in runs and wanted is not None and family not in wanted:
                return f"profile {self.name} leaves out the family {family}"
        return None

    def target(self, stage: str, run: str) -> str:
        """Return what DVC calls a stage of ``run``, seen from the root."""
        for family, runs in self.experiments.families.items():
            if run in runs:
                return f"pipelines/{family}/dvc.yaml:{stage}@{run}"
        return f"{stage}@{run}"

    def leaves_out_data(self, data: str) -> str | None:
        """Return why the profile makes nothing of a data set, or None where a run needs it."""
        runs = {name: run for name, run in self.experiments.all_runs.items() if run.data == data}
        reasons = [self.leaves_out(run) for run in runs]
        return None if None in reasons else f"profile {self.name} has no run on {data}"

    def scored_by(self, search: str) -> str:
        """Return the run whose scores a search is made on; an unknown name lists the known ones."""
        searches = self.experiments.searches
        if search not in searches:
            raise ReplicationError(
                f"{self.root / 'experiments.yaml'}: `searches` has no {search!r}; use one of "
                f"{', '.join(searches)}"
            )
        return searches[search].run

    def place(self, kind: str, run: str | None = None, seed: int | None = None) -> Path:
        """Return ``KIND/PROFILE[/RUN[/seed_SEED]]`` under the root."""
        parts = [kind, self.name]
        if run is not None:
            parts.append(run)
        if seed is not None:
            parts.append(f"seed_{seed}")
        return self.root.joinpath(*parts)


def load(root: Path, profile_name: str | None = None) -> Settings:
    """Read and validate all settings under ``root``.

    Args:
        root: the folder of params.yaml, experiments.yaml and profiles/.
        profile_name: looks at another profile's outputs than params.yaml's; nothing is made with
            it, so that its images need not be there.

    Raises:
        ReplicationError: one line naming the file, the key, the value and the cure.
    """
    params = parse(Params, root / "params.yaml")
    if profile_name is not None:
        params = params.model_copy(update={"profile": profile_name})
    path = root / "profiles" / f"{params.profile}.yaml"
    if Path(params.profile).name != params.profile or not path.is_file():
        known = ", ".join(sorted(p.stem for p in (root / "profiles").glob("*.yaml")))
        said = "--profile" if profile_name else f"{root / 'params.yaml'}: `profile`"
        raise ReplicationError(
            f"{said} is {params.profile!r}, and {path} does not exist; use one of {known}"
        )
    profile = parse(Profile, path)
    experiments = parse(Experiments, root / "experiments.yaml")
    settings = Settings(root, params, profile, experiments)
    if profile.data == "folder" and params.data.folder is None and profile_name is None:
        raise ReplicationError(
            f"{root / 'params.yaml'}: `data.folder` is null, and profile {settings.name!r} trains "
            "on a folder of yours; set it to a VOC-style folder (JPEGImages, SegmentationClass, "
            "ImageSets/Segmentation)"
        )
    check_names(path, params, profile, experiments)
    return settings
