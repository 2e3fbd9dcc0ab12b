"""What a profile says of runs: their seeds; and that it names what experiments.yaml has."""

from __future__ import annotations

from pathlib import Path

from replication.errors import ReplicationError
from replication.settings.experiments import IMAGENET, Experiments
from replication.settings.params import Params
from replication.settings.profile import Profile


def seeds_of(run: str, params: Params, profile: Profile) -> list[int]:
    """Return the seeds that ``run`` is trained with: params.yaml's, then the profile's more."""
    return list(dict.fromkeys([*params.seeds, *profile.more_seeds.get(run, [])]))


def check_names(path: Path, params: Params, profile: Profile, experiments: Experiments) -> None:
    """See that the profile in the file ``path`` names families and runs that there are.

    Raises:
        ReplicationError: a family or a run that experiments.yaml does not have, or a seed of a run
            that the run it starts from is not trained with.
    """
    unknown = set(profile.families or ()) - set(experiments.families)
    if unknown:
        raise ReplicationError(
            f"{path}: `families` names {sorted(unknown)[0]!r}, which experiments.yaml does not "
            f"have; use {', '.join(experiments.families)}"
        )
    for run in profile.more_seeds:
        if run not in experiments.all_runs:
            raise ReplicationError(
                f"{path}: `more_seeds` names {run!r}, which is no run; `replication runs` lists "
                "them"
            )
        start = experiments.all_runs[run].init
        if start == IMAGENET:
            continue
        for seed in seeds_of(run, params, profile):
            if seed not in seeds_of(start, params, profile):
                raise ReplicationError(
                    f"{path}: `more_seeds.{run}` has {seed}, and {run!r} starts from {start!r}, "
                    f"which does not; give `more_seeds.{start}` the same"
                )
