"""A table of the CRF's searches: what was found, beside what the published settings reach."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from replication import atomic
from replication.markdown import escape
from replication.reporting.blocks import signed

_PARAMETERS = ("w1", "sigma_alpha", "sigma_beta", "w2", "sigma_gamma")
_COLUMNS = ("search", "setting", *_PARAMETERS, "miou", "over_before", "images", "search_file")
_INTRODUCTION = """\
# The CRF's parameters: searched, and published

Each search is the paper's (section 4.1): a coarse grid, then finer steps, on images of val drawn by
a seed; all settings of a search are measured on its images, exactly. `before` is the network alone.
"""


def write_crf_table(searches: Mapping[Path, Mapping[str, Any]], out_dir: Path) -> list[Path]:
    """Write ``crf.md`` and ``crf.csv``; nothing where no search was made.

    Args:
        searches: results of the stage `search` by their file, with ``published``.
        out_dir: usually ``tables/<profile>``.

    Returns:
        The files written.
    """
    rows = [
        row
        for path, result in searches.items()
        for row in setting_rows(result, Path(os.path.relpath(path, out_dir)).as_posix())
    ]
    if not rows:
        return []
    import pandas as pd

    table = pd.DataFrame(rows, columns=list(_COLUMNS)).round({"miou": 4})
    stream = io.StringIO()
    table.to_csv(stream, index=False, lineterminator="\n")
    atomic.write_text(out_dir / "crf.csv", stream.getvalue())
    atomic.write_text(out_dir / "crf.md", _markdown(searches, rows))
    return [out_dir / "crf.md", out_dir / "crf.csv"]


def setting_rows(result: Mapping[str, Any], link: str) -> list[dict[str, Any]]:
    """Return a row for each setting of a search: none, the one found, the published ones.

    Keys are the columns of ``crf.csv``; ``miou`` in percent, not rounded, ``over_before`` in
    points, the difference of the two mean IOUs as they are printed, a parameter None where the
    setting has none. ``link`` is what ``search_file`` says.
    """
    before, best = result["before_miou"], {**result["fixed"], **result["best"]}
    settings = [("before", {"miou": before}), ("searched", best)]
    settings += [(preset["name"], preset) for preset in result["published"]]
    return [
        {
            "search": result["search"],
            "setting": name,
            **{key: values.get(key) for key in _PARAMETERS},
            "miou": values["miou"],
            "over_before": round(round(values["miou"], 2) - round(before, 2), 2),
            "images": len(result["ids"]),
            "search_file": link,
        }
        for name, values in settings
    ]


def _markdown(searches: Mapping[Path, Mapping[str, Any]], rows: list[dict[str, Any]]) -> str:
    text = _INTRODUCTION
    for result in searches.values():
        mine = [row for row in rows if row["search"] == result["search"]]
        data = f"{escape(result['data']['name'])} {escape(result['data']['split'])}"
        measure = result["objective"].replace("miou", "mean IOU").replace("_", " of width ")
        text += (
            f"\n## {result['search']}\n\nOn {len(result['ids'])} of {result['data']['images']} "
            f"images of {data} (drawn with seed {result['seed']}), scores of {result['run']}; "
            f"{len(result['points'])} points, engine {result['engine']}, "
            f"{result['fixed']['iterations']} iterations, normalization "
            f"{result['fixed']['normalization']}: [{result['search']}.json]"
            f"({mine[0]['search_file']}).\n\n"
            f"| setting | w1 | sigma_alpha | sigma_beta | w2 | sigma_gamma | {measure} (%) "
            "| over before |\n| --- |" + " ---: |" * 7 + "\n"
        )
        for row in mine:
            numbers = ["-" if row[key] is None else f"{row[key]:g}" for key in _PARAMETERS]
            cells = [row["setting"], *numbers, f"{row['miou']:.2f}", signed(row["over_before"], 2)]
            text += f"| {' | '.join(cells)} |\n"
    return text
