"""Figure 10a of the paper: what a trimap of 2 and of 10 pixels holds of an image."""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt8

from replication.data.labels import VOID
from replication.errors import ReplicationError
from replication.evaluation.trimap import keep_band
from replication.reporting.captions import Caption
from replication.reporting.context import EXAMPLE_RULE, Context
from replication.reporting.pictures import Row, colours, lay_out, read_truth
from replication.reporting.style import save

WIDTHS = (2, 10)  # pixels
_OUTSIDE = 200  # grey of what the band leaves out


def make(context: Context) -> Caption:
    """Draw figure 10a on the example image; ReplicationError where it has no void contour."""
    dataset, (name, _) = context.dataset, context.example
    image, truth = read_truth(dataset, name)
    if not (truth == VOID).any():
        raise ReplicationError(
            f"{dataset.label_path(name)}: no pixel is void, so that there is no trimap"
        )
    bands = [band(truth, width, dataset.palette) for width in WIDTHS]
    figure = lay_out(
        dataset,
        ["Image", "Ground truth", *(f"Trimap of {width} pixels" for width in WIDTHS)],
        [Row(name, (image, truth, *bands))],
        "What is measured near contours",
        more={"not in the trimap": f"{_OUTSIDE / 255:.3f}"},
    )
    save(figure, context.out("figure10a"))
    return Caption(
        name="figure10a",
        title="Figure 10a: trimaps",
        caption=(
            f"The trimap of {WIDTHS[0]} and of {WIDTHS[1]} pixels on {name}: pixels that are not "
            "void and at most so far from a void one, row- and columnwise (a Chebyshev distance); "
            f"all others, grey, do not count. {EXAMPLE_RULE}."
        ),
        alt=(
            "Four pictures: photograph, true labels with a white void contour, and the labels in a "
            "narrow and in a wide band around that contour, all else grey."
        ),
        files=(context.name(dataset.image_path(name)), context.name(dataset.label_path(name))),
    )


def band(
    truth: UInt8[np.ndarray, "H W"], width: int, palette: UInt8[np.ndarray, "256 3"]
) -> UInt8[np.ndarray, "H W 3"]:
    """Colour a label map's trimap of ``width`` pixels; void is white, and all else grey."""
    picture = colours(truth, palette)
    picture[(keep_band(truth, width) == VOID) & (truth != VOID)] = _OUTSIDE
    return picture
