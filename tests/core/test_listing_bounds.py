"""The bounds of the listing parser: bytes, rows, time and memory, also on hostile pages."""

from __future__ import annotations

import time
import tracemalloc

import pytest

from empiarfs.core.listing import ListingParser
from empiarfs.errors import BadResponseError
from tests.support.listing_cases import (
    DATA,
    URL,
    page_of,
    table_of,
)
from tests.support.listing_page import movies, render


def test_too_many_bytes_are_refused_as_they_come() -> None:
    parser = ListingParser(URL, max_bytes=1000)
    parser.feed(b" " * 1000)

    with pytest.raises(BadResponseError, match="more than 1000 bytes"):
        parser.feed(b" ")


def test_too_many_rows_are_refused() -> None:
    page = render(DATA, movies(101))
    parser = ListingParser(URL, max_items=100)
    parser.feed(page)

    with pytest.raises(BadResponseError, match="more than 100 rows"):
        parser.finish()


def test_too_many_rows_are_refused_before_the_page_ends() -> None:
    parser = ListingParser(URL, max_items=100)
    parser.feed(table_of(b"").removesuffix(b"</table></body></html>"))

    with pytest.raises(BadResponseError, match="more than 100 rows"):
        parser.feed(
            b'<a href="x">x</a>' + b"".join(b'<a href="%d">x</a>' % n for n in range(2000))
        )


def test_as_many_rows_as_allowed_are_read() -> None:
    parser = ListingParser(URL, max_items=100)
    parser.feed(render(DATA, movies(100)))

    assert len(parser.finish().items) == 100


HOSTILE = {
    "angles": b"<",
    "open links": b"<a ",
    "open attributes": b'<a href="',
    "open texts": b'<a href="x">',
    "links": b'<a href="x"></a>',
    "cells": b'<a href="x"></a><td><td><td><td><td>',
    "spaces": b" ",
    "quotes": b'"',
    "wide tags": b"<a" + b" " * 5000 + b">",
    "equals": b"<a href = href = href = >",
    "references": b'<a href="' + b"&#65;" * 600 + b'"></a>',
    "escapes": b'<a href="' + b"%41" * 1000 + b'"></a>',
    "lists": b"<ul>",
    "nested lists": b"<table><ul><pre>",
    "titles": b"<title>",
    "closings": b"</table",
}


@pytest.mark.parametrize("shape", HOSTILE)
@pytest.mark.parametrize("is_in_list", [False, True])
def test_hostile_pages_take_time_by_the_byte_and_no_memory(shape: str, is_in_list: bool) -> None:
    unit = HOSTILE[shape]
    block = unit * (50_000 // len(unit))
    parser = ListingParser(URL)
    if is_in_list:
        parser.feed(page_of(b"").partition(b"</body>")[0] + b'<table><a href="?C=N;O=D">Name</a>')
    tracemalloc.start()

    start_s = time.process_time()
    for _ in range(10):
        parser.feed(block)
    spent_s = time.process_time() - start_s
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    # Linear: 0.01 to 0.4 s for these 500 KB (with the memory watched). Quadratic: minutes.
    assert spent_s < 10
    assert peak < 500_000


def test_rows_take_less_than_300_bytes_of_memory_each() -> None:
    page = render(DATA, movies(20_000))
    tracemalloc.start()

    parser = ListingParser(URL)
    for start in range(0, len(page), 65536):
        parser.feed(page[start : start + 65536])
    listing = parser.finish()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert len(listing.items) == 20_000
    assert peak < 300 * 20_000
