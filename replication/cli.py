"""The command ``replication``: one thin function for each command.

Nothing heavy is imported before a command runs, so that ``--help`` answers at once.
"""

import signal
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from replication.crf.cli import app as crf
from replication.doctor.cli import doctor
from replication.errors import ReplicationError, lack, one_line
from replication.evaluation.cli import evaluate
from replication.predict.cli import predict
from replication.rehearsal.cli import estimate, rehearse
from replication.stage_cli import HERE, Root
from replication.stage_cli import app as stage
from replication.submit.cli import submit
from replication.verification.cli import verify

app = typer.Typer(
    help="DeepLab v2 (arXiv 1606.00915), replicated: from archives to the paper's tables.\n\n"
    "`dvc repro` runs everything; the commands here are its stages and what serves them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
)
sample = typer.Typer(
    help="Make the embedded sample again (only needed to change it).", no_args_is_help=True
)
app.add_typer(stage, name="stage")
app.add_typer(sample, name="sample")
app.add_typer(crf, name="crf")
app.command("evaluate")(evaluate)
app.command("predict")(predict)
app.command("submit")(submit)
app.command("rehearse")(rehearse)
app.command("estimate")(estimate)
app.command("verify")(verify)
app.command("doctor")(doctor)

TERMINATED = 128 + signal.SIGTERM
STOPPED: dict[object, str] = {128 + signal.SIGINT: "interrupted", TERMINATED: "terminated"}


@app.command()
def report(
    open_it: Annotated[bool, typer.Option("--open", help="Show it in the browser.")] = False,
    profile: Annotated[str | None, typer.Option(help="Another profile than params.yaml's.")] = None,
    root: Root = HERE,
) -> None:
    """Build the web report, report/PROFILE/index.html, from what is on disk."""
    import webbrowser

    from replication import stages
    from replication.plan import load

    page = stages.report(load(root.resolve(), profile))
    typer.echo(page)
    if open_it and not webbrowser.open(page.as_uri()):
        raise ReplicationError(f"no browser answered; open {page} in one")


@app.command()
def repro(
    jobs: Annotated[
        int | None,
        typer.Option(help="Stages at once [1; where networks are small, one a core, 8 at most]."),
    ] = None,
    root: Root = HERE,
) -> None:
    """Run the pipeline, `dvc repro`, with several runs side by side where they are small.

    The same stages with the same results as `dvc repro`, which does one at a time. A profile that
    sets `threads` (smoke, demo) leaves the other cores to other runs; `paper` and `photos` train
    one network at a time, on the whole machine.
    """
    from replication import repro as pipeline
    from replication.plan import load

    settings, cores = load(root.resolve()), pipeline.usable_cores()
    pipeline.repro(settings, pipeline.processes(settings, jobs, cores), cores)


@app.command()
def runs(root: Root = HERE) -> None:
    """List every run: the paper's numbers, and what the profile makes of its recipe."""
    from replication.plan import load
    from replication.reporting.runs import print_runs

    print_runs(load(root.resolve()))


@app.command()
def compare(
    run: Annotated[str, typer.Argument(help="A run with a result, such as one of your own.")],
    base: Annotated[str, typer.Argument(help="The run that it is set against.")],
    root: Root = HERE,
) -> None:
    """Print what RUN has over BASE, as Markdown: mean IOU with paired intervals, cost, classes."""
    from replication.plan import load
    from replication.reporting.against import against
    from replication.reporting.evidence import Evidence

    settings = load(root.resolve())
    for name in (run, base):
        settings.plan(name)  # an unknown name is refused here, with those that there are
    evidence = Evidence(settings.place("results"), settings.name, settings.target)
    typer.echo(against(evidence, run, base), nl=False)


@app.command()
def profile(
    name: Annotated[str, typer.Argument(help="smoke, demo, photos or paper.")],
    folder: Annotated[
        str | None, typer.Option(help="Your VOC-style folder (profile photos).")
    ] = None,
    backbone: Annotated[str | None, typer.Option(help="A file of initial VGG-16 weights.")] = None,
    root: Root = HERE,
) -> None:
    """Choose the profile: edits params.yaml, leaving its comments and all else as they are."""
    from replication.choose import choose

    choose(root.resolve(), name, folder=folder, backbone=backbone)


@app.command()
def convert(
    file: Annotated[Path, typer.Argument(help="A .caffemodel, or a PyTorch port's .pth.")],
    run: Annotated[str, typer.Option(help="The run of experiments.yaml whose network it is.")],
    out: Annotated[Path, typer.Option(help="The .safetensors to write.")],
    classes: Annotated[int, typer.Option(min=2, help="Classes that it tells apart.")] = 21,
    root: Root = HERE,
) -> None:
    """Convert others' trained weights into a run's: every name mapped, every shape checked."""
    from replication.models.convert import write_converted
    from replication.plan import load

    write_converted(file, load(root.resolve(), "paper").plan(run), classes, out)
    typer.echo(out)


@app.command()
def cache(root: Root = HERE) -> None:
    """Look through DVC's cache: an object that is damaged is named and deleted.

    DVC itself takes what it has cached on trust. What is deleted, `dvc pull` or `dvc repro` brings
    back.
    """
    from replication.cache import mend

    count, found = mend(root.resolve())
    for path in found:
        typer.echo(f"{path}: damaged, and deleted")
    if found:
        raise ReplicationError(
            f"{len(found)} of {count} objects were damaged and are deleted: `dvc pull data.dvc` "
            "and `dvc repro` bring back what is missed"
        )
    typer.echo(f"{count} objects, none damaged")


@sample.command("render")
def sample_render(
    into: Annotated[Path, typer.Option(help="Where the archives go.")] = Path(
        "data/sample/archives"
    ),
    jobs: Annotated[int, typer.Option(min=1, help="Processes.")] = 2,
) -> None:
    """Render the scenes and pack them in the official layouts: the same bytes every time."""
    from replication.data.sample.pack import render

    for path in render(into=into, jobs=jobs).values():
        typer.echo(path)


@sample.command("pretrain")
def sample_pretrain(
    backbone: Annotated[
        Literal["vgg16", "resnet101"], typer.Argument(help="The network.")
    ] = "vgg16",
    out: Annotated[
        Path | None,
        typer.Option(help="The file to write; data/sample/backbones/BACKBONE.safetensors if none."),
    ] = None,
    work: Annotated[Path, typer.Option(help="Where rendered scenes are kept.")] = Path(
        "tmp/pretraining"
    ),
    updates: Annotated[
        int | None, typer.Option(min=1, help="Updates of ten crops; the sample's own if none.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Processes that render.")] = 2,
) -> None:
    """Pre-train a backbone of the sample on rendered scenes of its own (10 to 30 minutes)."""
    from replication.training.pretrain import pretrain

    out = out or Path(f"data/sample/backbones/{backbone}.safetensors")
    pretrain(out, work, backbone=backbone, updates=updates, jobs=jobs)


def _terminated(*_: object) -> None:
    raise SystemExit(TERMINATED)


def main() -> None:
    """Run the command; what a user can mend becomes one line and exit status 2.

    SIGTERM, which batch systems send before they kill, ends it as Ctrl-C does: half-written files
    are taken away.
    """
    signal.signal(signal.SIGTERM, _terminated)
    try:
        app()
    except ReplicationError as error:
        typer.echo(f"error: {one_line(error)}", err=True)
        sys.exit(2)
    except SystemExit as stop:
        if stop.code in STOPPED:  # typer has caught the interrupt, and says nothing
            typer.echo(f"{STOPPED[stop.code]}; run the same command again to go on", err=True)
        raise
    except Exception as error:
        said = lack(error)
        if said is None:
            raise
        typer.echo(f"error: {one_line(said)}", err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
