"""Judges what the archive answers: is this an answer to what was asked?

Nothing here reads a body. A range answer is judged by its status line and headers before
its first byte is handed out, and every byte that is handed out stands on these checks:

    what                  must be
    --------------------  ---------------------------------------------------------------
    status                206
    Content-Range         exactly the range asked for, and the size of the file's version
    Content-Length        the range's length, or absent with a chunked body; never both
    Content-Encoding      absent or `identity`
    the version           size and Last-Modified (or else the ETag) of the opened version

Headers come as a mapping whose keys compare without case, as requests hands them out.
"""

from __future__ import annotations

import re
from calendar import timegm
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_tz
from urllib.parse import unquote_to_bytes, urljoin, urlsplit

from empiarfs.core.files import FileVersion, RemoteFile
from empiarfs.core.ranges import ByteRange
from empiarfs.core.sizes import LARGEST_SIZE
from empiarfs.errors import (
    ArchiveError,
    BadResponseError,
    BusyError,
    FileChangedError,
    ForbiddenError,
    NotFoundError,
    UnavailableError,
)

Headers = Mapping[str, str]

_DIGITS = re.compile(r"[0-9]{1,19}")
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,19})-([0-9]{1,19})/([0-9]{1,19})")
_UNSATISFIED_RANGE = re.compile(r"bytes \*/([0-9]{1,19})")
_REDIRECTS = (301, 302, 303, 307, 308)
# From 1000 to 9999, in seconds since 1970: the years of four digits, which a calendar can show.
# A zone of a million hours would else make a time that fits into no field of `stat`.
_FIRST_S, _LAST_S = -30_610_224_000, 253_402_300_799


@dataclass(frozen=True, slots=True)
class Head:
    """What a name of the archive stands for.

    Attributes:
        version: The file's version, or None for a directory.
        is_directory: True for a directory.
    """

    version: FileVersion | None
    is_directory: bool


@dataclass(frozen=True, slots=True)
class PartOfFile:
    """What a valid Content-Range says.

    Attributes:
        range: The bytes that the answer holds, or announces.
        size: Size of the whole file in bytes.
    """

    range: ByteRange
    size: int


def range_header(wanted: ByteRange) -> str:
    """Return the value of the Range header that asks for `wanted`, which isn't empty.

    >>> range_header(ByteRange(0, 1024))
    'bytes=0-1023'
    """
    if not wanted:
        raise ValueError("HTTP can't ask for an empty range")
    return f"bytes={wanted.start}-{wanted.stop - 1}"


def content_range(headers: Headers) -> PartOfFile | None:
    """Return what Content-Range says, or None if it is absent, malformed or impossible.

    Impossible is also a size that no file can have, above `LARGEST_SIZE`.

    >>> content_range({"Content-Range": "bytes 5-9/10"})
    PartOfFile(range=ByteRange(start=5, stop=10), size=10)
    >>> content_range({"Content-Range": "bytes 5-9/*"}) is None
    True
    """
    found = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", ""))
    if found is None:
        return None
    first, last, size = map(int, found.groups())
    if not first <= last < size <= LARGEST_SIZE:
        return None
    return PartOfFile(ByteRange(first, last + 1), size)


def content_length(headers: Headers) -> int | None:
    """Return Content-Length in bytes, or None if it is absent or isn't a file's size."""
    text = headers.get("Content-Length", "").strip()
    size = int(text) if _DIGITS.fullmatch(text) else -1
    return size if 0 <= size <= LARGEST_SIZE else None


def http_date_s(text: str | None) -> int | None:
    """Return an HTTP date in seconds since 1970, or None if it isn't one.

    Only the years 1000 to 9999 are dates: shorter ones may mean any century.

    >>> http_date_s("Thu, 02 Jan 2020 03:04:05 GMT")
    1577934245
    """
    fields = parsedate_tz(text) if text else None
    if fields is None:
        return None
    try:
        moment_s = timegm((*fields[:6], 0, 0, 0)) - (fields[9] or 0)
    except (ValueError, OverflowError):
        return None
    return moment_s if _FIRST_S <= moment_s <= _LAST_S else None


def version_from(headers: Headers, size: int) -> FileVersion:
    """Return the version that an answer about a file of `size` bytes speaks of."""
    modified_s = http_date_s(headers.get("Last-Modified"))
    if modified_s is not None:
        return FileVersion(size, modified_s)
    # Apache's ETag turns from weak to strong a second after writing: the mark says nothing.
    tag = headers.get("ETag", "").strip().removeprefix("W/").strip('"')
    return FileVersion(size, None, tag or None)


def retry_after_s(headers: Headers, now_s: float) -> float | None:
    """Return how many seconds the archive asks us to wait, or None if it doesn't say.

    A date is counted from the archive's own, where it tells that: a clock that is ahead here
    would make every wait zero, and one that is behind make it hours.

    Args:
        headers: Of the answer.
        now_s: Wall-clock time in seconds since 1970, for a date without one to count from.

    >>> retry_after_s({"Retry-After": "7"}, now_s=0), retry_after_s({"Retry-After": "soon"}, 0)
    (7.0, None)
    """
    text = headers.get("Retry-After", "").strip()
    if _DIGITS.fullmatch(text):
        return float(text)
    date_s = http_date_s(text)
    if date_s is None:
        return None
    sent_s = http_date_s(headers.get("Date"))
    return max(0.0, date_s - (now_s if sent_s is None else sent_s))


def error_for_status(status: int, headers: Headers, *, url: str, now_s: float) -> ArchiveError:
    """Return the error that an answer with a status other than the expected one means."""
    if status in (404, 410):
        return NotFoundError(f"the archive answers {status}", url=url)
    if status in (401, 403):
        return ForbiddenError(f"the archive answers {status}", url=url)
    if status in (429, 503):
        wait_s = retry_after_s(headers, now_s)
        return BusyError(f"the archive answers {status}", url=url, retry_after_s=wait_s)
    if status in (408, 425) or 500 <= status <= 599:
        wait_s = retry_after_s(headers, now_s)
        return UnavailableError(f"the archive answers {status}", url=url, retry_after_s=wait_s)
    if status in _REDIRECTS:
        where = headers.get("Location", "nowhere")[:200]
        return BadResponseError(f"redirected ({status}) to {where!r}; not followed", url=url)
    return BadResponseError(f"the archive answers {status}", url=url)


def check_range_answer(
    status: int,
    headers: Headers,
    file: RemoteFile,
    wanted: ByteRange,
    *,
    url: str,
    now_s: float,
) -> None:
    """Return if the answer's body will be exactly the bytes `wanted` of `file`.

    Args:
        status: HTTP status code.
        headers: Of the answer.
        file: The version that was opened.
        wanted: What was asked for, not empty.
        url: For messages.
        now_s: Wall-clock time in seconds since 1970.

    Raises:
        FileChangedError: The archive holds another version now.
        NotFoundError: The file is gone.
        ForbiddenError: The archive refuses to hand it out.
        UnavailableError: Worth asking again; a `BusyError` for 429 and 503.
        BadResponseError: Anything else.
    """
    if status == 416:
        raise _unsatisfied(headers, file, url)
    if status == 200:
        raise _whole(headers, file, url)
    if status != 206:
        raise error_for_status(status, headers, url=url, now_s=now_s)
    part = content_range(headers)
    if part is None:
        got = headers.get("Content-Range", "nothing")[:100]
        raise BadResponseError(f"Content-Range says {got!r}", url=url)
    if part.size != file.size:
        raise FileChangedError(f"{part.size} bytes instead of {file.size}", url=url)
    if part.range != wanted:
        raise BadResponseError(f"{part.range} instead of {wanted}", url=url)
    _check_framing(headers, len(wanted), url)
    _check_version(headers, file, url)


def _whole(headers: Headers, file: RemoteFile, url: str) -> ArchiveError:
    # Apache answers so where the file is empty now. A page of HTML in its place says nothing.
    modified_s = http_date_s(headers.get("Last-Modified"))
    is_page = headers.get("Content-Type", "").strip().lower().startswith("text/html")
    is_other = modified_s not in (None, file.version.modified_s)
    if content_length(headers) == 0 and is_other and not is_page:
        return FileChangedError(f"no bytes instead of {file.size}", url=url)
    return BadResponseError("the whole file instead of a range (200)", url=url)


def _unsatisfied(headers: Headers, file: RemoteFile, url: str) -> ArchiveError:
    found = _UNSATISFIED_RANGE.fullmatch(headers.get("Content-Range", ""))
    if found is None:
        # Apache leaves it out where its error page is chunked. What is asked for lies inside
        # the file as it was opened, so it is shorter now.
        return FileChangedError("the range lies outside the file (416)", url=url)
    if int(found[1]) != file.size:
        return FileChangedError(f"{found[1]} bytes instead of {file.size}", url=url)
    return BadResponseError("the range can't be satisfied (416)", url=url)


def _check_framing(headers: Headers, length: int, url: str) -> None:
    encoding = headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise BadResponseError(f"encoded as {encoding[:40]!r}", url=url)
    stated = headers.get("Content-Length")
    if "Transfer-Encoding" in headers:
        # Two ways to say where the body ends are two opinions: a way to smuggle bytes.
        if stated is not None:
            raise BadResponseError("Content-Length and Transfer-Encoding together", url=url)
        if headers["Transfer-Encoding"].strip().lower() != "chunked":
            raise BadResponseError("an unknown Transfer-Encoding", url=url)
    elif stated is not None and content_length(headers) != length:
        raise BadResponseError(f"Content-Length {stated[:40]!r} for {length} bytes", url=url)


def _check_version(headers: Headers, file: RemoteFile, url: str) -> None:
    found = version_from(headers, file.size)
    if found == file.version:
        return
    if file.version.modified_s is not None and found.modified_s is None:
        # Not proof of a change: perhaps one of several back ends. Asking again may tell.
        raise BadResponseError("an answer without Last-Modified", url=url)
    raise FileChangedError(
        f"version {found.validator or '?'} instead of {file.version.validator or '?'}", url=url
    )


def head_from(status: int, headers: Headers, *, url: str, now_s: float) -> Head | None:
    """Return what the answer to a HEAD request says.

    Args:
        status: HTTP status code; 200, or 206 if a Range header was sent along, or another.
        headers: Of the answer.
        url: The URL asked for, without a slash at its end.
        now_s: Wall-clock time in seconds since 1970.

    Returns:
        The head; or None if a file is there and its size isn't told. Apache leaves out
        Content-Length where it would be 0, so then a GET has to say.

    Raises:
        ArchiveError: As `error_for_status` says.
    """
    if status in _REDIRECTS and is_directory_redirect(headers, url):
        return Head(None, is_directory=True)
    if status == 206:
        part = content_range(headers)
        if part is None:
            raise BadResponseError("206 without a valid Content-Range", url=url)
        return Head(version_from(headers, part.size), is_directory=False)
    if status != 200:
        raise error_for_status(status, headers, url=url, now_s=now_s)
    if headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity"):
        raise BadResponseError("the size of an encoded file isn't its size", url=url)
    if "Content-Length" not in headers and "Transfer-Encoding" not in headers:
        return None
    size = content_length(headers)
    if size is None or "Transfer-Encoding" in headers:
        raise BadResponseError("an answer without a size", url=url)
    return Head(version_from(headers, size), is_directory=False)


def head_from_first_byte(status: int, headers: Headers, *, url: str, now_s: float) -> Head:
    """Return what the answer to a GET of the first byte says of a file without a told size.

    Raises:
        ArchiveError: As `error_for_status` says; BadResponseError if no size is told.
    """
    if status == 200 and content_length(headers) == 0 and "Transfer-Encoding" not in headers:
        return Head(version_from(headers, 0), is_directory=False)
    if status == 206:
        head = head_from(status, headers, url=url, now_s=now_s)
        assert head is not None
        return head
    if status == 200:
        raise BadResponseError("an answer without a size", url=url)
    raise error_for_status(status, headers, url=url, now_s=now_s)


def is_directory_redirect(headers: Headers, url: str) -> bool:
    """Tell whether the redirect leads to the same path with a slash added, on this host."""
    here = urlsplit(url)
    try:
        there = urlsplit(urljoin(url, headers.get("Location", "")))
    except ValueError:
        return False
    # A server behind a TLS gateway may name itself with http: nobody follows it here.
    same_host = there.scheme in ("http", "https") and there.hostname == here.hostname
    return same_host and unquote_to_bytes(there.path) == unquote_to_bytes(here.path) + b"/"


def check_listing_answer(status: int, headers: Headers, *, url: str, now_s: float) -> str | None:
    """Judge the answer to a request for a listing page.

    Returns:
        None if the body should be a listing; else the URL to ask instead, which spells the
        same directory of the same host, scheme and port in another way. A redirect to any
        other directory isn't followed: what it lists couldn't be read under these names,
        since redirects of files are never followed.

    Raises:
        ArchiveError: As `error_for_status` says; BadResponseError also for a redirect that
            leads elsewhere, an answer that isn't HTML and an encoding other than gzip.
    """
    if status in _REDIRECTS:
        return _listing_redirect(headers, url, status)
    if status != 200:
        raise error_for_status(status, headers, url=url, now_s=now_s)
    kind = headers.get("Content-Type", "").split(";")[0].strip().lower()
    if kind not in ("text/html", "application/xhtml+xml"):
        raise BadResponseError(f"no listing but {kind[:40]!r}", url=url)
    if headers.get("Content-Encoding", "identity").strip().lower() not in (
        "", "identity", "gzip", "x-gzip",
    ):  # fmt: skip
        raise BadResponseError("a listing in an unknown encoding", url=url)
    return None


def _listing_redirect(headers: Headers, url: str, status: int) -> str:
    location = headers.get("Location", "")
    here = urlsplit(url)
    try:
        target = urlsplit(urljoin(url, location))
        same = target[:2] == here[:2]
    except ValueError:
        same = False
    if not location or not same or unquote_to_bytes(target.path) != unquote_to_bytes(here.path):
        raise BadResponseError(f"redirected ({status}) to {location[:200]!r}", url=url)
    return target._replace(query="", fragment="").geturl()
