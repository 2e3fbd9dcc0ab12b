"""The commands ``replication stage``, one for each stage of ``dvc.yaml``.

Outside the package ``stages``, whose import would bring the settings, and pydantic, along.
"""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Run one stage of dvc.yaml by hand, with params.yaml's profile.",
    no_args_is_help=True,
)

Root = Annotated[
    Path, typer.Option(help="Folder with params.yaml, experiments.yaml and profiles/.")
]
Run = Annotated[str, typer.Argument(help="A run of experiments.yaml, such as aspp_l.")]
Data = Annotated[str, typer.Argument(help="A data set of experiments.yaml, such as voc2012.")]
HERE = Path()


def _in_turn(name: str, root: Path, *arguments: str) -> None:
    from replication import stages
    from replication.plan import load

    getattr(stages, name)(load(root.resolve()), *arguments)


@app.command("fetch")
def stage_fetch(data: Data, root: Root = HERE) -> None:
    """Fetch and verify the archives of data set DATA (resumes; tries mirrors in turn)."""
    _in_turn("fetch", root, data)


@app.command("prepare")
def stage_prepare(data: Data, root: Root = HERE) -> None:
    """Unpack DATA, check every label, and write the canonical layout to datasets/."""
    _in_turn("prepare", root, data)


@app.command("imagenet")
def stage_imagenet(root: Root = HERE) -> None:
    """Note which ImageNet weights runs start from, so that other weights train them again."""
    _in_turn("imagenet", root)


@app.command("train")
def stage_train(run: Run, root: Root = HERE) -> None:
    """Train RUN for every seed; goes on from the last checkpoint after a break."""
    _in_turn("train", root, run)


@app.command("score")
def stage_score(run: Run, root: Root = HERE) -> None:
    """Write RUN's class scores for every val image, at output stride 8."""
    _in_turn("score", root, run)


@app.command("search")
def stage_search(
    name: Annotated[str, typer.Argument(help="A search of experiments.yaml, such as vgg_aspp.")],
    root: Root = HERE,
) -> None:
    """Search the CRF's parameters on the scores of the run that search NAME names."""
    _in_turn("search", root, name)


@app.command("refine")
def stage_refine(run: Run, root: Root = HERE) -> None:
    """Refine RUN's scores by the fully connected CRF into palette PNGs."""
    _in_turn("refine", root, run)


@app.command("evaluate")
def stage_evaluate(run: Run, root: Root = HERE) -> None:
    """Measure RUN's mean IOU before and after the CRF into results/."""
    _in_turn("evaluate", root, run)


@app.command("tables")
def stage_tables(root: Root = HERE) -> None:
    """Write tables 1 to 9 beside the paper's; runs without a result say `not run`."""
    _in_turn("tables", root)


@app.command("figures")
def stage_figures(root: Root = HERE) -> None:
    """Draw every figure that what is on disk allows, with captions.json, to figures/."""
    _in_turn("figures", root)


@app.command("report")
def stage_report(root: Root = HERE) -> None:
    """Build the web report from results, searches, tables, figures and images on disk."""
    _in_turn("report", root)
