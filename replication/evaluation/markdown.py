"""An evaluation as Markdown: the means, the classes, a few widths of the trimap."""

from replication.evaluation.folder import Evaluation
from replication.markdown import escape, row

_WIDTHS = (1, 2, 5, 10, 20, 40)  # of the trimap's curve; the JSON holds all


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def to_markdown(evaluation: Evaluation) -> str:
    """Return the tables of an evaluation, percent with two decimals; a dash: undefined."""
    interval = evaluation["confidence_interval"]
    miou = _number(evaluation["miou"])
    if interval is not None and interval["miou"] is not None:
        low, high = interval["miou"]
        miou += f" [{low:.2f}, {high:.2f}]"
    lines = [row("measure", "%"), "| --- | ---: |", row("mean IOU", miou)]
    lines += [
        row("pixel accuracy", _number(evaluation["pixel_accuracy"])),
        row("mean accuracy", _number(evaluation["mean_accuracy"])),
        row("frequency-weighted IOU", _number(evaluation["frequency_weighted_iou"])),
        "",
        row("class", "IOU (%)", "accuracy (%)", "true pixels"),
        "| --- | ---: | ---: | ---: |",
    ]
    names = evaluation.get("classes") or [str(k) for k in range(evaluation["num_classes"])]
    for k, (name, iou) in enumerate(zip(names, evaluation["per_class_iou"], strict=True)):
        true = evaluation["confusion"][k]
        accuracy = 100 * true[k] / sum(true) if sum(true) else None
        lines.append(row(escape(name), _number(iou), _number(accuracy), f"{sum(true):,}"))
    trimap = evaluation["trimap"]
    if trimap is not None:
        last = trimap["width"][-1]
        widths = sorted({w for w in _WIDTHS if w <= last} | {last})
        lines += ["", row("trimap width (pixels)", *map(str, widths))]
        lines.append("| --- |" + " ---: |" * len(widths))
        lines.append(row("mean IOU (%)", *(_number(trimap["miou"][w - 1]) for w in widths)))
    foot = f"{evaluation['images']:,} images, one confusion matrix over all of them; "
    foot += f"label {evaluation['ignore_index']} is not counted."
    if interval is not None and interval["miou"] is not None:
        foot += f" [low, high]: {interval['level']:g} % interval, {interval['resamples']:,}"
        foot += f" resamplings of the images, seed {interval['seed']}."
    return "\n".join([*lines, "", foot]) + "\n"
