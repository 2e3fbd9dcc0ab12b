"""The seeds of a run, as folders beside each other."""

import shutil

from replication.plan import Settings


def forget_other_seeds(settings: Settings, kind: str, run: str) -> None:
    """Delete what belongs to a seed that was taken out of params.yaml and the profile."""
    wanted = {settings.place(kind, run, seed) for seed in settings.seeds(run)}
    for old in settings.place(kind, run).glob("seed_*"):
        if old not in wanted:
            shutil.rmtree(old)
