"""What a check found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Verdict(Enum):
    """How bad it is."""

    GOOD = "ok"
    WORTH_KNOWING = "note"  # something that some users need isn't there
    BAD = "PROBLEM"  # empiarfs, or a part of it, doesn't work


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: What, in a word or two.
        verdict: How bad it is.
        text: What was found.
        remedy: What to do, where there is something to be done; else "".
    """

    name: str
    verdict: Verdict
    text: str
    remedy: str = ""
