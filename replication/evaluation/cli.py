"""The command ``replication evaluate``: anyone's predictions, in two folders of PNGs."""

from pathlib import Path
from typing import Annotated

import typer

from replication.errors import ReplicationError


def evaluate(
    *,
    predictions: Annotated[
        Path, typer.Option(help="Folder of ID.png: class indices, palette or grey, no void.")
    ],
    labels: Annotated[
        Path, typer.Option(help="Folder of ID.png of the same sizes: class indices and void.")
    ],
    num_classes: Annotated[
        int, typer.Option(help="Indices are 0 to this minus 1, background included; VOC: 21.")
    ],
    ids: Annotated[
        Path | None,
        typer.Option(
            help="Images to evaluate, one ID a line, such as val.txt; other files are passed over. "
            "Without it, each label needs exactly one prediction."
        ),
    ] = None,
    ignore_index: Annotated[int, typer.Option(help="Label of pixels that do not count.")] = 255,
    trimap: Annotated[
        int,
        typer.Option(help="Widest band around void, pixels, to 127; all widths from 1. 0: none."),
    ] = 40,
    bootstrap: Annotated[
        int, typer.Option(help="Resamplings of the images for a 95 % interval. 0: none.")
    ] = 1_000,
    seed: Annotated[int, typer.Option(help="Seed of the resamplings.")] = 0,
    classes: Annotated[Path | None, typer.Option(help="Class names, one a line.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="JSON file to write; without it, JSON goes to the screen.")
    ] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print tables in place of JSON.")
    ] = False,
    jobs: Annotated[int | None, typer.Option(help="Processes; default: one a core.")] = None,
) -> None:
    """Measure predictions against labels: mean IOU, accuracies, trimap, confidence interval.

    Predictions may come from any program: one PNG per image, named as its label, whose pixels are
    class numbers (never colours). Everything is counted in one confusion matrix over all images;
    a class that neither labels nor predictions hold is left out of the mean.

    \b
    replication evaluate --predictions mine --labels VOC2012/SegmentationClass \\
        --num-classes 21 --ids VOC2012/ImageSets/Segmentation/val.txt --markdown

    JSON, in percent: miou, per_class_iou, pixel_accuracy, mean_accuracy, frequency_weighted_iou,
    images, confusion (pixels; rows truth, columns prediction), trimap (mean IOU within 1, 2, ..
    pixels of void), confidence_interval. null: undefined, as the IOU of a class that is nowhere.

    Exit status 2, and one line that names the file, if anything is wrong; then nothing is written.
    """
    import json

    from replication.atomic import write_json
    from replication.evaluation.folder import Options, evaluate_folder
    from replication.evaluation.markdown import to_markdown

    if out is not None and out.is_dir():
        raise ReplicationError(f"--out {out} is a folder; name a file, such as {out / 'mine.json'}")
    options = Options(num_classes, ignore_index, trimap, bootstrap, seed, jobs)
    found = evaluate_folder(predictions, labels, options, ids=ids, classes=classes)
    if out is not None:
        try:
            write_json(out, found)
        except OSError as error:
            raise ReplicationError(f"--out {out}: can't be written ({error.strerror})") from None
    if markdown:
        typer.echo(to_markdown(found), nl=False)
    elif out is None:
        typer.echo(json.dumps(found, allow_nan=False, ensure_ascii=False))
    else:
        miou = "undefined" if found["miou"] is None else f"{found['miou']:.2f} %"
        typer.echo(f"mean IOU {miou} over {found['images']:,} images; all figures in {out}")
