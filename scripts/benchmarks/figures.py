"""What is measured: units, figures, samples, and what several samples say together.

Pure. Values are in seconds, bytes, bytes a second, or parts of one; only `format_value`
knows prefixes.

A figure is summed up over its repetitions by the median, or by the worst value where the
goal is a bound that must always hold. Traffic is summed up by its median too, but for what
must never happen in any repetition: requests, connections and refusals at most.
"""

from __future__ import annotations

import enum
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol


class Unit(enum.Enum):
    """What a value is; the value of the member is what people see behind the number."""

    BYTES_A_SECOND = "MB/s"
    BYTES = "MB"
    SECONDS = "s"
    LATENCY = "ms"
    PART = "%"
    RATIO = "×"


_PER_SHOWN = {
    Unit.BYTES_A_SECOND: 1e6,
    Unit.BYTES: 1e6,
    Unit.SECONDS: 1.0,
    Unit.LATENCY: 1e-3,
    Unit.PART: 0.01,
    Unit.RATIO: 1.0,
}


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of one figure, from one repetition.

    Attributes:
        figure: The key of the figure.
        value: In the unit of the figure.
        wire: Bytes of bodies that the archive sent, or None where that doesn't matter.
        requests: Requests that the archive answered, over a slow link those that were sent;
            or None likewise.
        unread: Bytes of `wire` that nobody asked the client for, or None if not known.
        connections: The most that were open at once, or None if not known.
        refused: Connections that were refused, or None if not known.
        is_over: The work was given up when it had taken `value`.
        distribution: Where the value is that of many waits, each of them, in seconds.
    """

    figure: str
    value: float
    wire: int | None = None
    requests: int | None = None
    unread: int | None = None
    connections: int | None = None
    refused: int | None = None
    is_over: bool = False
    distribution: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Summary:
    """What became of a figure of one client over all repetitions.

    Attributes:
        value: The median, or the worst.
        least: The smallest sample.
        most: The largest sample.
        wire: The median of the bytes over the wire, or None.
        requests: The median of the requests, or None.
        most_requests: The most requests of any repetition, or None.
        samples: How many there were.
        unread: The median of the bytes that nobody read, or None.
        most_unread: The most of them in any repetition, or None.
        connections: The most connections of any repetition, or None.
        refused: The most refusals of any repetition, or None.
        is_over: The value is of work that was given up.
    """

    value: float
    least: float
    most: float
    wire: int | None
    requests: int | None
    most_requests: int | None
    samples: int
    unread: int | None = None
    most_unread: int | None = None
    connections: int | None = None
    refused: int | None = None
    is_over: bool = False


class Goal(Protocol):
    """Something that a figure has to reach."""

    @property
    def text(self) -> str:
        """The goal in a few words."""
        ...

    def is_reached(self, ours: Summary, peer: Summary | None) -> bool | None:
        """Tell whether it is reached; None where the peer is needed and wasn't measured."""
        ...


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table.

    Attributes:
        key: Names it in code, in JSON and in samples.
        title: Names it to people.
        unit: What its values are.
        goals: What it has to reach; empty for what is only worth knowing.
        worst_counts: Sum up by the largest value instead of the median.
    """

    key: str
    title: str
    unit: Unit
    goals: tuple[Goal, ...] = ()
    worst_counts: bool = False


def summary_of(figure: Figure, samples: Iterable[Sample]) -> Summary | None:
    """Return what these samples of `figure` say together, or None if there are none."""
    ours = [sample for sample in samples if sample.figure == figure.key]
    if not ours:
        return None
    values = [sample.value for sample in ours]
    value = max(values) if figure.worst_counts else statistics.median(values)
    requests = _known([sample.requests for sample in ours])
    unread = _known([sample.unread for sample in ours])
    return Summary(
        value=value,
        least=min(values),
        most=max(values),
        wire=_median(_known([sample.wire for sample in ours])),
        requests=_median(requests),
        most_requests=max(requests, default=None),
        samples=len(ours),
        unread=_median(unread),
        most_unread=max(unread, default=None),
        connections=max(_known([sample.connections for sample in ours]), default=None),
        refused=max(_known([sample.refused for sample in ours]), default=None),
        is_over=any(sample.is_over and sample.value <= value for sample in ours),
    )


def format_value(value: float, unit: Unit) -> str:
    """Return a value with three digits and its unit.

    >>> format_value(1_234_567_890, Unit.BYTES_A_SECOND)
    '1,235 MB/s'
    >>> format_value(0.01234, Unit.LATENCY)
    '12.3 ms'
    >>> format_value(0.0712, Unit.SECONDS)
    '0.071 s'
    """
    shown = value / _PER_SHOWN[unit]
    digits = 0 if shown >= 100 else 1 if shown >= 10 else 2 if shown >= 1 else 3
    return f"{shown:,.{digits}f} {unit.value}"


def _known(values: Iterable[int | None]) -> list[int]:
    return [value for value in values if value is not None]


def _median(values: Sequence[int]) -> int | None:
    return round(statistics.median(values)) if values else None
