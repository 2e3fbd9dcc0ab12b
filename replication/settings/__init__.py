"""Typed settings: what a person turns, how far a profile scales, and every run of the paper.

Three kinds of file, each validated in full before anything runs:

- ``params.yaml``: the profile, seeds, places of data, device, CRF parameters (`params`);
- ``profiles/NAME.yaml``: how far everything is scaled down (`profile`);
- ``experiments.yaml``: every training run of the paper, once, by name (`experiments`).

A mistake becomes one line: file, key, value, cure (`reading`). Nothing here imports torch.
"""

from replication.settings.agreement import check_names, seeds_of
from replication.settings.experiments import IMAGENET, Experiments, Run
from replication.settings.network import Architecture, Flavour, Head, MultiScale, Recipe
from replication.settings.params import Archives, Params
from replication.settings.profile import Profile
from replication.settings.reading import parse, read_yaml

__all__ = [
    "IMAGENET",
    "Architecture",
    "Archives",
    "Experiments",
    "Flavour",
    "Head",
    "MultiScale",
    "Params",
    "Profile",
    "Recipe",
    "Run",
    "check_names",
    "parse",
    "read_yaml",
    "seeds_of",
]
