"""Reads listing pages as they stream: plain or packed, in slices, with bounds.

No more than 64 KiB is received, unpacked or parsed at once: a page of 200,000 rows may not
stop everybody else for the seconds that it takes.

Threading: a `PageReader` is safe from any thread.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable

from empiarfs.archive.race import Entrant
from empiarfs.archive.session import Exchange
from empiarfs.archive.wire import Wire
from empiarfs.core.listing import Listing, ListingParser
from empiarfs.core.responses import check_listing_answer
from empiarfs.errors import BadResponseError, UnavailableError
from empiarfs.patience import Patience

_MAX_REDIRECTS = 2
_SLICE = 64 * 1024
_MAX_PACKED = 256 * 1024 * 1024


class PageReader:
    """Asks for listing pages.

    Args:
        wire: The way to the archive.
    """

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def read(self, url: str, patience: Patience, first_byte_s: float, entrant: Entrant) -> Listing:
        """Return the listing at `url`, with one attempt.

        Up to two redirects are followed, to other spellings of the same URL.

        Args:
            url: Of the directory, with a slash at its end.
            patience: Of the caller.
            first_byte_s: How long the headers may take.
            entrant: Told when they have come.

        Raises:
            ArchiveError: No listing came; `empiarfs.core.responses` says of which kind.
        """
        for _ in range(_MAX_REDIRECTS + 1):
            watch = self._wire.watch(url, patience, first_byte_s, entrant.is_out)
            self._wire.counters.add("listing_requests")
            headers = {"Accept-Encoding": "gzip"}
            with self._wire.exchange("GET", url, headers, watch, urgent=True) as answer:
                entrant.answered()
                if answer.status == 200:
                    check_listing_answer(200, answer.headers, url=url, now_s=time.time())
                    return self._receive_listing(answer, url, watch.check)
                answer.drain()
            target = check_listing_answer(
                answer.status, answer.headers, url=url, now_s=time.time()
            )
            assert target is not None
            url = target
        raise BadResponseError("redirected more than twice", url=url)

    def _receive_listing(self, answer: Exchange, url: str, check: Callable[[], None]) -> Listing:
        # Many directories are called "data": all of the path must agree.
        parser = ListingParser(url, base_url=self._wire.network.origin.base_url)
        packed = answer.headers.get("Content-Encoding", "").strip().lower().endswith("gzip")
        unpacker = Unpacker(parser.feed, url) if packed else None
        buffer = memoryview(bytearray(_SLICE))
        while count := answer.receive(buffer):
            # How long the page is isn't known before, so this is paid for afterwards.
            self._wire.counters.add("network_bytes", count)
            self._wire.pay_later(count, check)
            if unpacker is None:
                parser.feed(buffer[:count])
            else:
                unpacker.feed(buffer[:count])
        if unpacker is not None:
            unpacker.finish()
        return parser.finish()


class Unpacker:
    """Unpacks gzip in slices, so that neither time nor memory depends on what is sent.

    Args:
        feed: Called with each slice.
        url: For messages.
    """

    def __init__(self, feed: Callable[[bytes], None], url: str) -> None:
        self._feed = feed
        self._url = url
        self._packed = 0
        self._gzip = zlib.decompressobj(wbits=31)

    def feed(self, data: memoryview) -> None:
        """Unpack the next bytes.

        Raises:
            BadResponseError: They aren't gzip, or it doesn't end.
        """
        self._packed += len(data)
        if self._packed > _MAX_PACKED or self._gzip.eof:
            raise BadResponseError("the packed answer doesn't end", url=self._url)
        pending: bytes | memoryview = data
        while True:
            plain = self._unpack(pending)
            if plain:
                self._feed(plain)
            pending = self._gzip.unconsumed_tail
            # A full slice may leave more inside although all input was taken.
            if not pending and len(plain) < _SLICE:
                break
        if self._gzip.unused_data:
            raise BadResponseError("bytes behind the packed answer", url=self._url)

    def _unpack(self, data: bytes | memoryview) -> bytes:
        try:
            return self._gzip.decompress(data, _SLICE)
        except zlib.error as exc:
            raise BadResponseError(f"the answer can't be unpacked: {exc}", url=self._url) from exc

    def finish(self) -> None:
        """Say that all bytes have come.

        Raises:
            UnavailableError: Some are missing.
        """
        if not self._gzip.eof:
            raise UnavailableError("the packed answer ends early", url=self._url)
