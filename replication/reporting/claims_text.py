"""The judged claims as Markdown and CSV.

A verdict stands for the data that it was measured on: the title says so where these are not the
paper's.
"""

import csv
import io
import os
from collections import Counter
from pathlib import Path

from replication import atomic
from replication.evaluation.bootstrap import RESAMPLES, SEED
from replication.paper import reported as paper
from replication.paper import verdicts
from replication.paper.reported import CLAIM_TOLERANCES, Claim
from replication.paper.verdicts import ClaimVerdict
from replication.reporting.blocks import NOT_RUN, interval_text, signed
from replication.reporting.claims import DECIMALS, JudgedClaim, Part, judge_claims
from replication.reporting.evidence import Evidence
from replication.reporting.origin import claims_note
from replication.reporting.results import Result, result_path
from replication.reporting.template import environment


def write_claims(evidence: Evidence, out_dir: Path) -> list[Path]:
    """Write ``claims.md`` and ``claims.csv``; the same results give the same bytes.

    Args:
        evidence: the profile's results.
        out_dir: where the tables go, usually ``tables/<profile>``.
    """
    judged = judge_claims(evidence, paper.load())
    texts = {
        "md": claims_markdown(judged, evidence, out_dir),
        "csv": claims_csv(judged, evidence, out_dir),
    }
    for suffix, text in texts.items():
        atomic.write_text(out_dir / f"claims.{suffix}", text)
    return [out_dir / f"claims.{suffix}" for suffix in texts]


def _link(evidence: Evidence, run: str, out_dir: Path) -> str:
    return Path(os.path.relpath(result_path(evidence.results_dir, run), out_dir)).as_posix()


def claim_number(claim: Claim, value: float | None, missing: str) -> str:
    """Print a claim's number, a ratio with an x, a difference with its sign; or ``missing``."""
    if value is None:
        return missing
    return f"{value:.{DECIMALS}f}x" if claim.kind == "ratio" else signed(value, DECIMALS)


def claim_span(claim: Claim, values: list[float | None], missing: str) -> str:
    """Print one number, or the least and the greatest of several; ``missing`` if one is."""
    there = [value for value in values if value is not None]
    if len(there) < len(values):
        return missing
    ends = dict.fromkeys((min(there), max(there)))
    return " to ".join(claim_number(claim, value, missing) for value in ends)


def claims_markdown(judged: list[JudgedClaim], evidence: Evidence, out_dir: Path) -> str:
    """Return the claims as Markdown: one line a claim, and one a part where there are several."""
    lines: list[list[str]] = []
    for one in judged:
        claim, parts = one.claim, one.parts
        single = parts[0] if len(parts) == 1 else None
        lines.append(
            [
                claim.text,
                " and ".join(claim.source),
                claim_span(claim, [part.reported for part in parts], "-"),
                claim_span(claim, [part.ours for part in parts], NOT_RUN),
                interval_text(single.interval, DECIMALS) if single else "",
                f"**{one.verdict.value}**",
                _links(single, evidence, out_dir) if single else "",
            ]
        )
        for part in () if single or not claim.effects else parts:
            lines.append(
                [
                    f"– {part.text}",
                    "",
                    claim_number(claim, part.reported, "-"),
                    claim_number(claim, part.ours, NOT_RUN),
                    interval_text(part.interval, DECIMALS),
                    part.verdict.value,
                    _links(part, evidence, out_dir),
                ]
            )
    tolerances = paper.load().tolerances
    context = {
        "note": claims_note(_results(judged, evidence), evidence.profile),
        "total": len(judged),
        "counts": _counts(judged),
        "lines": lines,
        "rule": (verdicts.__doc__ or "").split("A claim says", 1)[1].strip(),
        "resamples": RESAMPLES,
        "seed": SEED,
        "tolerances": [(name, tolerances[name]) for name in CLAIM_TOLERANCES],
    }
    return environment().get_template("claims.md.j2").render(context)


def _results(judged: list[JudgedClaim], evidence: Evidence) -> list[Result]:
    runs = dict.fromkeys(run for one in judged for part in one.parts for run in part.runs)
    found = (evidence.result(run) for run in runs)
    return [result for result in found if result is not None]


def _links(part: Part, evidence: Evidence, out_dir: Path) -> str:
    return ", ".join(
        f"[{run}]({_link(evidence, run, out_dir)})" if evidence.result(run) else run
        for run in part.runs
    )


def _counts(judged: list[JudgedClaim]) -> str:
    """Say how many claims have which verdict, the best first."""
    times = Counter(one.verdict for one in judged)
    return "; ".join(f"{times[v]} {v.value}" for v in reversed(ClaimVerdict) if times[v])


def claims_csv(judged: list[JudgedClaim], evidence: Evidence, out_dir: Path) -> str:
    """Return one line a part: claim, its numbers, the part's verdict and the claim's.

    ``reported``, ``ours``, ``low`` and ``high`` are points, or a ratio where ``kind`` is ``ratio``;
    an empty field is a number that does not exist.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    head = "claim,text,source,kind,part,reported,ours,low,high,verdict,claim_verdict,runs"
    writer.writerow([*head.split(","), "data", "result_files"])
    for one in judged:
        for part in one.parts:
            results = [r for r in map(evidence.result, part.runs) if r is not None]
            numbers = [part.reported, part.ours, *(part.interval or (None, None))]
            writer.writerow(
                [
                    one.claim.id,
                    one.claim.text,
                    " and ".join(one.claim.source),
                    one.claim.kind,
                    part.text,
                    *("" if n is None else f"{n + 0.0:.{DECIMALS}f}" for n in numbers),
                    part.verdict.value,
                    one.verdict.value,
                    " ".join(part.runs),
                    " and ".join(dict.fromkeys(result.data.name for result in results)),
                    " ".join(_link(evidence, result.run, out_dir) for result in results),
                ]
            )
    return stream.getvalue()
