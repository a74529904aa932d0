"""Listing pages, compared with one in the form that EMPIAR's server sends."""

from __future__ import annotations

import time

from empiarfs.demo.pages import PageRow, listing_page

# What ftp.ebi.ac.uk sends for 10326/data/EM04226_01, by the rules of two recorded pages.
PAGE = """\
<!DOCTYPE HTML PUBLIC "-//W3C//DTD HTML 3.2 Final//EN">
<html>
 <head><title>Index of /empiar/world_availability/10326/data/EM04226_01</title></head>
 <body>
<h1>Index of /empiar/world_availability/10326/data/EM04226_01</h1>
  <table>
   <tr><th valign="top"><img src="/icons/blank.gif" alt="[ICO]"></th>\
<th><a href="?C=N;O=D">Name</a></th><th><a href="?C=M;O=A">Last modified</a></th>\
<th><a href="?C=S;O=A">Size</a></th><th><a href="?C=D;O=A">Description</a></th></tr>
   <tr><th colspan="5"><hr></th></tr>
<tr><td valign="top"><img src="/icons/back.gif" alt="[PARENTDIR]"></td>\
<td><a href="/empiar/world_availability/10326/data/">Parent Directory</a></td>\
<td>&nbsp;</td><td align="right">  - </td><td>&nbsp;</td></tr>
<tr><td valign="top"><img src="/icons/image2.gif" alt="[IMG]"></td>\
<td><a href="slice_00288_z=1.4263um.tif">slice_00288_z=1.4263um.tif</a></td>\
<td align="right">2022-02-07 10:31  </td><td align="right"> 62M</td><td>&nbsp;</td></tr>
<tr><td valign="top"><img src="/icons/image2.gif" alt="[IMG]"></td>\
<td><a href="slice_02534_z=12.6376um.tif">slice_02534_z=12.6376um.tif</a></td>\
<td align="right">2022-02-07 10:31  </td><td align="right"> 62M</td><td>&nbsp;</td></tr>
   <tr><th colspan="5"><hr></th></tr>
</table>
</body></html>
"""
# The page shows local time, whatever the zone of the machine that runs this.
MODIFIED_S = time.mktime((2022, 2, 7, 10, 31, 0, 0, 0, -1))


def rows_in(page: bytes) -> list[bytes]:
    return page.splitlines()[9:-3]


def test_a_page_is_what_the_server_would_send() -> None:
    rows = [
        PageRow(b"slice_02534_z=12.6376um.tif", False, 65481294, MODIFIED_S),
        PageRow(b"slice_00288_z=1.4263um.tif", False, 65481294, MODIFIED_S),
    ]

    assert listing_page(b"/empiar/world_availability/10326/data/EM04226_01/", rows) == (
        PAGE.encode()
    )


def test_sizes_fill_four_characters() -> None:
    sizes = {0: "  0 ", 650: "650 ", 1000: "1.0K", 569560224: "543M"}
    page = listing_page(
        b"/a/", [PageRow(f"{size:012d}".encode(), False, size, MODIFIED_S) for size in sizes]
    )

    for row, text in zip(rows_in(page), sizes.values(), strict=True):
        assert f'<td align="right">{text}</td><td>&nbsp;'.encode() in row


def test_a_directory_has_a_slash_and_no_size() -> None:
    (row,) = rows_in(listing_page(b"/a/", [PageRow(b"TS_016.mrc", True, 4096, MODIFIED_S)]))

    assert b'<a href="TS_016.mrc/">TS_016.mrc/</a>' in row
    assert b'alt="[DIR]"' in row
    assert b'<td align="right">  - </td>' in row


def test_names_are_escaped_for_the_link_and_for_the_page() -> None:
    names = (b'a b&"<c>.mrc', b"12:30.tif", b"a%20b", b"latin1-\xe5", b"it's")
    page = listing_page(b"/a/", [PageRow(name, False, 0, MODIFIED_S) for name in names])

    assert [row.split(b"<a ")[1].split(b"</a>")[0] for row in rows_in(page)] == [
        b'href="./12:30.tif">12:30.tif',
        b'href="a%20b&amp;%22%3cc%3e.mrc">a b&amp;&quot;&lt;c&gt;.mrc',
        b'href="a%2520b">a%20b',
        b"href=\"it's\">it's",
        b'href="latin1-%e5">latin1-\xe5',
    ]
