"""What goes wrong on the way to the archive, beside what the server does wrong by itself.

Every few seconds one of these, at random: the link lets nothing pass for some seconds and
nobody is told; the server is killed and comes back after some seconds; a burst of requests
is never answered; every fifth reply is cut for a while. The link also swallows each 33rd
request, as EMPIAR's servers do, and cuts each 50th reply, all the time.

Threading: one thread of its own, between `__enter__` and `__exit__`; it alone uses the link
and the server meanwhile. What it found is read afterwards, or is a number.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable

from scripts.soaking.served import Server
from tests.support.slow_link import LinkSettings, SlowLink

# Far enough that a request takes a while, near enough that some minutes are much work.
LINK = LinkSettings(
    round_trip_s=0.020,
    opening_round_trips=2,
    connection_rate=8_000_000,
    link_rate=40_000_000,
    swallow_every=33,
    cut_every=50,
    cut_after=50_000,
    connection_limit=25,
)
_CUT_OFTEN = 5


class Trouble:
    """Makes trouble until the context ends; the link and the server are whole after that.

    Args:
        link: Between the mount and the server.
        server: Is running.
        seed: What it does follows from this.
        pause_s: The shortest and the longest time between two troubles.
    """

    def __init__(
        self, link: SlowLink, server: Server, seed: int, pause_s: tuple[float, float]
    ) -> None:
        self._link = link
        self._server = server
        self._chance = random.Random(seed)
        self._pause_s = pause_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="trouble")
        self._met: Counter[str] = Counter()
        self._failure: Exception | None = None

    def __enter__(self) -> Trouble:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._over.set()
        self._thread.join()

    def met(self) -> Counter[str]:
        """Return how often which fault was met; to be called after the context's end.

        Raises:
            RuntimeError: The troubles ended too early, for their own reason.
        """
        if self._failure is not None:
            raise RuntimeError("the link or the server failed by itself") from self._failure
        self._server.count()
        passed = self._link.statistics()
        return (
            self._met
            + self._server.met
            + Counter({"request swallowed": passed.swallowed, "reply cut": passed.cut})
        )

    def _run(self) -> None:
        try:
            while not self._over.wait(self._chance.uniform(*self._pause_s)):
                name, make = self._chance.choice(list(self._kinds.items()))
                self._met[name] += 1
                make()
                self._server.count()
        except Exception as exc:
            self._failure = exc

    @property
    def _kinds(self) -> dict[str, Callable[[], None]]:
        return {
            "link cut off": self._cut_off,
            "server killed": self._kill_server,
            "burst swallowed": self._swallow,
            "replies cut": self._cut_replies,
        }

    def _cut_off(self) -> None:
        self._link.cut_off()
        try:
            self._over.wait(self._chance.uniform(0.5, 8.0))
        finally:
            self._link.restore()

    def _kill_server(self) -> None:
        self._server.count()
        self._server.kill()
        try:
            self._over.wait(self._chance.uniform(0.2, 5.0))
        finally:
            self._server.start()

    def _swallow(self) -> None:
        self._link.swallow_next(self._chance.randint(5, 15))

    def _cut_replies(self) -> None:
        self._link.change(cut_every=_CUT_OFTEN)
        try:
            self._over.wait(self._chance.uniform(1.0, 3.0))
        finally:
            self._link.change(cut_every=LINK.cut_every)
