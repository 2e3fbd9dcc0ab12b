"""``replication crf``: the CRF by itself, for anyone's score maps; no training code is imported."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="The fully connected CRF for anyone's score maps: refine them, search its parameters.",
    no_args_is_help=True,
)

Images = Annotated[Path, typer.Option(help="Photographs: ID.jpg, ID.jpeg or ID.png.")]
Scores = Annotated[
    Path,
    typer.Option(
        help="Class scores before softmax: ID.npz (key `scores`) or ID.npy, (classes, height, "
        "width), any float type."
    ),
]
Ids = Annotated[
    Path | None, typer.Option(help="A list of the ids to take, one a line; without, all.")
]
Jobs = Annotated[
    int | None, typer.Option(min=1, help="Processes; without, one for each usable core.")
]
Engine = Annotated[str, typer.Option(help="lattice, or pydensecrf where it is installed.")]
Stride = Annotated[
    int, typer.Option(min=1, help="Pixels between two scores: the network's output stride.")
]
Iterations = Annotated[int, typer.Option(min=0, help="Mean-field updates.")]
Normalization = Annotated[
    str, typer.Option(help="after (the authors'), symmetric (pydensecrf's own), before, or none.")
]

Cluster = Annotated[
    str | None,
    typer.Option(
        help="Address of a Dask scheduler, such as tcp://host:8786, whose workers do the work and "
        "see the same folders."
    ),
]


@app.command()
def refine(
    *,
    images: Images,
    scores: Scores,
    out: Annotated[Path, typer.Option(help="Where the labels go: palette PNGs, ID.png.")],
    w1: Annotated[float | None, typer.Option(help="Weight of the bilateral kernel [4].")] = None,
    sigma_alpha: Annotated[
        float | None, typer.Option(help="Its width in space, pixels [67].")
    ] = None,
    sigma_beta: Annotated[
        float | None, typer.Option(help="Its width in colour, grey levels of 0..255 [3].")
    ] = None,
    w2: Annotated[float | None, typer.Option(help="Weight of the spatial kernel [3].")] = None,
    sigma_gamma: Annotated[float | None, typer.Option(help="Its width, pixels [1].")] = None,
    iterations: Annotated[int | None, typer.Option(min=0, help="Mean-field updates [10].")] = None,
    normalization: Annotated[
        str | None,
        typer.Option(
            help="after (the authors') [after], symmetric (pydensecrf's own), before, none."
        ),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(help="Start from a published setting; `replication crf presets` lists them."),
    ] = None,
    found: Annotated[
        Path | None, typer.Option(help="Start from what a search found: its JSON file.")
    ] = None,
    engine: Engine = "lattice",
    mode: Annotated[
        str, typer.Option(help="exact, or fast: 1 pixel in 10,000 may differ (lattice only).")
    ] = "exact",
    output_stride: Stride = 8,
    ids: Ids = None,
    save_probabilities: Annotated[
        bool, typer.Option("--save-probabilities", help="Also write ID.npz, float16 (C, H, W).")
    ] = False,
    jobs: Jobs = None,
    cluster: Cluster = None,
) -> None:
    """Refine score maps by the CRF into label maps.

    Scores are enlarged by the output stride, corners aligned, from the top left corner, and cropped
    to the image. Interrupted, the same command goes on; finished images are not made again.

    \b
    replication crf refine --images JPEGImages --scores scores --out refined
    replication crf refine --images JPEGImages --scores scores --out refined \\
        --preset vgg_aspp_release --sigma-alpha 50 --jobs 2
    replication crf refine --images JPEGImages --scores scores --out refined --found search.json
    """
    from replication.crf.folder import check_out, count_classes, read_folders
    from replication.crf.labelling import find_mode
    from replication.crf.options import choose_parameters
    from replication.crf.run import Setting, refine_images

    given = {
        "w1": w1,
        "sigma_alpha": sigma_alpha,
        "sigma_beta": sigma_beta,
        "w2": w2,
        "sigma_gamma": sigma_gamma,
        "iterations": iterations,
        "normalization": normalization,
    }
    parameters = choose_parameters(preset, found, given)
    chosen = find_mode(mode, engine)
    items = read_folders(images, scores, ids=ids)
    check_out(out, (images, scores))
    setting = Setting(parameters, output_stride, count_classes(items), engine, chosen)
    record = refine_images(
        items, out, setting, jobs=jobs, save_probabilities=save_probabilities, cluster=cluster
    )
    kept = f" ({record['resumed']} were there already)" if record["resumed"] else ""
    typer.echo(f"{record['images']} label maps in {out}{kept}, {record['seconds']:.1f} s")


@app.command()
def search(
    *,
    images: Images,
    scores: Scores,
    labels: Annotated[
        Path, typer.Option(help="Truth: ID.png, palette or grey, class indices, 255 for void.")
    ],
    out: Annotated[Path, typer.Option(help="The JSON file to write.")],
    ids: Annotated[
        Path | None, typer.Option(help="A list of the ids to draw from, one a line; else all.")
    ] = None,
    samples: Annotated[int, typer.Option(min=1, help="How many images to draw.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Of the draw.")] = 0,
    jobs: Jobs = None,
    engine: Engine = "lattice",
    mode: Annotated[
        str | None,
        typer.Option(help="fast (the best points run again exactly; lattice's default), or exact."),
    ] = None,
    output_stride: Stride = 8,
    w2: Annotated[float, typer.Option(help="Weight of the spatial kernel, held fixed.")] = 3.0,
    sigma_gamma: Annotated[float, typer.Option(help="Its width, pixels, held fixed.")] = 3.0,
    iterations: Iterations = 10,
    normalization: Normalization = "after",
    coarse_w1: Annotated[str, typer.Option(help="FIRST:LAST or FIRST:LAST:STEP.")] = "3:6",
    coarse_sigma_alpha: Annotated[str, typer.Option(help="Likewise.")] = "30:100:10",
    coarse_sigma_beta: Annotated[str, typer.Option(help="Likewise.")] = "3:6",
    refine: Annotated[
        bool, typer.Option(help="Two rounds of halved steps around the best follow.")
    ] = True,
    trimap: Annotated[
        int | None,
        typer.Option(min=1, help="Count only pixels this near to a void contour, in mean IOU."),
    ] = None,
    cluster: Cluster = None,
) -> None:
    """Search the paper's grid for the parameters of the highest mean IOU.

    Coarse steps on 100 images first, then finer ones around the best. Interrupted, the same command
    goes on from OUT.partial.

    \b
    replication crf search --images JPEGImages --scores scores --labels SegmentationClass \\
        --ids val.txt --out search.json
    replication crf refine --images JPEGImages --scores scores --out refined --found search.json
    replication crf heatmap search.json
    """
    from replication.crf.folder import count_classes, read_folders
    from replication.crf.grid import FINER_ROUNDS, parse_grid
    from replication.crf.options import check_parameters
    from replication.crf.search import draw
    from replication.crf.search import search as run_search
    from replication.crf.tally import Fixed

    grid = parse_grid(coarse_w1, coarse_sigma_alpha, coarse_sigma_beta)
    checked = check_parameters(
        {
            **grid.points()[0]._asdict(),
            "w2": w2,
            "sigma_gamma": sigma_gamma,
            "iterations": iterations,
            "normalization": normalization,
        }
    )
    items = {item.id: item for item in read_folders(images, scores, labels, ids)}
    drawn = [items[name] for name in draw(list(items), samples, seed)]
    fixed = Fixed(
        num_classes=count_classes(drawn),
        stride=output_stride,
        engine=engine,
        w2=checked.w2,
        sigma_gamma=checked.sigma_gamma,
        iterations=checked.iterations,
        normalization=checked.normalization,
        trimap=trimap,
    )
    result = run_search(
        drawn,
        fixed,
        out,
        grid=grid,
        finer_rounds=FINER_ROUNDS if refine else 0,
        mode=mode,
        jobs=jobs,
        cluster=cluster,
        about={"samples": samples, "seed": seed, "drawn_from": len(items)},
    )
    best = result["best"]
    typer.echo(
        f"best: w1 {best['w1']:g}, sigma_alpha {best['sigma_alpha']:g}, sigma_beta "
        f"{best['sigma_beta']:g}: {best['miou']:.2f} % (before the CRF "
        f"{result['before_miou']:.2f} %), {len(result['points'])} points on {len(drawn)} images, "
        f"{result['seconds']:.0f} s\n{out}"
    )


@app.command()
def presets() -> None:
    """List the published settings that `refine --preset` takes, and where they come from."""
    from replication.crf.options import DEFAULT_PRESET
    from replication.crf.parameters import PRESETS

    typer.echo(f"{'name':<17} w1  sigma_alpha  sigma_beta  w2  sigma_gamma  source")
    for name, preset in PRESETS.items():
        p = preset.parameters
        notes = [preset.source]
        if preset.assumed is not None:
            notes.append(preset.assumed)
        if name == DEFAULT_PRESET:
            notes.append("what `refine` takes by itself")
        typer.echo(
            f"{name:<17} {p.w1:<3g} {p.sigma_alpha:<12g} {p.sigma_beta:<11g} {p.w2:<3g} "
            f"{p.sigma_gamma:<12g} {'; '.join(notes)}"
        )
    typer.echo("All with 10 iterations and normalization `after`.")


@app.command()
def heatmap(
    found: Annotated[Path, typer.Argument(metavar="SEARCH.json", help="What a search wrote.")],
    out: Annotated[
        Path | None,
        typer.Option(help="The figure, without suffix; without, beside SEARCH.json."),
    ] = None,
) -> None:
    """Draw a search as a heat map: PNG and PDF."""
    from replication.crf.options import read_search
    from replication.reporting.heatmap import heatmap as draw_heatmap

    for path in draw_heatmap(read_search(found), found.with_suffix("") if out is None else out):
        typer.echo(path)


@app.command()
def maps(
    *,
    image: Annotated[Path, typer.Option(help="The photograph.")],
    scores: Annotated[Path, typer.Option(help="Its scores: .npz (key `scores`) or .npy.")],
    label: Annotated[int, typer.Option(min=0, help="The class to show, by its index.")],
    out: Annotated[Path, typer.Option(help="The figure, without suffix.")],
    preset: Annotated[str | None, typer.Option(help="As for `refine`.")] = None,
    found: Annotated[Path | None, typer.Option(help="As for `refine`.")] = None,
    engine: Engine = "lattice",
    output_stride: Stride = 8,
) -> None:
    """Draw figure 5: a class's score and belief maps after 0, 1, 2 and 10 iterations."""
    from replication.crf.options import choose_parameters
    from replication.reporting.figure5 import figure5

    for path in figure5(
        image,
        scores,
        choose_parameters(preset, found, {}),
        label,
        out,
        stride=output_stride,
        engine=engine,
    ):
        typer.echo(path)
