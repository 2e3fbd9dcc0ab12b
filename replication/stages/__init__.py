"""The pipeline's stages: each reads what the one before it wrote and writes its own, by name.

``dvc.yaml`` calls these through ``replication stage NAME``; every place is `Settings.place`. What a
stage works with is imported inside it, so that it loads only what it needs.
"""

from replication.stages.data import fetch, prepare
from replication.stages.measurement import evaluate
from replication.stages.network import imagenet, score, train
from replication.stages.refinement import refine, search
from replication.stages.results import figures, report, tables

__all__ = [
    "evaluate",
    "fetch",
    "figures",
    "imagenet",
    "prepare",
    "refine",
    "report",
    "score",
    "search",
    "tables",
    "train",
]
