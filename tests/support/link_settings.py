"""What a simulated link is like, and what passed over it; values only.

`slow_link` says what each of these does. Rates are in bytes a second and times in seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """How far away a server is, and how its network fails.

    Attributes:
        round_trip_s: From a request to the first byte of its answer; half of it each way.
        opening_round_trips: How many more a new connection costs before its first request
            leaves: one for TCP, one for TLS.
        connection_rate: What one connection carries towards the client; None is no limit.
        link_rate: What all of them carry together; None is no limit.
        swallow_every: Each so-manieth request is accepted and never answered; None is none.
        cut_every: Each so-manieth reply ends in a reset; None is none.
        cut_after: How many bytes of such a reply, headers included, come before the reset.
        connection_limit: How many connections may be open; one more is reset. None is any.
    """

    round_trip_s: float = 0.0
    opening_round_trips: int = 0
    connection_rate: int | None = None
    link_rate: int | None = None
    swallow_every: int | None = None
    cut_every: int | None = None
    cut_after: int = 0
    connection_limit: int | None = None

    def __post_init__(self) -> None:
        if self.round_trip_s < 0 or self.opening_round_trips < 0 or self.cut_after < 0:
            raise ValueError(f"less than nothing: {self}")
        for name in (
            *("connection_rate", "link_rate"),
            *("swallow_every", "cut_every", "connection_limit"),
        ):
            if (value := getattr(self, name)) is not None and value < 1:
                raise ValueError(f"{name} must be at least 1 or None, not {value}")


# A university near EBI, and what people elsewhere measured of EBI itself.
GOOD = LinkSettings(
    round_trip_s=0.040,
    opening_round_trips=2,
    connection_rate=25_000_000,
    link_rate=120_000_000,
)
EBI = LinkSettings(
    round_trip_s=0.100,
    opening_round_trips=2,
    connection_rate=1_500_000,
    link_rate=24_000_000,
    swallow_every=33,
    connection_limit=25,
)
LINKS = {"good": GOOD, "ebi": EBI}


@dataclass(frozen=True, slots=True)
class LinkStatistics:
    """What passed over a link since it began to count.

    A request is *behind* if it was sent on a connection of which an earlier one was
    swallowed: it gets nowhere either, and is no candidate for being swallowed itself.

    Attributes:
        seconds: How long has been counted.
        opened: Connections that were opened, those refused excluded.
        open_now: Connections that neither side has closed.
        open_peak: The most that were open at once.
        refused: Connections that were reset for being too many.
        requests: Requests that clients sent, those swallowed and behind included.
        swallowed: Requests that were accepted and will never be answered.
        behind: Requests that got nowhere since one before them was swallowed.
        replies: Replies that began to come from the server.
        cut: Replies that ended in a reset.
        malformed: Connections that were reset since they sent something else than a GET or
            HEAD request without a body.
        bytes_up: Bytes of requests.
        bytes_down: Bytes of replies, headers included, that took up room on the link.
        bytes_of_headers: Bytes of these that were headers.
        bytes_lost: Bytes of replies that no client got, since it had gone.
        busy_s: How long the link would have taken for `bytes_down` at its full rate.
        late_s: By how much the relay itself was late, at worst: more than some hundredths
            of a second and the machine was too busy for the figures to mean much.
    """

    seconds: float = 0.0
    opened: int = 0
    open_now: int = 0
    open_peak: int = 0
    refused: int = 0
    requests: int = 0
    swallowed: int = 0
    behind: int = 0
    replies: int = 0
    cut: int = 0
    malformed: int = 0
    bytes_up: int = 0
    bytes_down: int = 0
    bytes_of_headers: int = 0
    bytes_lost: int = 0
    busy_s: float = 0.0
    late_s: float = 0.0

    @property
    def bytes_of_bodies(self) -> int:
        """Bytes of replies without their headers."""
        return self.bytes_down - self.bytes_of_headers

    @property
    def idle_s(self) -> float:
        """How long the link had nothing to carry."""
        return max(0.0, self.seconds - self.busy_s)

    @property
    def fullness(self) -> float:
        """The part of its rate that the link carried; 0.0 for one without a limit."""
        return self.busy_s / self.seconds if self.seconds else 0.0


STATISTICS_FIELDS = tuple(field.name for field in fields(LinkStatistics))
