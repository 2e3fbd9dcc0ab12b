"""The paper's claims as a forest plot: its differences beside ours, with intervals and verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill
from typing import TYPE_CHECKING, Any, NamedTuple

from replication.errors import ReplicationError
from replication.evaluation.bootstrap import RESAMPLES
from replication.paper import reported as paper
from replication.paper.verdicts import ClaimVerdict
from replication.reporting.captions import Caption
from replication.reporting.claims import JudgedClaim, Part, judge_claims
from replication.reporting.context import Context
from replication.reporting.origin import claims_note
from replication.reporting.style import COLOURS, PAGE, literal, save

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LINE = 0.21  # inches from one line to the next
_WRAP = 60  # characters of a claim on one line
# A verdict's colour and its shape, which tells it apart without colour too.
_MARKS: dict[ClaimVerdict, tuple[str, str]] = {
    ClaimVerdict.REPRODUCED: (COLOURS[2], "o"),
    ClaimVerdict.LARGER: (COLOURS[0], ">"),
    ClaimVerdict.SMALLER: (COLOURS[4], "<"),
    ClaimVerdict.NO_DIFFERENCE: ("0.45", "s"),
    ClaimVerdict.CONTRADICTED: (COLOURS[1], "X"),
    ClaimVerdict.NOT_JUDGED: ("0.45", "$?$"),
}
_PAPERS: dict[str, Any] = {
    "color": "black",
    "marker": "D",
    "markersize": 5.5,
    "markerfacecolor": "none",
    "markeredgewidth": 1.0,
    "linestyle": "",
}


class Line(NamedTuple):
    """A difference of the plot: what is said, and its numbers; a ``head`` names a source."""

    text: str
    part: Part | None


def make(context: Context) -> Caption:
    """Draw the claims from results/; ReplicationError where none has been measured."""
    judged = judge_claims(context.evidence, paper.load())
    lines = lay_out(judged)
    parts = [line.part for line in lines if line.part is not None]
    measured = [part for part in parts if part.ours is not None]
    if not measured:
        raise ReplicationError(
            f"{context.settings.place('results')}: no claim has its runs yet; evaluate some first"
        )
    runs = tuple(dict.fromkeys(run for part in measured for run in part.runs))
    note = claims_note(context.results(runs), context.profile)
    save(_draw(lines, note), context.out("claims"))
    return Caption(
        name="claims",
        title="The paper's claims against ours",
        caption=(
            f"What the paper says one thing adds to another, in points of mean IOU (open diamond), "
            f"and what we find (a mark by verdict, {len(measured)} of {len(parts)} have been run), "
            f"{note}. Bars: 95 % intervals over {RESAMPLES:,} resamplings of the images, both runs "
            "on the same ones. What is claimed of training speed stands in the table of claims."
        ),
        alt=_in_words(measured),
        runs=runs,
        files=tuple(context.name(context.result_path(run)) for run in runs),
    )


def lay_out(judged: Sequence[JudgedClaim]) -> list[Line]:
    """Return the lines: every difference under the table or figure that it is from.

    A table of which nothing has been run (a profile may leave its runs out) is left out.
    """
    by_source: dict[str, list[Line]] = {}
    for one in judged:
        if one.claim.kind == "ratio":
            continue
        texts = [one.claim.text] if len(one.parts) == 1 else [part.text for part in one.parts]
        by_source.setdefault(" and ".join(one.claim.source), []).extend(map(Line, texts, one.parts))
    lines: list[Line] = []
    for source, own in by_source.items():
        if any(line.part is not None and line.part.ours is not None for line in own):
            lines += [Line(source[0].upper() + source[1:], None), *own]
    return lines


def _in_words(measured: Sequence[Part]) -> str:
    counts = {v: sum(part.verdict == v for part in measured) for v in reversed(ClaimVerdict)}
    said = "; ".join(f"{count} {verdict.value}" for verdict, count in counts.items() if count)
    return f"A line for each difference that the paper states: the paper's, ours. {said}."


def _draw(lines: Sequence[Line], note: str) -> Figure:
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    figure = Figure(figsize=(PAGE, _LINE * len(lines) + 1.5), layout="constrained")
    axis = figure.subplots()
    axis.axvline(0, color="0.4", linewidth=0.8, zorder=0)
    shown: set[ClaimVerdict] = set()
    for place, (_, part) in enumerate(lines):
        if part is None:
            axis.axhspan(place - 0.5, place + 0.5, color="0.93", linewidth=0, zorder=0)
            continue
        if part.reported is not None:
            axis.plot(part.reported, place, zorder=4, **_PAPERS)
        if part.ours is None:
            at = part.reported or 0.0
            axis.annotate(
                "not run",
                (at, place),
                (6, 0),
                textcoords="offset points",
                fontsize=6,
                color="0.4",
                va="center",
            )
            continue
        colour, marker = _MARKS[part.verdict]
        shown.add(part.verdict)
        if part.reported is not None:
            axis.plot([part.reported, part.ours], [place] * 2, color="0.8", lw=0.8, zorder=1)
        if part.interval is not None:
            axis.plot(part.interval, [place] * 2, color=colour, linewidth=2.2, zorder=2)
        axis.plot(part.ours, place, marker=marker, markersize=5, color=colour, zorder=3)
    texts = [fill(literal(line.text), _WRAP) for line in lines]
    axis.set_yticks(range(len(lines)), texts, fontsize=7)
    for label, line in zip(axis.get_yticklabels(), lines, strict=True):
        label.set_fontweight("bold" if line.part is None else "normal")
    axis.set_ylim(len(lines) - 0.4, -0.6)
    axis.set_xlabel("difference in mean IOU (points)", fontsize=8)
    axis.tick_params(axis="x", labelsize=7)
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="x", color="0.9", linewidth=0.5)
    axis.set_axisbelow(True)
    figure.suptitle(f"The paper's claims against ours\n{literal(note)}", fontsize=9)
    handles = [Line2D([], [], label="the paper's", **_PAPERS)]
    for verdict, (colour, marker) in _MARKS.items():
        if verdict in shown:
            mark = Line2D([], [], color=colour, marker=marker, markersize=5)
            mark.set_label(verdict.value)
            handles.append(mark)
    figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=7, frameon=False)
    return figure
