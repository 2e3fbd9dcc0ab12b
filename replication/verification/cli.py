"""The command ``replication verify``."""

from pathlib import Path
from typing import Annotated

import typer

DIFFERS = 1


def verify(
    run: Annotated[str, typer.Argument(help="A run of experiments.yaml, such as aspp_l.")],
    *,
    profile: Annotated[str | None, typer.Option(help="Another profile than params.yaml's.")] = None,
    tolerance: Annotated[
        float,
        typer.Option(
            min=0,
            help="Points that an IOU, and percent of pixels that counts, may differ by: scores "
            "enlarged on another processor may be rounded otherwise.",
        ),
    ] = 1e-9,
    json: Annotated[bool, typer.Option("--json", help="Print JSON in place of a table.")] = False,
    root: Annotated[
        Path, typer.Option(help="Folder with params.yaml, experiments.yaml and profiles/.")
    ] = Path(),
) -> None:
    """Evaluate RUN again from its stored scores and refined labels; compare with its result.

    Mean IOU, IOU by class, trimap and confusion before and after the CRF are measured again, and
    data, weights, scores, refined labels and the CRF's search hashed again. Nothing is written.

    Exit status 0: all that the result records is the same; 1: something differs; 2: bad input, or
    what the result was made from is not here (the message names what to run).
    """
    from replication.plan import load
    from replication.verification.verify import verify as verify_run

    settings = load(root.resolve(), profile)
    checks = verify_run(settings, run, tolerance)
    if json:
        import json as writer

        from replication.verification.compare import as_json

        typer.echo(writer.dumps(as_json(checks), indent=1, ensure_ascii=False))
    else:
        from replication.verification.table import as_text

        typer.echo(as_text(checks, f"results/{settings.name}/{run}.json"))
    if any(check.verdict == "differs" for check in checks):
        raise typer.Exit(DIFFERS)
