"""The command ``replication doctor``."""

from pathlib import Path
from typing import Annotated

import typer

WRONG = 1


def doctor(
    *,
    profile: Annotated[str | None, typer.Option(help="Another profile than params.yaml's.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON in place of lines.")] = False,
    root: Annotated[
        Path, typer.Option(help="Folder with params.yaml, experiments.yaml and profiles/.")
    ] = Path(),
) -> None:
    """Look at the set-up: versions, devices, memory, disk, git, DVC, weights, data.

    One line each: ok, note (good to know) or wrong, with its cure. Nothing is changed or
    downloaded. Exit status 1 if something is wrong.
    """
    from replication.doctor.examine import examine

    findings = examine(root.resolve(), profile)
    if json:
        import json as writer

        typer.echo(writer.dumps([vars(one) for one in findings], indent=1, ensure_ascii=False))
    else:
        width = max(len(one.what) for one in findings)
        for one in findings:
            typer.echo(one.line(width))
    if any(one.status == "wrong" for one in findings):
        raise typer.Exit(WRONG)
