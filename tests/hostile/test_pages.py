"""Pages that somebody else wrote: whatever is in them, names stay inside their directory."""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes, urljoin, urlsplit

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from empiarfs.core.links import LinkKind, LinkReader
from empiarfs.core.listing import SHOWN_REFUSALS, Listing, ListingItem, ListingParser
from empiarfs.core.paths import join, name_problem, url_path
from empiarfs.core.row_tails import RowTails
from empiarfs.core.sizes import bounds_of
from empiarfs.errors import BadResponseError
from tests.support.fuzzing import CORPUS, fuzz
from tests.support.listing_cases import ARCHIVE, DATA, FORMS, HOST, URL, parse
from tests.support.listing_page import Form, Row, render

pytestmark = pytest.mark.campaign

BASE = HOST + ARCHIVE
TOKENS = (
    b'<a href="', b'">', b"</a>", b"<a ", b"<table>", b"</table>", b"<pre>", b"</pre>", b"<ul>",
    b"</ul>", b"<td>", b"</td>", b"<title>", b"</title>", b"</html>", b"../", b"%2f", b"%2e",
    b"&#47;", b"&#x2e;", b"&amp;", b"//evil.example/", b"javascript:", b"?C=N;O=D",
    b'<a href="?C=N;O=D">', b'<a href="b">b</a>', b"Index of ", DATA.encode(), URL.encode(),
)  # fmt: skip
MINUTE = re.compile(r"\d{4}-\d{2}-\d{2} \d{2}:\d{2}", re.ASCII)
# A refusal shows 200 bytes at most, each as `\xff` if need be, and the reason.
LONGEST_REFUSAL = 200 * 4 + 100


def outcome(page: bytes, slice_size: int) -> Listing | str:
    """Return the listing, or why it is none; any other error is a mistake of the parser."""
    parser = ListingParser(URL, base_url=BASE)
    try:
        for start in range(0, len(page), slice_size):
            parser.feed(page[start : start + slice_size])
        return parser.finish()
    except BadResponseError as exc:
        return str(exc)


def check_page(page: bytes) -> None:
    found = outcome(page, 4096)

    assert outcome(page, len(page) or 1) == found
    if isinstance(found, str):
        assert len(found) < 1000
        return
    for item in found.items:
        check_item(item)
    names = [item.name for item in found.items]
    assert len(set(names)) == len(names)
    assert len(names) + found.refused_count <= page.lower().count(b"<a")
    check_refusals(found)
    check_round_trip(found)


def check_name(name: str) -> None:
    """Check a name by the letter; what the code says of names may be wrong."""
    raw = name.encode("utf-8", "surrogateescape")
    assert raw not in (b"", b".", b"..")
    assert not {0, ord("/")} & set(raw)
    assert len(raw) <= 255
    assert name_problem(name) is None


def check_item(item: ListingItem) -> None:
    check_name(item.name)
    assert not item.size_text or bounds_of(item.size_text) is not None
    assert not (item.is_directory and item.size_text)
    assert not item.modified_text or MINUTE.fullmatch(item.modified_text)
    check_request(item.name)


def check_request(name: str) -> None:
    """Check that what is asked for under a name is one child of the directory, as named."""
    url = BASE + url_path(join("99999/data", name))
    target = urlsplit(urljoin(BASE, url))

    assert f"{target.scheme}://{target.netloc}" == HOST
    assert (target.query, target.fragment) == ("", "")
    path = unquote_to_bytes(target.path)
    assert path == DATA.encode() + name.encode("utf-8", "surrogateescape")


def check_refusals(found: Listing) -> None:
    assert len(found.refused) == min(found.refused_count, SHOWN_REFUSALS)
    for line in found.refused:
        assert line.replace("…", "").isascii()
        assert line.isprintable()
        assert len(line) <= LONGEST_REFUSAL


def check_round_trip(found: Listing) -> None:
    rows = [Row(item.name, item.is_directory) for item in found.items]

    again = parse(render(DATA, rows), base_url=BASE)

    assert {(item.name, item.is_directory) for item in again.items} == {
        (item.name, item.is_directory) for item in found.items
    }


def test_no_page_makes_the_parser_break_or_leave_the_directory() -> None:
    fuzz("listing", check_page, tokens=TOKENS, examples=400)


def check_link(href: bytes) -> None:
    reader = LinkReader(URL, DATA.encode())

    link = reader.read(href)

    if link.kind is LinkKind.NAME:
        check_name(link.name)
        check_request(link.name)
    else:
        assert link.name == ""
        assert bool(link.problem) == (link.kind is LinkKind.REFUSED)


def test_no_link_leads_out_of_the_directory() -> None:
    fuzz("links", check_link, tokens=TOKENS, examples=600)


def check_row_end(tail: bytes) -> None:
    size, modified = RowTails().read(tail)

    assert not size or bounds_of(size) is not None
    assert not modified or MINUTE.fullmatch(modified)


def test_no_end_of_a_row_breaks_the_parser() -> None:
    tokens = (b"2025-02-07", b"19:49", b"543M", b"07-Feb-2025", b"&nbsp;", b"</td><td>")
    fuzz("row_ends", check_row_end, tokens=tokens, examples=400)


ROWS = [
    Row("a b.mrc", False, 569_560_224),
    Row("b.mrc", False, 1000),
    Row("c", True),
    Row("d&<>.star", False, 12, "2019-01-01 00:00"),
    Row("e.tif", False, 0),
    Row("f", True, modified="1999-12-31 23:59"),
]


@given(
    form=st.sampled_from(FORMS),
    number=st.integers(0, len(ROWS) - 1),
    start=st.integers(0, 300),
    length=st.integers(0, 300),
    put=st.lists(st.sampled_from(TOKENS) | st.binary(max_size=8), max_size=5).map(b"".join),
)
def test_damage_to_one_row_never_turns_another_row_into_something_else(
    form: Form, number: int, start: int, length: int, put: bytes
) -> None:
    page = render(DATA, ROWS, form)
    whole = {item.name: item for item in parse(page).items}
    begin, end = span_of_row(page, number)
    begin = min(begin + start, end)
    found = outcome(page[:begin] + put + page[min(begin + length, end) :], 4096)
    assume(isinstance(found, Listing))
    assert isinstance(found, Listing)
    # Where the damaged row took another one's name, that is refused as listed twice.
    assume(not any("listed twice" in line for line in found.refused))

    for item in found.items:
        if item.name in whole and item.name != ROWS[number].name:
            assert item == whole[item.name]


def span_of_row(page: bytes, number: int) -> tuple[int, int]:
    """Return where the link of a row begins, and where the next row does, or the list ends."""
    links = [match.start() for match in re.finditer(rb"<(tr|img|li)\b[^\n]*<a ", page)]
    links = links[-len(ROWS) :]
    following = [*links[1:], page.index(b"\n", links[-1])]
    return links[number], following[number]


def test_hostile_rows_leave_the_good_ones() -> None:
    found = parse((CORPUS / "listing" / "hostile").read_bytes(), base_url=BASE)

    assert {item.name for item in found.items} >= {"good.mrc", "twice.mrc", "a b.mrc", "sub"}
    assert found.refused_count == 18
