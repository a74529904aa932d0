"""What the tests of the listing parser share: a place in the archive, and pages around rows."""

from __future__ import annotations

from empiarfs.core.listing import Listing, ListingItem, ListingParser
from tests.support.listing_page import Form, Row, padded_size

ARCHIVE = "/empiar/world_availability/"
HOST = "https://ftp.ebi.ac.uk"
DATA = f"{ARCHIVE}99999/data/"
URL = HOST + DATA
FORMS: tuple[Form, ...] = ("table", "pre", "ul")


def parse(page: bytes, url: str = URL, *, base_url: str | None = None) -> Listing:
    """Return what the parser makes of a page that arrives at once."""
    parser = ListingParser(url, base_url=base_url)
    parser.feed(page)
    return parser.finish()


def expected(rows: list[Row], form: Form) -> list[ListingItem]:
    """Return what a listing of these rows says in this form."""
    return [
        ListingItem(
            row.name,
            row.is_directory,
            "" if form == "ul" or row.is_directory else padded_size(row.size).strip(),
            "" if form == "ul" else row.modified,
        )
        for row in sorted(rows, key=lambda row: row.raw)
    ]


def page_of(body: bytes, title: bytes = b"Index of " + DATA.encode()) -> bytes:
    """Return a page with this body."""
    return b"<html><head><title>%b</title></head><body>%b</body></html>" % (title, body)


def table_of(rows: bytes) -> bytes:
    """Return a page with a table of these rows below Apache's headings."""
    return page_of(b'<table><tr><th><a href="?C=N;O=D">Name</a></th></tr>%b</table>' % rows)


def names_in(listing: Listing) -> list[str]:
    """Return the names in the page's order."""
    return [item.name for item in listing.items]
