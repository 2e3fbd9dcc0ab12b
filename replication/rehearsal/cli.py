"""The commands ``replication rehearse`` and ``replication estimate``."""

from pathlib import Path
from typing import Annotated

import typer

from replication.errors import ReplicationError

Profile = Annotated[str, typer.Option(help="The profile, whatever params.yaml says.")]
Root = Annotated[
    Path, typer.Option(help="Folder with params.yaml, experiments.yaml and profiles/.")
]


def rehearse(
    *,
    runs: Annotated[
        list[str] | None, typer.Argument(metavar="[RUN...]", help="Runs; all if none is named.")
    ] = None,
    profile: Profile = "paper",
    images: Annotated[int, typer.Option(min=1, help="Images that are scored and refined.")] = 4,
    root: Root = Path(),
) -> None:
    """Run every stage of PROFILE at real size: two updates, a few images; note seconds and memory.

    What would break after days breaks here in minutes: a batch that does not fit, a file that is
    missing, a typo. Data are the profile's where they have been prepared, else the sample's;
    weights that would have to be downloaded are random ones of the same size. Everything is made
    in tmp/rehearsal/PROFILE, nothing of the pipeline's own is touched; rehearsals/PROFILE.json
    holds the cost, and `replication estimate` reads it.

    \b
    replication rehearse
    replication rehearse aspp_l poly_b10_20k --profile paper --images 2
    """
    from replication.plan import load
    from replication.rehearsal.rehearse import rehearse as rehearse_runs
    from replication.rehearsal.workspace import make_workspace

    settings = load(root.resolve(), profile)
    chosen = list(runs or settings.experiments.all_runs)
    for run in chosen:
        settings.plan(run)  # an unknown one is named before anything runs
    folder = make_workspace(settings, settings.root / "tmp" / "rehearsal" / profile, images)
    out = settings.root / "rehearsals" / f"{profile}.json"
    rehearse_runs(settings, chosen, folder, out)
    typer.echo(f"rehearsed; `replication estimate --profile {profile}` sums up")
    typer.echo(out)


def estimate(*, profile: Profile = "paper", root: Root = Path()) -> None:
    """Print hours and memory by run and table, from what `replication rehearse` measured.

    Hours are those of one process, or one GPU, on the machine of the rehearsal.
    """
    from rich.console import Console

    from replication.plan import load
    from replication.provenance import read_record
    from replication.rehearsal.estimate import print_estimate

    settings = load(root.resolve(), profile)
    path = settings.root / "rehearsals" / f"{profile}.json"
    if not path.is_file():
        raise ReplicationError(
            f"{path} does not exist; run `replication rehearse --profile {profile}` first"
        )
    for table in print_estimate(settings, read_record(path)):
        Console().print(table)
