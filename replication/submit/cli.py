"""The command ``replication submit``: a run's labels of a test set, as the server takes them."""

from pathlib import Path
from typing import Annotated

import typer

from replication.errors import ReplicationError


def submit(
    *,
    server: Annotated[str, typer.Argument(help="voc2012 (table 5) or cityscapes (table 8).")],
    run: Annotated[str, typer.Option(help="A trained run of experiments.yaml.")],
    images: Annotated[
        Path,
        typer.Option(
            help="The test images: the folder that VOC 2012's test archive, or "
            "leftImg8bit_trainvaltest.zip, unpacks to."
        ),
    ],
    seed: Annotated[int | None, typer.Option(help="Of the training [params.yaml's first].")] = None,
    crf: Annotated[bool, typer.Option(help="Refine by the CRF, with the run's parameters.")] = True,
    incomplete: Annotated[
        bool, typer.Option("--incomplete", help="Take fewer images than the test set has.")
    ] = False,
    root: Annotated[
        Path, typer.Option(help="Folder with params.yaml, experiments.yaml and profiles/.")
    ] = Path(),
) -> None:
    """Write submissions/PROFILE/RUN_SERVER.tar.gz or .zip, ready to hand in, and check it.

    Labels the test images by the run's checkpoint (interrupted, the same command goes on), packs
    them under the names and with the values that the server reads, and reads the archive again.
    The authors had trained on val too before they handed VOC's in; a run here has not seen val.

    \b
    replication submit voc2012 --run aspp_l --images VOCdevkit/VOC2012
    """
    from replication.models.checkpoint import read_checkpoint
    from replication.plan import load
    from replication.predict.cli import predict
    from replication.stages.refinement import choose_crf
    from replication.submit.archive import check, pack
    from replication.submit.servers import get_server

    asked = get_server(server)
    settings = load(root.resolve())
    settings.plan(run)  # an unknown run is named here
    seed = settings.params.seeds[0] if seed is None else seed
    checkpoint = settings.place("runs", run, seed) / "weights.safetensors"
    if not checkpoint.is_file():
        raise ReplicationError(
            f"{checkpoint} does not exist; run `dvc repro {settings.target('train', run)}` first"
        )
    notes = read_checkpoint(checkpoint).notes
    if tuple(notes.classes) != asked.classes:
        raise ReplicationError(
            f"run {run!r} knows {len(notes.classes)} classes of {notes.data}, and {server} asks "
            f"for {len(asked.classes)}; choose a run that was trained on it"
        )
    found = asked.find(images)
    if len(found) != asked.count and not incomplete:
        raise ReplicationError(
            f"{images} has {len(found):,} test images, and {server} asks for {asked.count:,}; give "
            "all of them, or --incomplete to try the format"
        )
    parameters = choose_crf(settings, run)[0].model_dump() if crf else {}
    folder = settings.place("submissions")
    labels = folder / f"{run}_{server}"
    predict(
        images=found,
        checkpoint=checkpoint,
        out=labels,
        fit=asked.fit,
        crf=crf,
        crf_parameters=",".join(f"{k}={v}" for k, v in parameters.items()) or None,
        device=settings.params.device,
        precision=settings.params.precision,
    )
    out = folder / f"{run}_{server}{asked.suffix}"
    pack(asked, found, labels, out)
    check(asked, found, out)
    typer.echo(f"{out}: {len(found):,} label maps, checked; hand it in at {asked.homepage}")
