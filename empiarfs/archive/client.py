"""The archive over HTTP: byte ranges, listing pages, and what a name stands for.

One method sends one kind of request; what the answer may look like is judged by
`empiarfs.core.responses`, before its body is touched. A range is received straight into the
memory that the caller provides and is never repeated here: the fetcher knows what is still
worth asking for. Listings and HEADs are repeated here until the caller's patience ends.

    request  first byte within               repeated  encoding
    -------  ------------------------------  --------  -------------------------------------
    range    clamp(4 × p90, 3 s, 12 s)       no        identity
    HEAD     the same                        yes       identity
    listing  12, 30, then 60 s: its first    yes       gzip allowed, 256 MiB unpacked
             byte comes after all stats

Every request is watched (watch.py), goes over a line of the machine's budget (lines.py,
connections.py) and ends with one of the errors of `empiarfs.errors`. No redirect is
followed but a listing's to another spelling of its own URL.

Threading: safe from any thread. No thread and no socket before the first use.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from empiarfs.archive.documents import DocumentReader
from empiarfs.archive.health import boot_offset_s
from empiarfs.archive.pages import PageReader
from empiarfs.archive.race import Entrant
from empiarfs.archive.rate import Payment
from empiarfs.archive.session import Exchange
from empiarfs.archive.sizes import SizeAsker
from empiarfs.archive.wire import never
from empiarfs.archive.wiring import DEFAULT_ARCHIVE_URL, ClientConfig, wire_to
from empiarfs.core.files import FileVersion, RemoteFile
from empiarfs.core.latency import LatencyView
from empiarfs.core.listing import Listing, ListingItem
from empiarfs.core.paths import url_path
from empiarfs.core.ranges import ByteRange
from empiarfs.core.reachability import State
from empiarfs.core.responses import (
    Head,
    check_range_answer,
    head_from,
    head_from_first_byte,
    range_header,
)
from empiarfs.core.waits import Wait
from empiarfs.errors import (
    ArchiveError,
    GaveUpError,
    NotFoundError,
    StalledError,
)
from empiarfs.patience import Patience
from empiarfs.stats import Counters

__all__ = ["DEFAULT_ARCHIVE_URL", "ArchiveClient", "ClientConfig", "Head"]

T = TypeVar("T")

logger = logging.getLogger(__name__)

# Where EMPIAR lies on its server, beside EMDB and others.
_PLACE = "empiar/world_availability/"
_IDENTITY = {"Accept-Encoding": "identity"}


class ArchiveClient:
    """Asks one archive; safe to use from several threads.

    Args:
        config: How to talk to it.
        counters: Counts what happens.
        slept_s: Tells how long the machine has slept so far.

    Raises:
        ConfigError: The URL, a proxy or the certificates can't be used.
    """

    def __init__(
        self,
        config: ClientConfig,
        counters: Counters,
        *,
        slept_s: Callable[[], float] = boot_offset_s,
    ) -> None:
        self._wire = wire_to(config, counters, slept_s)
        self._budget = self._wire.budget
        self._health = self._wire.health
        self._counters = counters
        self._base_url = self._wire.network.origin.base_url
        self._listing_s = config.listing_first_byte_s
        self._limit_rate = config.limit_rate
        self._pages = PageReader(self._wire)
        self._documents = DocumentReader(self._wire)
        self._sizes = SizeAsker(self._wire, self._single_head)

    @property
    def base_url(self) -> str:
        """URL of the archive's root, with a slash at its end and without credentials."""
        return self._base_url

    @property
    def reachability(self) -> State:
        """Whether the archive can be reached: "online", "suspect" or "offline"."""
        return self._health.state

    @property
    def connections_in_use(self) -> int:
        """Slots of the machine's budget that this process holds, idle ones included."""
        return self._budget.in_use

    @property
    def oldest_request_s(self) -> float | None:
        """For how many seconds the oldest request has been under way; None without one."""
        return self._health.oldest_request_s

    @property
    def limit_rate(self) -> int | None:
        """Bytes per second that may be received, or None."""
        return self._limit_rate

    @property
    def is_refused(self) -> bool:
        """Whether the archive has lately asked a process of this machine to slow down."""
        return self._budget.refused

    def range_latency(self) -> LatencyView:
        """Return how long ranges took to their first byte lately."""
        return self._health.range_latency()

    def wait_until_reachable(self, timeout_s: float) -> None:
        """Return when the archive may be asked, if only for a probe, or after `timeout_s`."""
        self._health.wait_until_reachable(timeout_s)

    def close(self) -> None:
        """End all requests at once with InterruptedCallError and free the slots."""
        self._wire.close()

    def prepare(self, connections: int) -> None:
        """Have so many connections at hand soon, since many ranges are going to be asked for.

        Returns at once. Fewer are made where the budget or its pace allows no more.
        """
        self._wire.prepare(connections)

    def read_range(
        self,
        file: RemoteFile,
        wanted: ByteRange,
        buffers: Iterator[memoryview],
        *,
        urgent: bool,
        patience: Patience,
        cancelled: Callable[[], bool] = never,
        turned: Callable[[Wait], None] = lambda wait: None,
        became_urgent: Callable[[], bool] = never,
    ) -> None:
        """Receive the bytes `wanted` of `file` into `buffers`, with one request.

        Args:
            file: The version to read. Another version in the archive is an error.
            wanted: A range inside the file, not empty.
            buffers: Writable memory, `len(wanted)` bytes in all. Each is filled in order
                and wholly before the next one is asked for; none is asked for before the
                answer's headers were found right.
            urgent: Whether somebody waits for it. What isn't urgent leaves two slots free,
                and gives way to what is, with InterruptedCallError.
            patience: Of the caller.
            cancelled: Asked at each receive and ten times a second; ends the request.
            turned: Told what is waited for from now on: `FIRST_BYTE` when the request goes
                to a connection, again if that had to be made anew.
            became_urgent: Tells whether somebody waits for what nobody waited for at first.

        Raises:
            FileChangedError: The archive holds another version now.
            NotFoundError: The file is gone.
            ForbiddenError: The archive refuses to hand it out.
            StalledError: No answer in time, or only a trickle.
            OfflineError: The archive is known to be out of reach; nothing was sent.
            UnavailableError: No connection, a broken one, 429, 5xx.
            BadResponseError: Any other answer.
            GaveUpError: The patience ended.
            InterruptedCallError: The caller, `cancelled` or `close` ended it.
        """
        url = self._base_url + url_path(file.path)
        headers = {**_IDENTITY, "Range": range_header(wanted)}
        limit_s = self._health.range_limit_s()
        watch = self._wire.watch(url, patience, limit_s, cancelled, turned)
        turned(Wait.REFUSED if self.is_refused else Wait.CONNECTION)
        payment = self._wire.payment(
            len(wanted), lambda: urgent or became_urgent(), watch.check, turned
        )
        payment.begin()
        with self._wire.accounted():
            self._counters.add("range_requests")
            try:
                with self._wire.exchange("GET", url, headers, watch, urgent=urgent) as answer:
                    self._health.range_answered(answer.latency_s)
                    if answer.status < 400:
                        # What isn't right ends the connection too: it may be out of step.
                        self._judge(answer, file, wanted, url)
                        self._receive(answer, wanted, buffers, payment)
                        return
                    answer.drain()
            except StalledError:
                if not watch.in_body:
                    self._health.range_stalled(limit_s)
                raise
            self._judge(answer, file, wanted, url)

    def listing(self, path: str, *, patience: Patience) -> Listing:
        """Return what the archive lists for the directory `path`.

        Raises:
            NotFoundError: There is no such directory.
            ForbiddenError: The archive refuses to list it.
            BadResponseError: Three answers that are no listing of this directory.
            OfflineError: The archive is known to be out of reach.
            GaveUpError: The patience ended; its cause is the last failure.
            InterruptedCallError: The caller or `close` ended it.
        """
        url = self._base_url + (url_path(path) + "/" if path else "")

        def ask(attempt: int) -> Listing:
            limit_s = self._listing_s[min(attempt, len(self._listing_s)) - 1]
            return self._wire.raced(
                lambda mine, entrant: self._pages.read(url, mine, limit_s, entrant), patience
            )

        found = self._wire.repeated(ask, patience)
        if found.refused_count:
            self._counters.add("refused_names", found.refused_count)
            logger.info("%s: %d names refused", url, found.refused_count)
        return found

    def document(
        self, path: str, read: Callable[[bytes], T], *, limit: int, patience: Patience
    ) -> T:
        """Return what `read` makes of a small file, which nothing is kept of here.

        Args:
            path: Of the file.
            read: Called with all of its bytes; raises ValueError if they aren't what they
                should be, which is worth asking again.
            limit: Bytes that it may have.
            patience: Of the caller.

        Raises:
            ArchiveError: As for `head`; BadResponseError also if `read` finds nothing.
            GaveUpError: The patience ended; its cause is the last failure.
            InterruptedCallError: The caller or `close` ended it.
        """
        url = self._base_url + url_path(path)
        return self._documents.get(url, read, limit=limit, patience=patience)

    def neighbour(
        self, path: str, read: Callable[[bytes], T], *, limit: int, patience: Patience
    ) -> T:
        """Return what `read` makes of a small file of the server, outside the archive.

        Args:
            path: From the server's root on, for an archive that lies where EMPIAR's does.
            read: As for `document`, and so the rest.
            limit: Likewise.
            patience: Likewise.

        Raises:
            NotFoundError: Also if the archive lies elsewhere: it has no neighbours then.
            ArchiveError: As for `document`, and so the others.
        """
        root = self._base_url.removesuffix(_PLACE)
        if root == self._base_url:
            raise NotFoundError(f"nothing beside this archive: {path}", url=self._base_url)
        url = f"{root}{url_path(path)}"
        return self._documents.get(url, read, limit=limit, patience=patience)

    def head(self, path: str, *, patience: Patience) -> Head:
        """Return what `path` stands for, with the exact size if it is a file.

        Raises:
            NotFoundError: Nothing is there.
            ForbiddenError: The archive refuses to tell.
            BadResponseError: Three answers without a size.
            OfflineError: The archive is known to be out of reach.
            GaveUpError: The patience ended; its cause is the last failure.
            InterruptedCallError: The caller or `close` ended it.
        """
        return self._single_head(path, patience, True)

    def heads(
        self,
        directory: str,
        rows: Sequence[ListingItem],
        *,
        patience: Patience,
        answered: Callable[[str, FileVersion], None],
    ) -> dict[str, ArchiveError | GaveUpError]:
        """Ask for the exact sizes of many files of one directory; see `SizeAsker.ask`."""
        return self._sizes.ask(directory, rows, patience, answered)

    def _judge(self, answer: Exchange, file: RemoteFile, wanted: ByteRange, url: str) -> None:
        check_range_answer(answer.status, answer.headers, file, wanted, url=url, now_s=time.time())

    def _receive(
        self,
        answer: Exchange,
        wanted: ByteRange,
        buffers: Iterator[memoryview],
        payment: Payment,
    ) -> None:
        left = len(wanted)
        for buffer in buffers:
            if len(buffer) > left:
                raise ValueError(f"{len(buffer) - left} bytes of memory too many")
            self._fill(answer, buffer, payment)
            left -= len(buffer)
            if not left:
                # Before the last buffer is given out, the answer must be over.
                answer.check_end()
        if left:
            raise ValueError(f"{left} bytes of memory too few")

    def _fill(self, answer: Exchange, buffer: memoryview, payment: Payment) -> None:
        filled = 0
        while filled < len(buffer):
            part = buffer[filled : filled + payment.allowed(len(buffer) - filled)]
            answer.fill(part)
            self._counters.add("network_bytes", len(part))
            filled += len(part)

    def _single_head(self, path: str, patience: Patience, urgent: bool) -> Head:
        url = self._base_url + url_path(path)

        def ask(_: int) -> Head:
            return self._wire.raced(
                lambda mine, entrant: self._ask_head(url, mine, urgent, entrant), patience
            )

        return self._wire.repeated(ask, patience)

    def _ask_head(self, url: str, patience: Patience, urgent: bool, entrant: Entrant) -> Head:
        answer = self._ask_headers("HEAD", url, _IDENTITY, patience, urgent, entrant)
        if url.endswith("/") and answer.status == 200:
            return Head(None, is_directory=True)
        head = head_from(answer.status, answer.headers, url=url, now_s=time.time())
        # Without a version it may be any page, such as a proxy's or one about an error: those
        # don't answer with a part of the file.
        if head is not None and (head.version is None or head.version.validator):
            return head
        headers = {**_IDENTITY, "Range": "bytes=0-0"}
        answer = self._ask_headers("GET", url, headers, patience, urgent, entrant)
        return head_from_first_byte(answer.status, answer.headers, url=url, now_s=time.time())

    def _ask_headers(
        self,
        method: str,
        url: str,
        headers: dict[str, str],
        patience: Patience,
        urgent: bool,
        entrant: Entrant,
    ) -> Exchange:
        watch = self._wire.watch(url, patience, self._health.range_limit_s(), entrant.is_out)
        self._counters.add("head_requests")
        with self._wire.exchange(method, url, headers, watch, urgent=urgent) as answer:
            entrant.answered()
            answer.drain()
        return answer
