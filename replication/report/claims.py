"""The judged claims for the page, each number with the cells that it was computed from."""

from collections.abc import Sequence
from dataclasses import dataclass

from replication.paper.reported import Reported
from replication.paper.verdicts import ClaimVerdict
from replication.report.links import CLAIM_RULE, PAPER, Linked
from replication.report.terms import Equation, claim_equations
from replication.reporting.blocks import NOT_RUN, interval_text
from replication.reporting.claims import DECIMALS, JudgedClaim, Part
from replication.reporting.claims_text import claim_number, claim_span
from replication.reporting.evidence import Evidence

NO_NUMBER = "no number"


@dataclass(frozen=True)
class ClaimRow:
    """One line: a claim, or one of the several parts of the claim above it.

    ``anchor`` names the line; ``source`` is what ours was computed from, None where a claim
    ``has_parts`` (each has its own); ``was_run`` says whether any part of
    the claim was.
    """

    anchor: str
    text: str
    places: str
    paper: Linked
    ours: Linked
    verdict: Linked
    source: Equation | None
    was_run: bool
    has_parts: bool = False
    is_part: bool = False


def claim_rows(
    judged: Sequence[JudgedClaim], evidence: Evidence, reported: Reported
) -> list[ClaimRow]:
    """Return the lines of all claims, in the paper's order."""
    return [line for one in judged for line in _lines(one, evidence, reported)]


def _lines(one: JudgedClaim, evidence: Evidence, reported: Reported) -> list[ClaimRow]:
    claim, parts = one.claim, one.parts
    sources = claim_equations(claim, evidence, reported)
    anchor = f"claim-{claim.id}"
    several = len(sources) > 1
    whole = ClaimRow(
        anchor=anchor,
        text=claim.text,
        places=", ".join(claim.source),
        paper=Linked(claim_span(claim, [part.reported for part in parts], NO_NUMBER), PAPER),
        ours=Linked(
            claim_span(claim, [part.ours for part in parts], NOT_RUN),
            f"#{anchor}-1" if several else sources[0].of.href,
            detail="" if len(parts) > 1 else interval_text(parts[0].interval, DECIMALS),
        ),
        verdict=_verdict(one.verdict.value),
        source=None if several else sources[0],
        was_run=_was_run(one),
        has_parts=several,
    )
    if not several:
        return [whole]
    return [whole, *(_part(one, n, parts[n], source) for n, source in enumerate(sources))]


def _part(one: JudgedClaim, number: int, part: Part, source: Equation) -> ClaimRow:
    return ClaimRow(
        anchor=f"claim-{one.claim.id}-{number + 1}",
        text=part.text,
        places="",
        paper=Linked(claim_number(one.claim, part.reported, NO_NUMBER), PAPER),
        ours=Linked(
            claim_number(one.claim, part.ours, NOT_RUN),
            source.of.href,
            detail=interval_text(part.interval, DECIMALS),
        ),
        verdict=_verdict(part.verdict.value),
        source=source,
        was_run=_was_run(one),
        is_part=True,
    )


def _was_run(one: JudgedClaim) -> bool:
    return any(part.verdict != ClaimVerdict.NOT_RUN for part in one.parts)


def _verdict(word: str) -> Linked:
    return Linked(word, CLAIM_RULE, is_verdict=True)
