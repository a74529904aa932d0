"""What is measured, and how it is judged: units, samples, summaries, goals.

Pure. Values are in seconds, bytes, or bytes a second; only `format_value` knows prefixes.

A figure is summed up over its repetitions by the median, or by the worst value where the
goal is a bound that must always hold. Requests and bytes over the wire are summed up by
their median too, but a goal of no request at all looks at the worst repetition.
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


_PER_SHOWN = {Unit.BYTES_A_SECOND: 1e6, Unit.BYTES: 1e6, Unit.SECONDS: 1.0, Unit.LATENCY: 1e-3}


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of one figure, from one repetition.

    Attributes:
        figure: The key of the figure.
        value: In the unit of the figure.
        wire: Bytes of bodies that the archive sent, or None where that doesn't matter.
        requests: Requests that the archive answered, or None likewise.
    """

    figure: str
    value: float
    wire: int | None = None
    requests: int | None = None


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
    """

    value: float
    least: float
    most: float
    wire: int | None
    requests: int | None
    most_requests: int | None
    samples: int


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
class FactorOfPeer:
    """At least `factor` times the peer's speed."""

    factor: float

    @property
    def text(self) -> str:
        """The goal in a few words."""
        return f"≥ {self.factor:g} × rclone"

    def is_reached(self, ours: Summary, peer: Summary | None) -> bool | None:
        """Compare the two speeds."""
        return None if peer is None else ours.value >= self.factor * peer.value


@dataclass(frozen=True, slots=True)
class NoSlowerThanPeer:
    """No more time than the peer takes."""

    @property
    def text(self) -> str:
        """The goal in a few words."""
        return "≤ rclone"

    def is_reached(self, ours: Summary, peer: Summary | None) -> bool | None:
        """Compare the two times."""
        return None if peer is None else ours.value <= peer.value


@dataclass(frozen=True, slots=True)
class Below:
    """Less than `limit`, whatever the peer does."""

    limit: float
    unit: Unit

    @property
    def text(self) -> str:
        """The goal in a few words."""
        return f"< {format_value(self.limit, self.unit)}"

    def is_reached(self, ours: Summary, peer: Summary | None) -> bool | None:
        """Compare with the limit."""
        return ours.value < self.limit


@dataclass(frozen=True, slots=True)
class NoRequest:
    """Not one request, in any repetition."""

    @property
    def text(self) -> str:
        """The goal in a few words."""
        return "no request"

    def is_reached(self, ours: Summary, peer: Summary | None) -> bool | None:
        """Look at the repetition with the most requests."""
        return None if ours.most_requests is None else ours.most_requests == 0


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
    requests = [sample.requests for sample in ours if sample.requests is not None]
    return Summary(
        value=max(values) if figure.worst_counts else statistics.median(values),
        least=min(values),
        most=max(values),
        wire=_median([sample.wire for sample in ours if sample.wire is not None]),
        requests=_median(requests),
        most_requests=max(requests, default=None),
        samples=len(ours),
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


def _median(values: Sequence[int]) -> int | None:
    return round(statistics.median(values)) if values else None
