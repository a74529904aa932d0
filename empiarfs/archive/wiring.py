"""Puts together what every client of a server needs: a line's network, the budget, the accounts.

Each server (the archive, its REST API) has a `Wire` of its own, since they fail and recover
separately; the slots that they take are the machine's, so that all of them together keep to
one budget.

Threading: `wire_to` starts no thread and opens no socket.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from empiarfs import __version__
from empiarfs.archive.connections import ConnectionBudget
from empiarfs.archive.environment import origin_from, proxies_for, tls_context
from empiarfs.archive.health import Health, boot_offset_s
from empiarfs.archive.later import Later
from empiarfs.archive.lines import Lines
from empiarfs.archive.pipeline import PipelineLine
from empiarfs.archive.rate import machine_limit
from empiarfs.archive.session import Network
from empiarfs.archive.sockets import Resolver
from empiarfs.archive.wire import Wire
from empiarfs.stats import Counters

DEFAULT_ARCHIVE_URL = "https://ftp.ebi.ac.uk/empiar/world_availability/"
USER_AGENT = f"empiarfs/{__version__} (+https://pypi.org/project/empiarfs/)"


@dataclass(frozen=True, slots=True)
class ClientConfig:
    """How to talk to the archive.

    Attributes:
        base_url: URL of the archive's root; a slash is added if it has none at its end.
        max_connections: Connections that this process may have at once, 1 to 20. The
            budget is the machine's, so others may leave fewer.
        limit_rate: Bytes per second that this process receives at most, and all limited
            ones of the machine together; None for no limit.
        rate_file: Where they share it; None for the usual place.
        connect_timeout_s: For name resolution, all addresses and TLS together.
        first_byte_s: The longest time that a range may take to its first byte.
        listing_first_byte_s: How long a listing may take to its first byte, at the first
            attempt, the second, and all others.
        min_rate: Bytes per second, over ten seconds, below which a body counts as stalled.
        slot_prefix: First word of the names of the machine's connection slots. Everything
            that talks to EMPIAR shares one; tests take others.
    """

    base_url: str = DEFAULT_ARCHIVE_URL
    # EMPIAR blocks an address above about 25; 12 leaves room for a browser and a colleague.
    max_connections: int = 12
    limit_rate: int | None = None
    rate_file: Path | None = None
    connect_timeout_s: float = 5.0
    # A 12 s limit beat 60 s by 2.5 times, with 3 % of the requests never answered.
    first_byte_s: float = 12.0
    # It comes only after the archive has looked at each file of the directory.
    listing_first_byte_s: tuple[float, ...] = (12.0, 30.0, 60.0)
    min_rate: int = 1024
    slot_prefix: str = "empiarfs"


def wire_to(
    config: ClientConfig, counters: Counters, slept_s: Callable[[], float] = boot_offset_s
) -> Wire:
    """Return the way to the server at `config.base_url`.

    Args:
        config: How to talk to it.
        counters: Counts what happens.
        slept_s: Tells how long the machine has slept so far.

    Raises:
        ConfigError: The URL, a proxy or the certificates can't be used.
    """
    origin = origin_from(config.base_url)
    later = Later()
    budget = ConnectionBudget(config.max_connections, prefix=config.slot_prefix, later=later)
    network = Network(
        origin=origin,
        proxies=proxies_for(origin.base_url),
        context=tls_context() if origin.is_tls else None,
        resolver=Resolver(),
        budget=budget,
        connect_timeout_s=config.connect_timeout_s,
        user_agent=USER_AGENT,
        counters=counters,
    )
    return Wire(
        network,
        budget,
        Lines(budget, later, lambda: PipelineLine(network)),
        Health(highest_first_byte_s=config.first_byte_s, offset=slept_s),
        counters,
        later,
        limit=machine_limit(config.limit_rate, config.slot_prefix, config.rate_file),
        min_rate=config.min_rate,
    )
