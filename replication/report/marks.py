"""How verdicts look: each has a sign and a kind of colour, and its word is always printed."""

from typing import Literal

from replication.paper.verdicts import ClaimVerdict, Verdict

Kind = Literal["good", "near", "bad", "neutral", "none"]

MARKS: dict[str, tuple[str, Kind]] = {
    Verdict.WITHIN_TOLERANCE.value: ("✓", "good"),
    Verdict.WITHIN_INTERVAL.value: ("≈", "near"),
    Verdict.OFF.value: ("✗", "bad"),
    Verdict.NOT_COMPARABLE.value: ("≠", "neutral"),
    Verdict.NOT_JUDGED.value: ("–", "neutral"),  # claims have the same word
    Verdict.NOT_RUN.value: ("…", "none"),
    Verdict.SUBMIT.value: ("…", "none"),
    Verdict.QUOTED.value: ("–", "none"),
    ClaimVerdict.REPRODUCED.value: ("✓", "good"),
    ClaimVerdict.LARGER.value: ("▲", "near"),
    ClaimVerdict.SMALLER.value: ("▼", "near"),
    ClaimVerdict.NO_DIFFERENCE.value: ("=", "neutral"),
    ClaimVerdict.CONTRADICTED.value: ("✗", "bad"),
}


def sign(verdict: str) -> str:
    """Return the sign that stands before a verdict's word."""
    return MARKS[verdict][0]


def kind(verdict: str) -> Kind:
    """Return which of five colours a verdict has."""
    return MARKS[verdict][1]
