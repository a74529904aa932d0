"""Fetches small documents, of JSON or XML, whole and with a bound.

    request  for                    first byte within   asked a second time if late
    -------  ---------------------  ------------------  ---------------------------
    GET      one that is waited for 12, 30, then 60 s   yes
    POST     many at once           30, then 60 s       no: the answer takes work there

A document that its reader refuses is fetched again, three times in all.

Threading: a `DocumentReader` is safe from any thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from empiarfs.archive.pages import Unpacker
from empiarfs.archive.race import Entrant
from empiarfs.archive.session import Exchange
from empiarfs.archive.watch import Watch
from empiarfs.archive.wire import Wire, never
from empiarfs.core.documents import check_document_answer
from empiarfs.errors import BadResponseError
from empiarfs.patience import Patience

T = TypeVar("T")

_SLICE = 64 * 1024
# The first byte comes when all is put together: as long as a listing's may take.
_GET_S = (12.0, 30.0, 60.0)
_POST_S = (30.0, 60.0)
# What a form is sent with, and what command-line tools send: every framework takes it.
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}
_PACKED = {"Accept-Encoding": "gzip"}


class DocumentReader:
    """Fetches documents of one server.

    Args:
        wire: The way to it.
        urgent: Whether somebody waits for a single document as others wait for bytes.
    """

    def __init__(self, wire: Wire, *, urgent: bool = True) -> None:
        self._wire = wire
        self._urgent = urgent

    def get(self, url: str, read: Callable[[bytes], T], *, limit: int, patience: Patience) -> T:
        """Return what `read` makes of the document at `url`.

        Args:
            url: Of the document; no redirect is followed.
            read: Called with all of it; raises ValueError if it isn't what it should be.
            limit: Bytes that it may have, unpacked.
            patience: Of the caller.

        Raises:
            ArchiveError: It can't be had; BadResponseError if `read` refused three.
            GaveUpError: The patience ended; its cause is the last failure.
            InterruptedCallError: The caller or the client's end ended it.
        """

        def ask(attempt: int) -> T:
            limit_s = _GET_S[min(attempt, len(_GET_S)) - 1]

            def once(mine: Patience, entrant: Entrant) -> T:
                watch = self._wire.watch(url, mine, limit_s, entrant.is_out)
                body = self._received("GET", url, watch, limit, None, entrant.answered)
                return _read(read, body, url)

            return self._wire.raced(once, patience)

        return self._wire.repeated(ask, patience)

    def post(
        self,
        url: str,
        body: bytes,
        read: Callable[[bytes], T],
        *,
        limit: int,
        patience: Patience,
    ) -> T:
        """Return what `read` makes of the answer to `body`; for questions without effect.

        Args and errors are those of `get`. What somebody waits for elsewhere goes first.
        """

        def ask(attempt: int) -> T:
            limit_s = _POST_S[min(attempt, len(_POST_S)) - 1]
            with self._wire.accounted():
                watch = self._wire.watch(url, patience, limit_s, never)
                return _read(read, self._received("POST", url, watch, limit, body, _nothing), url)

        return self._wire.repeated(ask, patience)

    def _received(
        self,
        method: str,
        url: str,
        watch: Watch,
        limit: int,
        body: bytes | None,
        answered: Callable[[], None],
    ) -> bytes:
        headers = _PACKED if body is None else {**_PACKED, **_FORM}
        self._wire.counters.add("document_requests")
        with self._wire.exchange(
            method, url, headers, watch, urgent=self._urgent and body is None, body=body
        ) as answer:
            answered()
            if answer.status == 200:
                _check(answer, limit, url)
                return self._receive(answer, url, limit, watch.check)
            answer.drain()
        _check(answer, limit, url)
        raise AssertionError("only 200 is right")

    def _receive(self, answer: Exchange, url: str, limit: int, check: Callable[[], None]) -> bytes:
        received = bytearray()

        def feed(data: bytes | memoryview) -> None:
            received.extend(data)
            if len(received) > limit:
                raise BadResponseError(f"an answer of more than {limit} bytes", url=url)

        packed = answer.headers.get("Content-Encoding", "").strip().lower().endswith("gzip")
        unpacker = Unpacker(feed, url) if packed else None
        buffer = memoryview(bytearray(_SLICE))
        while count := answer.receive(buffer):
            self._wire.counters.add("network_bytes", count)
            self._wire.pay_later(count, check)
            (unpacker.feed if unpacker is not None else feed)(buffer[:count])
        if unpacker is not None:
            unpacker.finish()
        return bytes(received)


def _nothing() -> None:
    pass


def _check(answer: Exchange, limit: int, url: str) -> None:
    check_document_answer(answer.status, answer.headers, limit=limit, url=url, now_s=time.time())


def _read(read: Callable[[bytes], T], body: bytes, url: str) -> T:
    try:
        return read(body)
    except ValueError as exc:
        raise BadResponseError(str(exc)[:300], url=url) from exc
