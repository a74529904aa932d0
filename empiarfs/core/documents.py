"""Judges the answer to a request for a small document, of JSON or XML, before it is read.

What the document says is for its parser to judge. A web page in its place, as a network that
wants a log-in sends it, is refused here, since one way to break JSON is as good as another and
"not JSON: line 1 column 1" helps nobody.
"""

from __future__ import annotations

from collections.abc import Mapping

from empiarfs.core.responses import content_length, error_for_status
from empiarfs.errors import BadResponseError

_PAGES = ("text/html", "application/xhtml+xml")
_ENCODINGS = ("", "identity", "gzip", "x-gzip")


def check_document_answer(
    status: int, headers: Mapping[str, str], *, limit: int, url: str, now_s: float
) -> None:
    """Return if the answer's body may be the document.

    Args:
        status: HTTP status code.
        headers: Of the answer; their keys compare without case.
        limit: Bytes that the document may have.
        url: For messages.
        now_s: Wall-clock time in seconds since 1970.

    Raises:
        ArchiveError: As `error_for_status` says; BadResponseError also for a web page, an
            unknown encoding, or a body that is longer than `limit`.
    """
    if status != 200:
        raise error_for_status(status, headers, url=url, now_s=now_s)
    kind = headers.get("Content-Type", "").split(";")[0].strip().lower()
    if kind in _PAGES:
        raise BadResponseError("a web page in place of data", url=url)
    if headers.get("Content-Encoding", "").strip().lower() not in _ENCODINGS:
        raise BadResponseError("an answer in an unknown encoding", url=url)
    if (content_length(headers) or 0) > limit:
        raise BadResponseError(f"an answer of more than {limit} bytes", url=url)
