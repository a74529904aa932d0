"""What a figure has to reach, by itself or compared with the peer; pure."""

from __future__ import annotations

from dataclasses import dataclass

from scripts.benchmarks.figures import Summary, Unit, format_value


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
class FactorOf:
    """At least `factor` times the speed of one of several peers, by its name."""

    factor: float
    peer: str

    @property
    def text(self) -> str:
        """The goal in a few words."""
        return f"≥ {self.factor:g} × {self.peer}"

    def is_reached(self, ours: Summary, peer: Summary | None) -> bool | None:
        """Compare the two speeds."""
        return None if peer is None else ours.value >= self.factor * peer.value


@dataclass(frozen=True, slots=True)
class NoMoreThanPeer:
    """At most `factor` times what the peer takes."""

    factor: float = 1.0

    @property
    def text(self) -> str:
        """The goal in a few words."""
        return "≤ rclone" if self.factor == 1 else f"≤ {self.factor:g} × rclone"

    def is_reached(self, ours: Summary, peer: Summary | None) -> bool | None:
        """Compare the two."""
        return None if peer is None else ours.value <= self.factor * peer.value


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
        return not ours.is_over and ours.value < self.limit


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
class AtLeast:
    """`limit` or more, whatever the peer does."""

    limit: float
    unit: Unit

    @property
    def text(self) -> str:
        """The goal in a few words."""
        return f"≥ {format_value(self.limit, self.unit)}"

    def is_reached(self, ours: Summary, peer: Summary | None) -> bool | None:
        """Compare with the limit."""
        return not ours.is_over and ours.value >= self.limit


@dataclass(frozen=True, slots=True)
class FetchesWithin:
    """Not more than so many bytes over the wire."""

    most: int

    @property
    def text(self) -> str:
        """The goal in a few words."""
        return f"≤ {self.most / 1e6:,.1f} MB fetched"

    def is_reached(self, ours: Summary, peer: Summary | None) -> bool | None:
        """Look at the bytes over the wire."""
        return None if ours.wire is None else ours.wire <= self.most


@dataclass(frozen=True, slots=True)
class UnreadBelow:
    """Less than so many bytes fetched that nobody read, in any repetition."""

    limit: int

    @property
    def text(self) -> str:
        """The goal in a few words."""
        return f"< {self.limit / 1e6:,.0f} MB unread"

    def is_reached(self, ours: Summary, peer: Summary | None) -> bool | None:
        """Look at the repetition with the most of them."""
        return None if ours.most_unread is None else ours.most_unread < self.limit


@dataclass(frozen=True, slots=True)
class RequestsWithin:
    """Not more than so many requests, in any repetition."""

    most: int

    @property
    def text(self) -> str:
        """The goal in a few words."""
        return f"≤ {self.most:,} requests"

    def is_reached(self, ours: Summary, peer: Summary | None) -> bool | None:
        """Look at the repetition with the most requests."""
        return None if ours.most_requests is None else ours.most_requests <= self.most


@dataclass(frozen=True, slots=True)
class ConnectionsWithin:
    """Never more than so many connections open, and none refused, in any repetition."""

    most: int

    @property
    def text(self) -> str:
        """The goal in a few words."""
        return f"≤ {self.most} connections, none refused"

    def is_reached(self, ours: Summary, peer: Summary | None) -> bool | None:
        """Look at the repetition with the most of them."""
        if ours.connections is None or ours.refused is None:
            return None
        return ours.connections <= self.most and not ours.refused
