"""Figure 8 of the paper: LargeFOV, ASPP-S and ASPP-L on images, before the CRF."""

from __future__ import annotations

from replication.errors import ReplicationError
from replication.plan import OUTPUT_STRIDE
from replication.reporting.captions import Caption
from replication.reporting.context import Context
from replication.reporting.pictures import Row, evenly_spaced, lay_out, read_before, read_truth
from replication.reporting.style import save

RUNS = {"poly_b10_20k": "LargeFOV", "aspp_s": "ASPP-S", "aspp_l": "ASPP-L"}
# Odd where figure 6 shows four: middles of five parts are other images than middles of four.
COUNT = 5


def make(context: Context) -> Caption:
    """Draw figure 8; ReplicationError where one of the three runs has not been scored."""
    dataset = context.dataset
    places = {run: context.place("scores", run) for run in RUNS}
    if missing := [run for run, place in places.items() if not place.is_dir()]:
        raise ReplicationError(
            f"{places[missing[0]]} does not exist: `dvc repro score@{missing[0]}` scores that run"
        )
    chosen = evenly_spaced(context.ids, COUNT)
    rows = []
    for name in chosen:
        image, truth = read_truth(dataset, name)
        size = truth.shape[0], truth.shape[1]
        maps = [read_before(dataset, name, place, size, OUTPUT_STRIDE) for place in places.values()]
        rows.append(Row(name, (image, truth, *maps)))
    columns = ["Image", "Ground truth", *(f"{title}\n{run}" for run, title in RUNS.items())]
    rule = (
        f"{len(chosen)} of {len(context.ids):,} images, evenly spaced in the sorted list of names"
    )
    figure = lay_out(dataset, columns, rows, f"Before the CRF, on {dataset.name}, val\n{rule}")
    save(figure, context.out("figure8"))
    return Caption(
        name="figure8",
        title="Figure 8: LargeFOV, ASPP-S and ASPP-L before the CRF",
        caption=(
            f"Labels of {', '.join(RUNS)} on val of {dataset.name}, the best class of the enlarged "
            f"scores, without a CRF. Images: {rule}."
        ),
        alt=(
            f"A grid of {len(chosen)} rows ({', '.join(chosen)}) and five columns: photograph, "
            "true labels, labels of LargeFOV, of ASPP-S and of ASPP-L."
        ),
        runs=tuple(RUNS),
        files=tuple(context.name(place) for place in places.values()),
    )
