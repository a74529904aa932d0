"""A page that says that it is the file: no size is learnt from it."""

from __future__ import annotations

import pytest

from empiarfs.archive.client import ArchiveClient
from empiarfs.core.files import FileVersion
from empiarfs.core.listing import ListingItem
from empiarfs.errors import BadResponseError, NotFoundError
from empiarfs.patience import Patience
from tests.support.broken_server import BrokenServer, Fault

PATH = "10002/data/a.mrc"
DATA = bytes(100_000)


def size_of(client: ArchiveClient, path: str) -> int:
    head = client.head(path, patience=Patience(20))
    assert head.version is not None
    return head.version.size


def test_a_web_page_instead_of_headers_is_asked_about_again(
    server: BrokenServer, client: ArchiveClient
) -> None:
    server.put(PATH, DATA)
    server.fault(PATH, Fault.html_page())

    assert size_of(client, PATH) == len(DATA)


def test_a_listed_file_asked_for_alone_is_not_believed_to_be_a_web_page(
    server: BrokenServer, client: ArchiveClient
) -> None:
    server.put(PATH, DATA)
    server.fault(PATH, Fault.html_page())
    found: dict[str, FileVersion] = {}
    row = ListingItem("a.mrc", False, " 98K", "2020-09-13 12:27")

    client.heads("10002/data", [row], patience=Patience(20), answered=found.__setitem__)

    assert found["a.mrc"].size == len(DATA)


def test_a_web_page_for_everything_is_no_file(server: BrokenServer, client: ArchiveClient) -> None:
    server.fault(lambda request: True, Fault.html_page(), times=100)

    with pytest.raises(BadResponseError):
        client.head("10002/data/no such.mrc", patience=Patience(20))


def test_a_name_that_was_a_web_page_for_once_is_absent(
    server: BrokenServer, client: ArchiveClient
) -> None:
    server.fault(lambda request: True, Fault.html_page(), times=1)

    with pytest.raises(NotFoundError):
        client.head("10002/data/no such.mrc", patience=Patience(20))


def test_a_server_that_tells_no_version_is_asked_for_a_byte(
    server: BrokenServer, client: ArchiveClient
) -> None:
    server.put(PATH, DATA)
    bare = Fault.with_headers(("Last-Modified", ""), ("ETag", ""))
    server.fault(lambda request: True, bare, times=100)

    assert size_of(client, PATH) == len(DATA)
    assert [request.method for request in server.requests] == ["HEAD", "GET"]
