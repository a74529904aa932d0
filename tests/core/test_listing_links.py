"""The listing parser on single rows: what a link, a time and a size stand for."""

from __future__ import annotations

import pytest

from empiarfs.core.listing import SHOWN_REFUSALS, ListingItem
from tests.support.listing_cases import (
    ARCHIVE,
    DATA,
    URL,
    names_in,
    page_of,
    parse,
    table_of,
)
from tests.support.listing_page import Row, link_to, render

# --- links that are no names ------------------------------------------------------------------

REFUSED = [
    (b"https://evil.example/x", "another host"),
    (b"//evil.example/x", "another host"),
    (b"//ftp.ebi.ac.uk" + DATA.encode() + b"x", "another host"),
    (b"https://ftp.ebi.ac.uk.evil.example" + DATA.encode() + b"x", "another host"),
    (b"http://ftp.ebi.ac.uk" + DATA.encode() + b"x", "another host"),
    (b"javascript:alert(1)", "another host or scheme"),
    (b"mailto:a@b", "another host or scheme"),
    (b"/", "out of the directory"),
    (b"/etc/passwd", "out of the directory"),
    (DATA.encode() + b"a/b", "out of the directory"),
    (ARCHIVE.encode() + b"10934/", "out of the directory"),
    (b"..", "not a name"),
    (b"../x", "out of the directory"),
    (b"../../", "out of the directory"),
    (b"./../x", "out of the directory"),
    (b"a/b", "out of the directory"),
    (b"a//", "out of the directory"),
    (b".//x", "out of the directory"),
    (b"%2e%2e", "not a name"),
    (b"%2e%2e/", "not a name"),
    (b"%2E", "not a name"),
    (b"a%2fb", "slash"),
    (b"%2fetc", "slash"),
    (b"a&#47;b", "out of the directory"),
    (b"a%00b", "NUL"),
    (b"a&#0;b", "NUL"),
    (b"", "empty"),
    (b"x?y=1", "query"),
    (b"x?", "query"),
    (b"?x", "query"),
    (b"#top", "fragment"),
    (b"x#y", "fragment"),
    (b"n" * 256, "longer than 255"),
    (b"%c3%a9" * 128, "longer than 255"),
]


@pytest.mark.parametrize("form", [b"<table>%b</table>", b"<pre>%b</pre>", b"<ul>%b</ul>"])
@pytest.mark.parametrize(("href", "reason"), REFUSED)
def test_links_out_of_the_directory_are_refused_counted_and_shown(
    form: bytes, href: bytes, reason: str
) -> None:
    rows = b'<a href="?C=N;O=D">Name</a><a href="%b">good.mrc</a><a href="b.mrc">b.mrc</a>' % href

    listing = parse(page_of(form % rows))

    assert names_in(listing) == ["b.mrc"]
    assert listing.refused_count == 1
    assert reason in listing.refused[0]


@pytest.mark.parametrize(
    "href",
    [
        *(b"?C=N;O=D", b"?C=M;O=A", b"?C=S&amp;O=A", b"?C=N;O=D;F=2", b"?C=N&O=D"),
        *(
            b"../",
            b".",
            b"./",
            DATA.encode(),
            URL.encode(),
            b"HTTPS://FTP.EBI.AC.UK" + DATA.encode(),
        ),
        *(b"/empiar/world_availability/99999/", b"/empiar/world%5favailability/99999/"),
        b"https://ftp.ebi.ac.uk/empiar/world_availability/99999/",
    ],
)
def test_the_parent_the_headings_and_the_directory_itself_are_no_refusals(href: bytes) -> None:
    listing = parse(table_of(b'<a href="%b">x</a><a href="b.mrc">b.mrc</a>' % href))

    assert names_in(listing) == ["b.mrc"]
    assert listing.refused_count == 0


@pytest.mark.parametrize(
    "href",
    [
        *(
            b"a b.mrc",
            b"a%20b.mrc",
            b"./a%20b.mrc",
            b"%61%20b.mrc",
            b"a&#32;b.mrc",
            b"a&#x20;b.mrc",
        ),
        *(DATA.encode() + b"a%20b.mrc", URL.encode() + b"a%20b.mrc"),
    ],
)
def test_a_child_may_be_linked_in_several_ways(href: bytes) -> None:
    listing = parse(table_of(b'<a href="%b">x</a>' % href))

    assert names_in(listing) == ["a b.mrc"]


@pytest.mark.parametrize(
    ("href", "name"),
    [
        (b"100%.mrc", "100%.mrc"),
        (b"100%zz", "100%zz"),
        (b"a&copy=b", "a&copy=b"),
        (b"a&amp;copy;b", "a&copy;b"),
        (b"a+b", "a+b"),
        (b"12:30", "12:30"),
        (b"...", "..."),
        (b"%c3%a9", "é"),
        (b"%e9", "\udce9"),
        (b"e%cc%81", "e\u0301"),
        (b"&#233;", "é"),
        (b"a%5cb", "a\\b"),
    ],
)
def test_what_a_link_means_is_never_guessed_further(href: bytes, name: str) -> None:
    listing = parse(table_of(b'<a href="%b">x</a>' % href))

    assert names_in(listing) == [name]


def test_names_never_come_from_the_text() -> None:
    listing = parse(table_of(b'<a href="movie_00001.mrc">movie_0000..&gt;</a>'))

    assert names_in(listing) == ["movie_00001.mrc"]


def test_of_two_rows_with_one_name_the_first_wins() -> None:
    rows = b'<a href="a">a</a><td>2022-02-07 10:31</td><td>1</td><a href="%61/">a/</a>'

    listing = parse(table_of(rows))

    assert listing.items == (ListingItem("a", False, "1", "2022-02-07 10:31"),)
    assert listing.refused == ("a: listed twice",)


def test_refusals_are_printable_and_only_the_first_are_kept() -> None:
    rows = b"".join(b'<a href="/\x1b[2J\xe9%d">x</a>' % number for number in range(1000))

    listing = parse(table_of(rows))

    assert listing.refused_count == 1000
    assert len(listing.refused) == SHOWN_REFUSALS
    assert all(line.isascii() and line.isprintable() for line in listing.refused)


@pytest.mark.parametrize(
    "link",
    [
        b'<A HREF="b.mrc">b</A>',
        b"<a href='b.mrc'>b</a>",
        b'<a class="file" href="b.mrc">b</a>',
        b'<a\nhref = "b.mrc" title="x">b</a>',
        b'<a href="b.mrc"><b>b</b></a>',
        b'<a href="b.mrc">b',
    ],
)
def test_links_of_other_shapes_are_read(link: bytes) -> None:
    assert names_in(parse(table_of(link + b'<a href="c">c</a>'))) == ["b.mrc", "c"]


@pytest.mark.parametrize(
    "link",
    [
        b'<a name="x">',
        b"<a href=b.mrc>b</a>",
        b'<a data-href="b.mrc">',
        b'<a href="b.mrc<a href="c">c</a>',
        b'<a href="%b">x</a>' % (b"n" * 70_000),
        b'<a %b href="b.mrc">x</a>' % (b" " * 70_000),
    ],
)
def test_a_link_that_cannot_be_read_is_counted(link: bytes) -> None:
    listing = parse(table_of(link + b'<a href="d">d</a>'))

    assert names_in(listing)[-1] == "d"
    assert listing.refused_count == 1


# --- times and sizes --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tail", "size", "modified"),
    [
        (b"", "", ""),
        (
            b'</td><td align="right">2025-02-07 19:49  </td><td align="right">543M</td>',
            "543M",
            "+",
        ),
        (b'</td><td align="right">2025-02-07 19:49  </td><td align="right">  - </td>', "", "+"),
        (b"</td>\n <td>&nbsp;2025-02-07 19:49</td>\n <td> 62M</td>", "62M", "+"),
        (b"</TD><TD>2025-02-07 19:49</TD><TD>1.0K</TD>", "1.0K", "+"),
        (b'</td><td align="right">543M</td><td>&nbsp;</td>', "543M", ""),
        (b"</td><td>2025-02-07 19:49</td><td>&nbsp;</td>", "", "+"),
        (b"          2025-02-07 19:49  543M  a description 12K\n", "543M", "+"),
        (b"    07-Feb-2025 19:49           569560224\n", "569560224", "+"),
        (b"    07-Feb-2025 19:49           -\n", "", "+"),
        (b"</td><td>yesterday</td><td>big</td>", "", ""),
        (b"    07-Xxx-2025 19:49    5", "", ""),
        (b"</td><td>2025-02-07 19:49</td><td>99.9K</td>", "", "+"),
        (b" " * 700 + b"2025-02-07 19:49  543M", "", ""),
    ],
)
def test_time_and_size_are_read_where_they_are_shown(
    tail: bytes, size: str, modified: str
) -> None:
    shown = "2025-02-07 19:49" if modified else ""

    listing = parse(table_of(b'<tr><td><a href="b.mrc">b.mrc</a>%b</tr>' % tail))

    assert listing.items == (ListingItem("b.mrc", False, size, shown),)


def test_equal_texts_are_one_object() -> None:
    first, second = parse(render(DATA, [Row("a", False, 2000), Row("b", False, 2000)])).items

    assert first.size_text is second.size_text
    assert first.modified_text is second.modified_text


def test_links_in_the_rendered_pages_are_what_apache_escapes() -> None:
    assert link_to(b"a b&c:d\xe9/") == b"./a%20b&amp;c:d%e9/"
