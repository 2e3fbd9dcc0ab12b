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
stage = typer.Typer(
    help="Run one stage of dvc.yaml by hand, with params.yaml's profile.",
    no_args_is_help=True,
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

Root = Annotated[
    Path, typer.Option(help="Folder with params.yaml, experiments.yaml and profiles/.")
]
Run = Annotated[str, typer.Argument(help="A run of experiments.yaml, such as aspp_l.")]
Data = Annotated[str, typer.Argument(help="A data set of experiments.yaml, such as voc2012.")]
HERE = Path()
TERMINATED = 128 + signal.SIGTERM
STOPPED: dict[object, str] = {128 + signal.SIGINT: "interrupted", TERMINATED: "terminated"}


def _in_turn(name: str, root: Path, *arguments: str) -> None:
    from replication import stages
    from replication.plan import load

    getattr(stages, name)(load(root.resolve()), *arguments)


@stage.command("fetch")
def stage_fetch(data: Data, root: Root = HERE) -> None:
    """Fetch and verify the archives of data set DATA (resumes; tries mirrors in turn)."""
    _in_turn("fetch", root, data)


@stage.command("prepare")
def stage_prepare(data: Data, root: Root = HERE) -> None:
    """Unpack DATA, check every label, and write the canonical layout to datasets/."""
    _in_turn("prepare", root, data)


@stage.command("imagenet")
def stage_imagenet(root: Root = HERE) -> None:
    """Note which ImageNet weights runs start from, so that other weights train them again."""
    _in_turn("imagenet", root)


@stage.command("train")
def stage_train(run: Run, root: Root = HERE) -> None:
    """Train RUN for every seed; goes on from the last checkpoint after a break."""
    _in_turn("train", root, run)


@stage.command("score")
def stage_score(run: Run, root: Root = HERE) -> None:
    """Write RUN's class scores for every val image, at output stride 8."""
    _in_turn("score", root, run)


@stage.command("search")
def stage_search(
    name: Annotated[str, typer.Argument(help="A search of experiments.yaml, such as vgg_aspp.")],
    root: Root = HERE,
) -> None:
    """Search the CRF's parameters on the scores of the run that search NAME names."""
    _in_turn("search", root, name)


@stage.command("refine")
def stage_refine(run: Run, root: Root = HERE) -> None:
    """Refine RUN's scores by the fully connected CRF into palette PNGs."""
    _in_turn("refine", root, run)


@stage.command("evaluate")
def stage_evaluate(run: Run, root: Root = HERE) -> None:
    """Measure RUN's mean IOU before and after the CRF into results/."""
    _in_turn("evaluate", root, run)


@stage.command("tables")
def stage_tables(root: Root = HERE) -> None:
    """Write tables 1 to 9 beside the paper's; runs without a result say `not run`."""
    _in_turn("tables", root)


@stage.command("figures")
def stage_figures(root: Root = HERE) -> None:
    """Draw every figure that what is on disk allows, with captions.json, to figures/."""
    _in_turn("figures", root)


@stage.command("report")
def stage_report(root: Root = HERE) -> None:
    """Build the web report from results, searches, tables, figures and images on disk."""
    _in_turn("report", root)


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
        typer.Option(help="Stages at once; none: 1, or a core each where the profile is small."),
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
    typer.echo(against(Evidence(settings.place("results"), settings.name), run, base), nl=False)


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
