"""The command ``replication predict``: anyone's images, by one checkpoint file alone."""

from pathlib import Path
from typing import Annotated

import typer

from replication.errors import ReplicationError


def predict(
    *,
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGE...", help="Images of any size, or folders.")
    ],
    checkpoint: Annotated[
        Path,
        typer.Option(
            help="A weights.safetensors of `replication stage train` or `replication convert`."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Where the label maps go: palette PNGs.")] = Path(
        "predictions"
    ),
    fit: Annotated[
        str,
        typer.Option(
            help="pad: with the mean colour, at the bottom and right, as the authors test. resize: "
            "the longer side to the size, the scores back to the image. tile: overlapping tiles, "
            "blended."
        ),
    ] = "pad",
    size: Annotated[
        int | None,
        typer.Option(
            help="Side of the network's input, 8 k + 1 pixels; pad takes more where an image needs "
            "it. Without, the size that the checkpoint was tested at."
        ),
    ] = None,
    tile_overlap: Annotated[
        int | None, typer.Option(help="Pixels that neighbouring tiles share [a third of one].")
    ] = None,
    multi_scale: Annotated[
        bool,
        typer.Option(
            "--multi-scale",
            help="The maximum of the scores at scales 1, 0.75 and 0.5. A network trained at "
            "several scales takes its own in any case.",
        ),
    ] = False,
    crf: Annotated[
        bool, typer.Option("--crf", help="Refine the labels by the fully connected CRF.")
    ] = False,
    crf_parameters: Annotated[
        str | None,
        typer.Option(
            help="A published setting (`replication crf presets`), the JSON file of a search, or "
            "values such as w1=4,sigma_alpha=65 [vgg_aspp_release on VGG-16, resnet_ports on "
            "ResNet-101]."
        ),
    ] = None,
    overlay: Annotated[
        bool,
        typer.Option("--overlay", help="Also OUT/overlays: labels over the photograph, a legend."),
    ] = False,
    save_scores: Annotated[
        bool,
        typer.Option(
            "--save-scores",
            help="Also OUT/scores: NAME.npz, float16 (classes, height, width), before softmax and "
            "CRF, at output stride 8 (with --fit resize at 1), as `replication crf` reads them.",
        ),
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Make results again that are there already.")
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    precision: Annotated[
        str, typer.Option(help="auto (bfloat16 where it is fast), 32-true or bf16-mixed.")
    ] = "auto",
) -> None:
    """Label images with a trained network: OUT/NAME.png holds a class number for each pixel.

    Images are turned as their EXIF data say. Interrupted, the same command goes on: results of the
    same checkpoint and options are kept. OUT/predict.json says what made them, with the classes.

    \b
    replication predict street.jpg --checkpoint runs/demo/aspp_l/seed_0/weights.safetensors
    replication predict photos/ more/*.png --checkpoint weights.safetensors \\
        --crf --overlay --out labelled
    replication predict huge.tif --checkpoint weights.safetensors --fit tile --tile-overlap 200
    replication predict photos/ --checkpoint weights.safetensors --fit resize --multi-scale \\
        --crf --crf-parameters search.json

    An image that can't be read is named, the others are done, and the exit status is 2.
    """
    from typing import get_args

    from replication import __version__
    from replication.inference.fit import Fit, Scorer, Way
    from replication.models.checkpoint import read_checkpoint
    from replication.predict.folder import claim
    from replication.predict.photographs import find_images
    from replication.predict.refinement import parse_parameters
    from replication.predict.run import Setting, target_of
    from replication.predict.run import predict as predict_images
    from replication.provenance import sha256_file
    from replication.training.device import choose_device, choose_precision

    if fit not in get_args(Way):
        raise ReplicationError(f"`--fit` is {fit!r}; use one of {', '.join(get_args(Way))}")
    if tile_overlap is not None and fit != "tile":
        raise ReplicationError(f"`--tile-overlap` is {tile_overlap}, which needs --fit tile")
    if crf_parameters is not None and not crf:
        raise ReplicationError(f"`--crf-parameters` is {crf_parameters!r}, which needs --crf")
    where = choose_device(device, "`--device`")
    how = choose_precision(precision, where, "`--precision`")
    named = find_images(images)
    found = read_checkpoint(checkpoint)
    notes, network = found.notes, found.network
    side = notes.test_size if size is None else size
    overlap = (side or 0) // 3 if tile_overlap is None else tile_overlap
    fitting = Fit(fit, side, overlap if fit == "tile" else 0)  # type: ignore[arg-type]
    fitting.check()
    if multi_scale and len(network.scales) == 1:
        network.scales = [1.0, 0.75, 0.5]
    backbone = notes.configuration["backbone"]
    parameters = parse_parameters(crf_parameters, backbone) if crf else None
    setting = Setting(fitting, network.scales, parameters)
    record = {
        "checkpoint": sha256_file(checkpoint),
        "setting": setting.as_dict(),
        "run": notes.run,
        "profile": notes.profile,
        "data": notes.data,
        "classes": notes.classes,
        "version": __version__,
    }
    tasks = [(i, target_of(i, out, overlay=overlay, scores=save_scores)) for i in named]
    left = claim(out, record, tasks, overwrite=overwrite)
    predict_images(left, Scorer(network, where, how), notes, setting)
    kept = len(tasks) - len(left)
    typer.echo(
        f"{len(tasks)} label maps in {out}" + (f" ({kept} were there already)" if kept else "")
    )
