"""The listing parser on whole pages: recorded ones, rendered ones, and what isn't one."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from empiarfs.core.listing import Listing, ListingItem, ListingParser
from empiarfs.errors import BadResponseError
from tests.support.listing_cases import (
    ARCHIVE,
    DATA,
    FORMS,
    HOST,
    URL,
    expected,
    names_in,
    page_of,
    parse,
)
from tests.support.listing_page import Form, Row, movies, render

PAGES = Path(__file__).parent.parent / "data" / "listings"

# The tree of which the apache_odd_names pages were written.
ODD_SIZES = [
    *(0, 1, 972, 973, 1000, 1024, 9 * 1024 + 972, 9 * 1024 + 973, 10240),
    *(1 << 20, 569_560_224, 1 << 30, 1 << 33, 1 << 40, 1 << 43),
]
ODD_FILES = [
    *("a b.mrc", "a#b.mrc", "a?b.mrc", "a%20b.mrc", "a+b.mrc", "a&b.mrc", "a&amp;b.mrc"),
    *("a<b>.mrc", 'a"b.mrc', "a'b.mrc", "12:30.tif", "wïth_ñ.tif", "latin1_\udce9.tif"),
    *("x" * 200 + ".mrcs", "a;b=c.mrc", "(paren) [brack].tif", "line\nbreak.txt"),
    *("tab\there.gz", "-rf", "~home", "back\\slash.star", " lead", "trail ", "<table>.mrc"),
    *("<a href=.mrc", "c:\\x", "del\x7f\x01.bin", None, "javascript:alert(1)", "\U0001f600.eer"),
]
ODD_DIRECTORIES = ["dir with space", "TS_016.mrc", "colon:dir", "empty"]


def odd_rows() -> list[Row]:
    rows = [Row(name, True, modified="2022-02-07 10:33") for name in ODD_DIRECTORIES]
    for index, name in enumerate(ODD_FILES):
        moment = time.gmtime(1_644_230_000 + index * 7000)
        if name is not None:  # Apache hides "..."
            modified = time.strftime("%Y-%m-%d %H:%M", moment)
            rows.append(Row(name, False, ODD_SIZES[index % len(ODD_SIZES)], modified))
    return rows


def recorded(name: str) -> bytes:
    return (PAGES / f"{name}.html").read_bytes()


# --- recorded pages ---------------------------------------------------------------------------


def test_a_recorded_page_of_the_archives_server_is_read() -> None:
    url = f"{HOST}/pub/databases/gwas/summary_statistics/X/GCST90000001/"

    listing = parse(recorded("ftp_ebi_autoindex_gwas_top"), url)

    assert listing == Listing(
        (
            ListingItem("GCST90000001_buildGRCh37.tsv", False, "1.2G", "2025-02-07 19:49"),
            ListingItem(
                "GCST90000001_buildGRCh37.tsv-meta.yaml", False, "650", "2025-02-07 19:49"
            ),
            ListingItem("Supplementary_manuscript.pdf", False, "3.4G", "2025-02-07 19:49"),
            ListingItem("harmonised", True, "", "2025-02-07 19:49"),
            ListingItem("md5sum.txt", False, "134", "2025-02-07 19:49"),
        )
    )


@pytest.mark.parametrize(
    ("page", "path", "names"),
    [
        (
            "world_availability_root",
            "",
            ["10002", "10003", "10017", "10028", "10934", "11419", "11561", "13192"],
        ),
        ("10934_root", "10934/", ["10934.xml", "data"]),
        ("10934_data", "10934/data/", ["CL44-1_20201106_111915"]),
        ("11561_alignment", "11561/data/211206/alignment/", ["TS_016.mrc", "mdoc_edited"]),
        (
            "10326_slices",
            "10326/data/EM04226_01/",
            [f"slice_{place}um.tif" for place in ("00288_z=1.4263", "02534_z=12.6376")]
            + ["slice_02847_z=14.2121um.tif"],
        ),
        ("empty_dir", "99999/data/empty/", []),
        (
            "11419_raw_sem",
            "11419/data/HeLa/Raw%20SEM%20images/",
            [f"SEM Image - SliceImage - {number:03d}.tif" for number in range(1, 47)]
            + ["param.pdf"],
        ),
    ],
)
def test_pages_of_real_entries_are_read(page: str, path: str, names: list[str]) -> None:
    base = HOST + ARCHIVE

    listing = parse(recorded(page), base + path, base_url=base)

    assert names_in(listing) == names
    assert listing.refused_count == 0


def test_odd_names_are_undone_in_the_right_order() -> None:
    names = set(names_in(parse(recorded("odd_names"))))

    assert names == {
        *("a b.mrc", "a#b.mrc", "a?b.mrc", "a%20b.mrc", "a+b.mrc", "a&b.mrc", "a<b>.mrc"),
        *('a"b.mrc', "a'b.mrc", "12:30.tif", "wïth_ñõn.tif", "latin1_\udce9.tif"),
        *("x" * 200 + ".mrcs", "a;b=c.mrc", "dir with space", "(paren) [brack].tif"),
    }


@pytest.mark.parametrize("form", FORMS)
def test_pages_that_debians_apache_wrote_are_read(form: Form) -> None:
    listing = parse(recorded(f"apache_odd_names_{form}"), "http://localhost/99999/data/")

    assert list(listing.items) == expected(odd_rows(), form)
    assert listing.refused_count == 0


@pytest.mark.parametrize("form", FORMS)
def test_an_empty_directory_is_empty(form: Form) -> None:
    listing = parse(recorded(f"apache_empty_{form}"), "http://localhost/99999/data/empty/")

    assert listing == Listing(())


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("page", "directory"), [("readme", "withreadme"), ("text_header", "withtext")]
)
def test_lists_and_links_of_a_header_or_readme_are_not_the_directorys(
    form: Form, page: str, directory: str
) -> None:
    listing = parse(recorded(f"apache_{page}_{form}"), f"http://localhost/{directory}/")

    assert names_in(listing) == ["real.mrc", "sub"]
    assert listing.refused_count == 0


# --- the renderer writes what Apache writes ---------------------------------------------------


def test_renderer_writes_the_recorded_pages() -> None:
    path = "/pub/databases/gwas/summary_statistics/X/GCST90000001/"
    day, old = "2025-02-07 19:49", "2021-12-06 14:14"
    text, unknown = ("text", "TXT"), ("unknown", "   ")
    study = "12345678-GCST90000001-EFO_0000001"

    top = render(
        path,
        [
            Row("GCST90000001_buildGRCh37.tsv", False, 1_288_490_189, day, text),
            Row("GCST90000001_buildGRCh37.tsv-meta.yaml", False, 650, day, unknown),
            Row("Supplementary_manuscript.pdf", False, 3_650_722_202, day, unknown),
            Row("harmonised", True, modified=day),
            Row("md5sum.txt", False, 134, day),
        ],
    )
    harmonised = render(
        f"{path}harmonised/",
        [
            Row(f"{study}-Build37.f.tsv.gz", False, 218 << 20, old),
            Row(f"{study}-Build37.f.tsv.gz-meta.yaml", False, 784, day, text),
            Row(f"{study}.h.tsv.gz", False, 378 << 20, old),
            Row(f"{study}.h.tsv.gz-meta.yaml", False, 776, day, text),
            Row("md5sum.txt", False, 384, day),
        ],
    )

    assert top.rstrip() == recorded("ftp_ebi_autoindex_gwas_top").rstrip()
    assert harmonised.rstrip() == recorded("ftp_ebi_autoindex_gwas_harmonised").rstrip()


@pytest.mark.parametrize("form", FORMS)
def test_renderer_writes_what_debians_apache_writes(form: Form) -> None:
    odd = render("/99999/data/", odd_rows(), form, preamble="new")
    empty = render("/99999/data/empty/", [], form, preamble="new")

    assert odd == recorded(f"apache_odd_names_{form}")
    assert empty == recorded(f"apache_empty_{form}")


# --- any names, any slices --------------------------------------------------------------------

NAMES = st.one_of(
    st.binary(min_size=1, max_size=255),
    st.text("ab.%2e&;#:?+<>\"' \\\n~é", min_size=1, max_size=40).map(str.encode),
    st.sampled_from([b"a%2fb", b"&lt;", b"..a", b"http:", b"&#47;", b"?C=N;O=D", b"\xff" * 255]),
).filter(lambda raw: raw not in (b".", b"..") and not {0, 47} & set(raw))
ROWS = st.lists(
    st.builds(
        Row,
        NAMES.map(lambda raw: raw.decode("utf-8", "surrogateescape")),
        st.booleans(),
        st.integers(0, 2**62),
        st.sampled_from(["2022-02-07 10:31", "1999-12-31 23:59"]),
    ),
    max_size=12,
    unique_by=lambda row: row.name,
)


@given(ROWS, st.sampled_from(FORMS), st.sampled_from(["old", "new"]), NAMES)
def test_any_names_come_back_as_they_were(
    rows: list[Row], form: Form, preamble: str, directory: bytes
) -> None:
    path = f"{ARCHIVE}{directory.decode('utf-8', 'surrogateescape')}/"
    url = HOST + ARCHIVE + "".join(f"%{byte:02X}" for byte in directory) + "/"
    page = render(path, rows, form, preamble="old" if preamble == "old" else "new")

    listing = parse(page, url, base_url=HOST + ARCHIVE)

    assert list(listing.items) == expected(rows, form)
    assert listing.refused_count == 0


@given(
    ROWS,
    st.sampled_from(FORMS),
    st.integers(0, 40_000),
    st.lists(st.integers(1, 20_000), min_size=1, max_size=20),
)
def test_slices_and_places_of_rows_do_not_matter(
    rows: list[Row], form: Form, padding: int, sizes: list[int]
) -> None:
    page = render(DATA, rows, form)
    padded = page.replace(b"<body>", b"<body>" + b" " * padding, 1)
    parser = ListingParser(URL)

    start = turn = 0
    while start < len(padded):
        stop = start + sizes[turn % len(sizes)]
        parser.feed(padded[start:stop])
        start, turn = stop, turn + 1

    assert parser.finish() == parse(page)


def test_one_byte_at_a_time_is_the_same() -> None:
    page = render(DATA, odd_rows())
    parser = ListingParser(URL)

    for place in range(len(page)):
        parser.feed(page[place : place + 1])

    assert parser.finish() == parse(page)


@given(st.lists(st.sampled_from(list('<a/ href="x>?C=N;O=D\'&.tdlrupbe\n')) | st.sampled_from(
    ["<a ", '<a href="', '">', "</a>", "<td>", "<table>", "</table>", "<pre>", "</ul>", "<ul>",
     "<title>Index of /empiar/world_availability/99999/data</title>", '<a href="?C=N;O=D">',
     "x" * 3000, " " * 9000, "</html>", '<a href="b">b</a>', "%2f", "../", "&#x2f;"]
), max_size=60))  # fmt: skip
@example(["<a"])
def test_garbage_is_refused_or_read_but_never_breaks_the_parser(parts: list[str]) -> None:
    page = "".join(parts).encode()
    outcomes: list[Listing | None] = []

    for size in (len(page) or 1, 7):
        parser = ListingParser(URL)
        for start in range(0, len(page), size):
            parser.feed(page[start : start + size])
        try:
            outcomes.append(parser.finish())
        except BadResponseError:
            outcomes.append(None)

    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize("form", FORMS)
def test_rows_on_every_edge_of_the_windows_are_read(form: Form) -> None:
    rows = movies(5000)

    listing = parse(render(DATA, rows, form))

    assert list(listing.items) == expected(rows, form)


# --- pages that are no listing of this directory ----------------------------------------------


def test_every_cut_through_a_page_is_noticed() -> None:
    page = render(DATA, odd_rows()[:5])
    end = page.index(b"</table>") + len(b"</table>")

    for stop in range(end):
        with pytest.raises(BadResponseError):
            parse(page[:stop])


@pytest.mark.parametrize("form", FORMS)
def test_a_page_cut_short_is_no_listing(form: Form) -> None:
    page = render(DATA, movies(1000), form)

    with pytest.raises(BadResponseError, match="cut short"):
        parse(page[: len(page) // 2])


def test_a_page_cut_before_the_list_is_not_taken_for_its_header() -> None:
    header = b'<ul><li><a href="manual.html">How to</a></li></ul>'
    page = render(DATA, movies(10), above=header)

    with pytest.raises(BadResponseError, match="cut short"):
        parse(page[: page.index(b"<table>")])


@pytest.mark.parametrize(
    "page",
    [
        b"",
        b"down for maintenance",
        b"<html><head><title>503</title></head><body><ul></ul></body></html>",
        b'<html><title>My data</title><ul><li><a href="a.mrc">a</a></ul></html>',
        b'{"error": "no"}',
        b"\x1f\x8b\x08" + b"\0" * 100,
        page_of(b"<p>nothing</p>"),
    ],
)
def test_any_other_page_is_no_listing(page: bytes) -> None:
    with pytest.raises(BadResponseError) as caught:
        parse(page)

    assert caught.value.url == URL


@pytest.mark.parametrize(
    "path", [f"{ARCHIVE}99999/other/", "/", ARCHIVE, f"{ARCHIVE}99999/data2/"]
)
def test_the_listing_of_another_directory_is_refused(path: str) -> None:
    with pytest.raises(BadResponseError, match="another directory"):
        parse(render(path, movies(3)))


def test_with_the_archives_url_all_of_the_path_must_agree() -> None:
    page = render(f"{ARCHIVE}10934/data/", movies(3))

    assert len(parse(page).items) == 3
    with pytest.raises(BadResponseError, match="another directory"):
        parse(page, base_url=HOST + ARCHIVE)


@pytest.mark.parametrize("path", ["", "99999/", "99999/data/"])
def test_an_archive_that_a_proxy_serves_elsewhere_is_read(path: str) -> None:
    base = "http://localhost:8080/mirror/"
    page = render(ARCHIVE + path, movies(3))

    listing = parse(page, base + path, base_url=base)

    assert len(listing.items) == 3
    assert listing.refused_count == 0


def test_the_listing_of_an_entry_is_not_believed_of_the_archives_root() -> None:
    page = render(f"{ARCHIVE}10934/", movies(3))

    with pytest.raises(BadResponseError, match="another directory"):
        parse(page, HOST + ARCHIVE, base_url=HOST + ARCHIVE)


def test_the_listing_of_a_servers_root_is_read() -> None:
    for form in FORMS:
        assert len(parse(render("/", movies(3), form), "http://localhost/").items) == 3
        assert parse(render("/", [], form), "http://localhost/").items == ()


def test_nginx_and_python_write_listings_that_are_read() -> None:
    nginx = (
        b"<html>\r\n<head><title>Index of /99999/data/</title></head>\r\n<body>\r\n"
        b'<h1>Index of /99999/data/</h1><hr><pre><a href="../">../</a>\r\n'
        b'<a href="a%20b/">a b/</a>      07-Feb-2025 19:49       -\r\n'
        b'<a href="c.mrc">c.mrc</a>      07-Feb-2025 19:49       569560224\r\n'
        b"</pre><hr></body>\r\n</html>\r\n"
    )
    python = (
        b"<!DOCTYPE HTML>\n<html><head><title>Directory listing for /99999/data/</title></head>\n"
        b'<body><h1>Directory listing for /99999/data/</h1><hr><ul>\n<li><a href="a%20b/">a b/</a>'
        b'</li>\n<li><a href="c.mrc">c.mrc</a></li>\n</ul><hr>\n</body>\n</html>\n'
    )

    assert parse(nginx).items == (
        ListingItem("a b", True, "", "2025-02-07 19:49"),
        ListingItem("c.mrc", False, "569560224", "2025-02-07 19:49"),
    )
    assert names_in(parse(python)) == ["a b", "c.mrc"]
    assert parse(nginx).refused_count == parse(python).refused_count == 0


# --- headers and readmes ----------------------------------------------------------------------

NOISE = [
    b'<ul><li><a href="../">up</a></li><li><a href="fake.mrc">fake</a></li></ul>',
    b'<ul><li><a href="fake.mrc">never closed',
    b'<table><tr><td><a href="https://example.org/">x</a></td></tr></table>',
    b"<pre>words</pre><ul></ul>",
    b"</table></pre></ul></html>",
    b'<a href="fake.mrc">outside of any list</a>',
]


@pytest.mark.parametrize("noise", NOISE)
@pytest.mark.parametrize("form", FORMS)
def test_what_stands_around_the_list_is_not_in_it(form: Form, noise: bytes) -> None:
    page = render(DATA, movies(20), form, above=noise, below=noise)

    listing = parse(page)

    assert list(listing.items) == expected(movies(20), form)
    assert listing.refused_count == 0


def test_a_readme_that_is_a_saved_listing_is_an_error_and_no_guess() -> None:
    inner = render(DATA, movies(3))

    with pytest.raises(BadResponseError, match="which of several"):
        parse(render(DATA, movies(4), below=inner[inner.index(b"<table>") :]))
