"""What a server says of itself: headers, status lines and framing, of any bytes at all.

The two readers of answers are fed through a socket whose other end has said everything
before they ask: the one for pipelined HEADs (our own), and the one for ranges (requests,
urllib3 and http.client below our checks).
"""

from __future__ import annotations

import functools
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from urllib.parse import unquote_to_bytes, urlsplit

import pytest
from requests.structures import CaseInsensitiveDict

from empiarfs.archive.connections import ConnectionBudget
from empiarfs.archive.environment import origin_from
from empiarfs.archive.later import Later
from empiarfs.archive.lines import IDLE_S, Line
from empiarfs.archive.pipeline import PipelineLine
from empiarfs.archive.session import Network, SessionLine
from empiarfs.archive.sockets import Resolver, WatchedSocket
from empiarfs.archive.watch import Watch
from empiarfs.core.files import FileVersion, RemoteFile
from empiarfs.core.ranges import ByteRange
from empiarfs.core.responses import (
    check_listing_answer,
    check_range_answer,
    content_length,
    content_range,
    head_from,
    head_from_first_byte,
    http_date_s,
    is_directory_redirect,
    range_header,
    retry_after_s,
    version_from,
)
from empiarfs.core.sizes import LARGEST_SIZE
from empiarfs.errors import ArchiveError, StalledError
from empiarfs.patience import Patience
from empiarfs.stats import Counters
from tests.support.fuzzing import fuzz

pytestmark = pytest.mark.campaign

BASE = "https://archive.test/root/"
URL = f"{BASE}10002/a.mrc"
PLAIN_BASE = "http://archive.test/root/"
DATE = "Thu, 02 Jan 2020 03:04:05 GMT"
FILE = RemoteFile(BASE, "10002/a.mrc", FileVersion(1000, 1_577_934_245))
WANTED = ByteRange(100, 200)
TOKENS = (
    b"bytes ", b"Content-Range: ", b"Content-Length: ", b"Last-Modified: ", b"ETag: ", b"\r\n",
    b"Transfer-Encoding: chunked\r\n", b"Location: ", b"//evil.example/", b"https://archive.test",
    b"/root/10002/a.mrc/", b"Retry-After: ", b"Content-Type: text/html", b"+9999", b"/*", b"0-0",
    b"HTTP/1.1 206 OK\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"\r\n\r\n", b"\n",
    b"Connection: close\r\n", b"Keep-Alive: timeout=0, max=0\r\n", b"0\r\n\r\n",
    b"ffffffffffffffff\r\n", DATE.encode(),
)  # fmt: skip


def headers_in(data: bytes) -> CaseInsensitiveDict[str]:
    """Return what stands in the data as headers, however impossible."""
    headers: CaseInsensitiveDict[str] = CaseInsensitiveDict()
    for line in data.split(b"\r\n"):
        name, _, value = line.decode("latin-1").partition(":")
        headers[name] = value.strip()
    return headers


def check_headers(data: bytes) -> None:
    headers = headers_in(data)
    check_numbers(headers)
    check_times(headers, data.decode("latin-1"))
    for status in (200, 206, 301, 404, 416, 429, 503):
        check_judgements(status, headers)


def check_numbers(headers: CaseInsensitiveDict[str]) -> None:
    length = content_length(headers)
    assert length is None or 0 <= length <= LARGEST_SIZE
    part = content_range(headers)
    if part is not None:
        assert 0 <= part.range.start < part.range.stop <= part.size <= LARGEST_SIZE
        said = range_header(part.range).replace("=", " ") + f"/{part.size}"
        assert content_range({"Content-Range": said}) == part


def check_times(headers: CaseInsensitiveDict[str], text: str) -> None:
    for each in (text, headers.get("Last-Modified"), headers.get("Retry-After")):
        moment_s = http_date_s(each)
        if moment_s is not None:
            assert http_date_s(formatdate(moment_s, usegmt=True)) == moment_s
    wait_s = retry_after_s(headers, now_s=1e9)
    assert wait_s is None or 0 <= wait_s < float("inf")
    version = version_from(headers, 1000)
    assert str(version)
    assert isinstance(version.validator, str)


def check_judgements(status: int, headers: CaseInsensitiveDict[str]) -> None:
    try:
        check_range_answer(status, headers, FILE, WANTED, url=URL, now_s=0)
    except ArchiveError as exc:
        problem = str(exc)
    else:
        problem = ""
    assert len(problem) < 500
    if not problem:
        part = content_range(headers)
        assert status == 206
        assert part is not None
        assert (part.range, part.size) == (WANTED, FILE.size)
        assert version_from(headers, FILE.size) == FILE.version
    for judge in (head_from, head_from_first_byte):
        try:
            head = judge(status, headers, url=URL, now_s=0)
        except ArchiveError:
            continue
        if head is not None and head.version is not None:
            assert 0 <= head.version.size <= LARGEST_SIZE
    check_redirects(status, headers)


def check_redirects(status: int, headers: CaseInsensitiveDict[str]) -> None:
    is_directory_redirect(headers, URL)
    here = f"{BASE}10002/"
    try:
        target = check_listing_answer(status, headers, url=here, now_s=0)
    except ArchiveError:
        return
    if target is not None:
        there = urlsplit(target)
        assert (there.scheme, there.netloc) == ("https", "archive.test")
        assert unquote_to_bytes(there.path) == b"/root/10002/"
        assert (there.query, there.fragment) == ("", "")


def test_no_headers_break_a_judgement_or_lead_elsewhere() -> None:
    fuzz("headers", check_headers, tokens=TOKENS, examples=300)


# -- whole answers, through sockets ------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SpokenNetwork(Network):
    """A network whose only peer has said `said` and ended its side, whatever it is asked."""

    said: bytes = b""
    peers: list[socket.socket] = field(default_factory=list)

    def open(self, host: str, port: int, watch: Watch, line: Line) -> WatchedSocket:
        """Return our end of a connection to that peer."""
        ours, theirs = socket.socketpair()
        theirs.sendall(self.said)  # 64 KiB at most, which the kernel takes at once
        theirs.shutdown(socket.SHUT_WR)
        self.peers.append(theirs)  # open, so that what is sent finds a reader
        return WatchedSocket(fileno=ours.detach())

    def hang_up(self) -> None:
        """Close the peers' ends."""
        for peer in self.peers:
            peer.close()


@functools.cache
def budget() -> ConnectionBudget:
    return ConnectionBudget(4, prefix=f"empiarfs-test-spoken-{os.getpid()}", later=Later())


@contextmanager
def network_that_says(said: bytes) -> Iterator[SpokenNetwork]:
    network = SpokenNetwork(
        origin=origin_from(PLAIN_BASE),
        proxies={},
        context=None,
        resolver=Resolver(),
        budget=budget(),
        connect_timeout_s=5,
        user_agent="test",
        counters=Counters(),
        said=said,
    )
    try:
        yield network
    finally:
        network.hang_up()


def check_head_answers(said: bytes) -> None:
    watch = Watch(URL, Patience(30), first_byte_s=30)
    with network_that_says(said) as network:
        line = PipelineLine(network)
        line.begin(watch)
        try:
            count = take_answers(line)
        finally:
            line.hang_up(reset=True)
    assert count <= said.count(b"\r\n\r\n")


def take_answers(line: PipelineLine) -> int:
    """Take answers until an error of ours ends them; returns how many there were."""
    count = 0
    while True:
        try:
            answer = line.next_answer(URL)
        except StalledError:
            raise  # all was there, or the end
        except ArchiveError:
            return count
        count += 1
        assert 200 <= answer.status <= 599
        assert all(name == name.strip() and value == value.strip() for name, value in
                   answer.headers.items())  # fmt: skip
        assert line.requests_left is None or line.requests_left >= 0
        assert line.idle_s <= IDLE_S


def test_no_bytes_break_the_reader_of_pipelined_answers() -> None:
    fuzz("head_answers", check_head_answers, tokens=TOKENS, examples=300)


def check_range(said: bytes) -> None:
    watch = Watch(URL, Patience(30), first_byte_s=30)
    buffer = bytearray(len(WANTED))
    got = False
    with network_that_says(said) as network:
        line = SessionLine(network)
        try:
            with line.exchange("GET", f"{PLAIN_BASE}10002/a.mrc", {}, watch) as answer:
                check_range_answer(answer.status, answer.headers, FILE, WANTED, url=URL, now_s=0)
                answer.fill(memoryview(buffer))
                answer.check_end()
                got = True
        except StalledError:
            raise  # all was there, or the end
        except ArchiveError:
            pass
        is_clean = line.is_clean
        line.hang_up(reset=True)
    if got and b"chunked" not in said.lower():
        assert bytes(buffer) in said
        # A line that is kept has nothing left over that the next answer could begin with.
        assert not is_clean or said.endswith(buffer)


def test_no_bytes_break_the_reader_of_ranges_or_its_framing() -> None:
    fuzz("answers", check_range, tokens=TOKENS, examples=300)
