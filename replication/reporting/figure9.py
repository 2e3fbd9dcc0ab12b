"""Figure 9 of the paper: VGG-16 against ResNet-101, each before and after the CRF."""

from __future__ import annotations

from replication.errors import ReplicationError
from replication.paper.reported import COMPARED
from replication.reporting.before_after import before_after_row
from replication.reporting.captions import Caption
from replication.reporting.context import Context
from replication.reporting.pictures import Row, evenly_spaced, lay_out
from replication.reporting.style import save

COUNT = 6


def make(context: Context) -> Caption:
    """Draw figure 9; ReplicationError where one of the two runs has not been refined."""
    dataset = context.dataset
    places = {
        run: (context.place("scores", run), context.place("refined", run)) for run in COMPARED
    }
    for run, (_, refined) in places.items():
        if not (refined / "refine.json").is_file():
            raise ReplicationError(
                f"{refined} does not exist: `dvc repro` refines the scores of {run}"
            )
    chosen = evenly_spaced(context.ids, COUNT)
    rows = []
    for name in chosen:
        vgg, resnet = (before_after_row(dataset, name, *place) for place in places.values())
        rows.append(Row(name, (*vgg.pictures, *resnet.pictures[2:])))
    stages = ("before CRF", "after CRF")
    columns = [
        "Image",
        "Ground truth",
        *(f"{title}\n{stage}" for title in COMPARED.values() for stage in stages),
    ]
    rule = (
        f"{len(chosen)} of {len(context.ids):,} images, evenly spaced in the sorted list of names"
    )
    save(lay_out(dataset, columns, rows, f"On {dataset.name}, val\n{rule}"), context.out("figure9"))
    return Caption(
        name="figure9",
        title="Figure 9: VGG-16 and ResNet-101, before and after the CRF",
        caption=(
            f"Labels of {' and '.join(COMPARED)} on val of {dataset.name}: the best class of the "
            f"enlarged scores, and after the fully connected CRF. Images: {rule}."
        ),
        alt=(
            f"A grid of {len(chosen)} rows ({', '.join(chosen)}) and six columns: photograph, true "
            "labels, labels of VGG-16 before and after the CRF, of ResNet-101 likewise."
        ),
        runs=tuple(COMPARED),
        files=tuple(context.name(folder) for pair in places.values() for folder in pair),
    )
