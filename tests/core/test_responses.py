"""What counts as an answer to what was asked."""

from __future__ import annotations

from email.utils import formatdate

import pytest
from requests.structures import CaseInsensitiveDict

from empiarfs.core.files import FileVersion, RemoteFile
from empiarfs.core.ranges import ByteRange
from empiarfs.core.responses import (
    Head,
    check_listing_answer,
    check_range_answer,
    content_range,
    head_from,
    head_from_first_byte,
    http_date_s,
    range_header,
    retry_after_s,
    version_from,
)
from empiarfs.errors import (
    ArchiveError,
    BadResponseError,
    BusyError,
    FileChangedError,
    ForbiddenError,
    NotFoundError,
    UnavailableError,
)

DATE = "Thu, 02 Jan 2020 03:04:05 GMT"
DATE_S = 1577934245
URL = "https://archive.example/root/10002/a.mrc"
FILE = RemoteFile("https://archive.example/root/", "10002/a.mrc", FileVersion(100, DATE_S))
WANTED = ByteRange(10, 20)
GOOD = {"Content-Range": "bytes 10-19/100", "Content-Length": "10", "Last-Modified": DATE}


def headers(**changes: str | None) -> CaseInsensitiveDict[str]:
    merged: CaseInsensitiveDict[str] = CaseInsensitiveDict(GOOD)
    for name, value in changes.items():
        if value is None:
            del merged[name.replace("_", "-")]
        else:
            merged[name.replace("_", "-")] = value
    return merged


def judge(status: int, fields: CaseInsensitiveDict[str], file: RemoteFile = FILE) -> None:
    check_range_answer(status, fields, file, WANTED, url=URL, now_s=0)


def test_the_right_range_of_the_right_version_is_accepted() -> None:
    judge(206, headers())
    judge(206, headers(content_encoding="identity"))
    judge(206, headers(content_length=None, transfer_encoding="chunked"))
    judge(206, headers(content_length=None))


@pytest.mark.parametrize(
    "fields",
    [
        headers(content_range=None),
        headers(content_range="bytes 10-19/*"),
        headers(content_range="bytes 11-20/100"),
        headers(content_range="bytes 10-18/100"),
        headers(content_range="bytes 19-10/100"),
        headers(content_range="bytes 10-19/100, bytes 30-39/100"),
        headers(content_range="bytes 10-19/100 "),
        headers(content_range="bytes ١٠-١٩/100"),
        headers(content_length="11"),
        headers(content_length="10, 10"),
        headers(content_length="-10"),
        headers(content_length="ten"),
        headers(transfer_encoding="chunked"),
        headers(content_length=None, transfer_encoding="gzip, chunked"),
        headers(content_encoding="gzip"),
        headers(last_modified=None),
        headers(last_modified="yesterday"),
    ],
    ids=repr,
)
def test_any_doubt_about_the_body_is_a_bad_response(fields: CaseInsensitiveDict[str]) -> None:
    with pytest.raises(BadResponseError):
        judge(206, fields)


@pytest.mark.parametrize(
    "fields",
    [
        headers(content_range="bytes 10-19/101"),
        headers(last_modified="Thu, 02 Jan 2020 03:04:06 GMT"),
    ],
    ids=["size", "time"],
)
def test_another_size_or_time_is_another_version(fields: CaseInsensitiveDict[str]) -> None:
    with pytest.raises(FileChangedError):
        judge(206, fields)


def test_an_etag_counts_only_where_no_time_is_known() -> None:
    judge(206, headers(etag='"other"'))
    file = RemoteFile(FILE.archive, FILE.path, FileVersion(100, None, "abc"))
    judge(206, headers(last_modified=None, etag='W/"abc"'), file)
    with pytest.raises(FileChangedError):
        judge(206, headers(last_modified=None, etag='"abd"'), file)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (200, BadResponseError),
        (301, BadResponseError),
        (400, BadResponseError),
        (401, ForbiddenError),
        (403, ForbiddenError),
        (404, NotFoundError),
        (408, UnavailableError),
        (410, NotFoundError),
        (416, FileChangedError),
        (429, BusyError),
        (500, UnavailableError),
        (503, BusyError),
        (599, UnavailableError),
        (999, BadResponseError),
    ],
)
def test_every_other_status_is_an_error_of_its_kind(
    status: int, expected: type[ArchiveError]
) -> None:
    with pytest.raises(ArchiveError) as caught:
        judge(status, headers(content_range=None))

    assert type(caught.value) is expected
    assert caught.value.url == URL


def test_a_range_beyond_a_shorter_file_is_another_version() -> None:
    with pytest.raises(FileChangedError):
        judge(416, headers(content_range="bytes */5"))


def test_an_answer_of_no_bytes_is_an_emptied_file_if_it_is_newer() -> None:
    newer = "Thu, 02 Jan 2020 03:04:06 GMT"
    with pytest.raises(FileChangedError, match="no bytes instead of 100"):
        judge(200, headers(content_range=None, content_length="0", last_modified=newer))
    for fields in (
        headers(content_range=None, content_length="0", last_modified=None),
        headers(content_range=None, content_length="0"),
        headers(
            content_range=None, content_length="0", last_modified=newer, content_type="text/html"
        ),
        headers(content_range=None, content_length="9", last_modified=newer),
    ):
        with pytest.raises(BadResponseError):
            judge(200, fields)


def test_a_refusal_carries_the_wait_that_is_asked_for() -> None:
    with pytest.raises(BusyError) as caught:
        judge(503, headers(retry_after="17"))

    assert caught.value.retry_after_s == 17


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5", 5.0),
        (DATE, 10.0),
        ("Thu, 02 Jan 2020 03:00:00 GMT", 0.0),
        ("", None),
        ("-5", None),
        ("1.5", None),
        ("later", None),
        ("9" * 400, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(text: str, expected: float | None) -> None:
    assert retry_after_s({"Retry-After": text}, now_s=DATE_S - 10) == expected


@pytest.mark.parametrize("now_s", [0, DATE_S - 10, DATE_S, 2 * DATE_S])
def test_a_wait_until_a_date_is_counted_by_the_archives_clock(now_s: int) -> None:
    asked = {
        "Retry-After": formatdate(DATE_S, usegmt=True),
        "Date": formatdate(DATE_S - 10, usegmt=True),
    }

    assert retry_after_s(asked, now_s) == 10


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (DATE, DATE_S),
        ("Thursday, 02-Jan-20 03:04:05 GMT", DATE_S),
        ("Thu, 02 Jan 2020 04:04:05 +0100", DATE_S),
        ("Thu, 99 Foo 2020 03:04:05 GMT", None),
        ("Thu, 02 Jan 99999999999999999999 03:04:05 GMT", None),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 253_402_300_799),
        ("Fri, 31 Dec 9999 23:59:59 -0001", None),
        ("Wed, 01 Jan 1000 00:00:00 GMT", -30_610_224_000),
        ("Wed, 01 Jan 1000 00:00:00 +0001", None),
        ("Thu, 0 Jan 100 03:04:05 GMT", None),
        ("Thu, 02 Jan 2020 03:04:05 +9999999999999", None),
        ("Thu, 02 Jan 2020 03:04:05 -99999999999999999999", None),
        ("", None),
        (None, None),
    ],
)
def test_dates_are_read_or_refused(text: str | None, expected: int | None) -> None:
    assert http_date_s(text) == expected


def test_an_impossible_content_range_is_none() -> None:
    assert content_range({"Content-Range": "bytes 5-10/10"}) is None
    assert content_range({}) is None
    assert content_range({"Content-Range": f"bytes 0-0/{2**63 - 1}"}) is not None
    assert content_range({"Content-Range": f"bytes 0-0/{2**63}"}) is None
    assert range_header(ByteRange(0, 1)) == "bytes=0-0"
    with pytest.raises(ValueError, match="empty"):
        range_header(ByteRange(5, 5))


def test_a_version_takes_the_etag_only_without_a_time() -> None:
    assert version_from({"Last-Modified": DATE, "ETag": '"x"'}, 7) == FileVersion(7, DATE_S)
    assert version_from({"ETag": 'W/"x"'}, 7) == FileVersion(7, None, "x")
    assert version_from({}, 7) == FileVersion(7, None)


def head(status: int, fields: dict[str, str]) -> Head | None:
    return head_from(status, CaseInsensitiveDict(fields), url=URL, now_s=0)


def test_a_head_tells_size_and_time_of_a_file() -> None:
    expected = Head(FileVersion(100, DATE_S), is_directory=False)

    assert head(200, {"Content-Length": "100", "Last-Modified": DATE}) == expected
    assert head(206, GOOD) == expected


def test_a_head_without_any_length_leaves_the_size_open() -> None:
    assert head(200, {"Last-Modified": DATE}) is None


@pytest.mark.parametrize(
    "fields",
    [
        {"Content-Length": "x"},
        {"Content-Length": str(2**63)},  # would be a negative size to a program
        {"Transfer-Encoding": "chunked"},
        {"Content-Length": "5", "Transfer-Encoding": "chunked"},
        {"Content-Length": "5", "Content-Encoding": "gzip"},
    ],
)
def test_a_head_whose_size_is_in_doubt_is_bad(fields: dict[str, str]) -> None:
    with pytest.raises(BadResponseError):
        head(200, fields)


@pytest.mark.parametrize(
    "location",
    [
        URL + "/",
        "/root/10002/a.mrc/",
        "a.mrc/",
        "http://archive.example/root/10002/a.mrc/",
        "/root/10002/%61.mrc/",
    ],
)
def test_a_redirect_to_the_same_path_with_a_slash_is_a_directory(location: str) -> None:
    assert head(301, {"Location": location}) == Head(None, is_directory=True)


@pytest.mark.parametrize(
    "location",
    ["", "/root/10002/", URL, "https://elsewhere.example/root/10002/a.mrc/", "ftp://x/", "//["],
)
def test_any_other_redirect_of_a_head_is_bad(location: str) -> None:
    with pytest.raises(BadResponseError):
        head(302, {"Location": location})


def test_the_first_byte_tells_the_size_of_an_empty_file() -> None:
    def first_byte(status: int, fields: dict[str, str]) -> Head:
        return head_from_first_byte(status, CaseInsensitiveDict(fields), url=URL, now_s=0)

    empty = {"Content-Length": "0", "Last-Modified": DATE}
    assert first_byte(200, empty) == Head(FileVersion(0, DATE_S), is_directory=False)
    full = {"Content-Range": "bytes 0-0/9", "Last-Modified": DATE}
    assert first_byte(206, full) == Head(FileVersion(9, DATE_S), is_directory=False)
    with pytest.raises(BadResponseError):
        first_byte(200, {"Content-Length": "5"})
    with pytest.raises(NotFoundError):
        first_byte(404, {})


HTML = {"Content-Type": "text/html;charset=UTF-8"}
LISTING_URL = "https://archive.example/root/10002/"


def listing(status: int, fields: dict[str, str]) -> str | None:
    return check_listing_answer(status, CaseInsensitiveDict(fields), url=LISTING_URL, now_s=0)


def test_a_listing_is_html_plain_or_gzipped() -> None:
    assert listing(200, HTML) is None
    assert listing(200, {**HTML, "Content-Encoding": "gzip"}) is None
    for fields in (
        {},
        {"Content-Type": "application/json"},
        {**HTML, "Content-Encoding": "br"},
    ):
        with pytest.raises(BadResponseError):
            listing(200, fields)


def test_a_listing_may_only_move_to_another_spelling_of_its_directory() -> None:
    assert listing(301, {"Location": "/root/%31%30002/"}) == LISTING_URL.replace(
        "1000", "%31%3000"
    )
    assert listing(302, {"Location": "../10002/?C=N#a"}) == LISTING_URL
    for location in (
        "",
        "/root/10002",
        "/root/10003/",
        "/root/10002/10002/",
        "/",
        "../",
        "http://archive.example/root/10002/",
        "https://archive.example:444/root/10002/",
        "https://elsewhere.example/root/10002/",
        "//[/",
    ):
        with pytest.raises(BadResponseError):
            listing(301, {"Location": location})
