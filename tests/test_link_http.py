"""Requests and replies are told apart wherever the network cuts the stream."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.link_http import NotHTTPError, ReplyReader, RequestReader

REQUESTS = [b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n", b"HEAD /b HTTP/1.1\r\n\r\n"]
BODIES = st.binary(max_size=60)
# (method, whole reply)
REPLIES = st.one_of(
    BODIES.map(
        lambda body: (b"GET", b"HTTP/1.1 206 P\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
    ),
    BODIES.map(lambda body: (b"GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                             + chunked(body))),
    st.just((b"HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 2000000000\r\n\r\n")),
    st.just((b"GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n")),
    st.just((b"GET", b"HTTP/1.1 100 Go on\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n.")),
)  # fmt: skip


def chunked(body: bytes) -> bytes:
    parts = [body[start : start + 17] for start in range(0, len(body), 17)]
    return b"".join(b"%x;note\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def split(data: bytes, places: list[int]) -> list[bytes]:
    marks = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[start:stop] for start, stop in pairwise(marks)]


@given(st.lists(st.sampled_from(REQUESTS)), st.lists(st.integers(0, 10_000)))
def test_requests_come_whole_however_they_were_written(
    requests: list[bytes], places: list[int]
) -> None:
    reader = RequestReader()

    found = [one for data in split(b"".join(requests), places) for one in reader.feed(data)]

    assert found == requests


@pytest.mark.parametrize(
    "data",
    [
        b"POST / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 3\r\n\r\n",
        b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"\x16\x03\x01\r\n\r\n",
        b"G" * 70_000,
    ],
)
def test_what_is_no_request_without_a_body_is_refused(data: bytes) -> None:
    with pytest.raises(NotHTTPError):
        RequestReader().feed(data)


@given(
    st.lists(REPLIES, min_size=1),
    st.lists(st.integers(0, 10_000)),
    st.integers(0, 10),
    st.integers(0, 150),
)
def test_a_reply_is_cut_where_it_has_come_to_its_last_byte(
    replies: list[tuple[bytes, bytes]], places: list[int], chosen: int, cut_after: int
) -> None:
    begun: list[int] = []

    def begin() -> int | None:
        begun.append(len(begun))
        return cut_after if begun[-1] == chosen else None

    reader = ReplyReader(begin)
    for method, _ in replies:
        reader.expect(method)
    passed = 0
    for data in split(b"".join(reply for _, reply in replies), places):
        cut = reader.feed(memoryview(data))
        passed += len(data) if cut is None else cut
        if cut is not None:
            break

    sizes = [len(reply) for _, reply in replies]
    if chosen < len(sizes):
        assert passed == sum(sizes[:chosen]) + min(cut_after, sizes[chosen])
        assert len(begun) == chosen + 1
    else:
        assert passed == sum(sizes)
        assert len(begun) == len(sizes)


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\n\r\nuntil the end HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nno size\r\nHTTP/1.1 200 OK\r\n\r\n",
        b"no HTTP at all" * 10_000,
    ],
)
def test_a_reply_without_an_end_is_one_reply(data: bytes) -> None:
    begun: list[int] = []
    reader = ReplyReader(lambda: begun.append(1))

    assert reader.feed(memoryview(data)) is None
    assert begun == [1]
