"""What a ledger's lines say together. Pure.

A job that wants to prove that it read all it asked for needs more than a list of errors: a
daemon that was killed wrote none down. So a ledger also says when the mount was there, and
`Report.is_clean` only holds if somebody answers for the whole time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from empiarfs.ledger.lines import Key, Line, Mark, Refusal


@dataclass(frozen=True, slots=True)
class Session:
    """A time for which something was mounted.

    Attributes:
        pid: The daemon.
        began_s: When it was mounted, in seconds since 1970.
        ended_s: When it was unmounted; None if the daemon lives, or ended without a word.
        seen_s: The last time that it is known to have been there.
        lives: Whether it is there now.
    """

    pid: int
    began_s: float
    ended_s: float | None
    seen_s: float
    lives: bool

    @property
    def was_killed(self) -> bool:
        """Whether it ended without a word, so that later errors aren't written down."""
        return self.ended_s is None and not self.lives


@dataclass(frozen=True, slots=True)
class Report:
    """What is known of a mount point from `since_s` on.

    Attributes:
        mount_point: Where.
        since_s: The time from which on; 0 for all that the ledger knows.
        refusals: Errors, the first ones first.
        killed: Daemons that ended without a word; what was refused after that isn't known.
        mounted: Whether anything was mounted at all in that time.
        dropped_s: Errors before this were thrown away for want of room; None if none were.
        lost: Errors that could not even be kept in memory.
    """

    mount_point: str
    since_s: float
    refusals: tuple[Refusal, ...]
    killed: tuple[Session, ...]
    mounted: bool
    dropped_s: float | None = None
    lost: int = 0

    @property
    def is_clean(self) -> bool:
        """Whether no program was refused anything, as far as can be proved."""
        return self.mounted and not (
            self.refusals or self.killed or self.lost or self.dropped_s is not None
        )


def report_of(
    lines: Iterable[Line],
    mount_point: str,
    *,
    since_s: float = 0.0,
    living: frozenset[int] = frozenset(),
    lost: int = 0,
) -> Report:
    """Return what the lines say of the time from `since_s` on.

    Args:
        lines: Of one mount point, in the order in which they were written.
        mount_point: Where.
        since_s: Seconds since 1970.
        living: The daemons that serve this mount point now.
        lost: How many errors the daemon could not keep.
    """
    listed = list(lines)
    marks = [line for line in listed if isinstance(line, Mark)]
    sessions = _sessions(listed, living)
    dropped = [mark.at_s for mark in marks if mark.what == "dropped" and mark.at_s >= since_s]
    return Report(
        mount_point=mount_point,
        since_s=since_s,
        refusals=_merged(
            line for line in listed if isinstance(line, Refusal) and line.last_s >= since_s
        ),
        killed=tuple(
            session
            for session, next_s in zip(sessions, _nexts(sessions), strict=True)
            # Until the next mount, programs met a dead one.
            if session.was_killed and next_s >= since_s
        ),
        mounted=any(session.ended_s is None or session.ended_s >= since_s for session in sessions),
        dropped_s=max(dropped, default=None),
        lost=lost,
    )


def _nexts(sessions: list[Session]) -> list[float]:
    """Return when the next session began, for each; infinity for the last."""
    return [*(session.began_s for session in sessions[1:]), float("inf")][: len(sessions)]


def _sessions(lines: list[Line], living: frozenset[int]) -> list[Session]:
    found: dict[tuple[int, float], Session] = {}
    current: tuple[int, float] | None = None
    for line in lines:
        if isinstance(line, Mark) and line.what != "dropped":
            current = (line.pid, line.mounted_s)
            before = found.get(current)
            began_s = line.mounted_s if before is None else before.began_s
            ended_s = line.at_s if line.what == "unmounted" else None
            found[current] = Session(line.pid, began_s, ended_s, line.at_s, False)
        elif current is not None:
            seen_s = line.last_s if isinstance(line, Refusal) else line.at_s
            session = found[current]
            found[current] = replace(session, seen_s=max(session.seen_s, seen_s))
    ordered = sorted(found.values(), key=lambda session: session.began_s)
    if ordered and ordered[-1].pid in living and ordered[-1].ended_s is None:
        # Numbers of processes come again: only the last can be the one that lives.
        ordered[-1] = replace(ordered[-1], lives=True)
    return ordered


def _merged(refusals: Iterable[Refusal]) -> tuple[Refusal, ...]:
    """Return one for all of a key: the ledger writes how often something came again."""
    found: dict[Key, Refusal] = {}
    for each in refusals:
        first = found.get(each.key)
        found[each.key] = each if first is None else first.and_then(each)
    return tuple(found.values())
