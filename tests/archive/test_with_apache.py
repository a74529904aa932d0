"""The client against Debian's Apache with its defaults: 100 requests, 5 s, plain and TLS."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from empiarfs.archive.client import ArchiveClient, ClientConfig
from empiarfs.core.files import FileVersion, RemoteFile
from empiarfs.core.responses import Head
from empiarfs.errors import NotFoundError
from empiarfs.patience import Patience
from empiarfs.stats import Counters
from tests.support.apache import ApacheServer
from tests.support.ranges import read
from tests.support.tree import temporary_root

pytestmark = pytest.mark.apache

MODIFIED_S = 1_600_000_020
ODD_NAMES = [
    b"a b.mrc", b"z=12.6376um.tif", b"a#b?c%25d+e&f;g", b"it's \"q\"<>\\`", b"tab\there",
    b"-lead", b"~tilde", b"x:y", "é漢.mrc".encode(), b"\xff\xfe", b"n" * 200, b"[b]{c}|^",
]  # fmt: skip
SIZES = [0, 1, 31, 32, 972, 973, 1024, 9_999, 10_240, 123_456]


@pytest.fixture(scope="module")
def tree() -> Iterator[Path]:
    with temporary_root() as root:
        _fill(root)
        yield root


def _fill(root: Path) -> None:
    odd, many = root / "10002" / "odd", root / "10002" / "many"
    odd.mkdir(parents=True)
    many.mkdir()
    for number, name in enumerate(ODD_NAMES):
        _write(os.fsencode(odd) + b"/" + name, 5_000 + number)
    for number in range(450):
        _write(os.fsencode(many / f"m{number:03}.mrc"), SIZES[number % len(SIZES)])
    with (root / "big").open("wb") as big:
        big.truncate(5 * 2**30)
        big.seek(5 * 2**30 - 4)
        big.write(b"tail")
    os.utime(root / "big", (MODIFIED_S, MODIFIED_S))


def _write(path: bytes, size: int) -> None:
    with open(path, "wb") as file:
        file.write(bytes(range(256)) * (size // 256) + bytes(range(size % 256)))
    os.utime(path, (MODIFIED_S, MODIFIED_S))


@pytest.fixture(scope="module", params=["plain", "tls"])
def apache(request: pytest.FixtureRequest, tree: Path) -> Iterator[ApacheServer]:
    tls = request.param == "tls"
    with ApacheServer(tree, tls=tls, index_ignore=False, gzip=tls) as server:
        yield server


@pytest.fixture
def client(
    apache: ApacheServer, prefix: str, counters: Counters, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ArchiveClient]:
    for name, value in apache.environment.items():
        monkeypatch.setenv(name, value)
    client = ArchiveClient(ClientConfig(apache.url, slot_prefix=prefix), counters)
    yield client
    client.close()


def test_sizes_of_a_whole_directory_are_exact(client: ArchiveClient, counters: Counters) -> None:
    rows = client.listing("10002/many", patience=Patience(20)).items
    sizes: dict[str, FileVersion] = {}
    failures = client.heads("10002/many", rows, patience=Patience(20), answered=sizes.__setitem__)

    assert failures == {}
    assert sizes == {
        f"m{number:03}.mrc": FileVersion(SIZES[number % len(SIZES)], MODIFIED_S)
        for number in range(450)
    }
    # Apache's stock limit of 100 requests a connection breaks nothing off.
    assert counters["stalls"] == counters["retries"] == counters["bad_responses"] == 0
    assert counters["head_requests"] == 450


@pytest.mark.parametrize("raw", ODD_NAMES, ids=repr)
def test_odd_names_are_found_and_read(client: ArchiveClient, raw: bytes) -> None:
    name = raw.decode("utf-8", "surrogateescape")
    size = 5_000 + ODD_NAMES.index(raw)
    head = client.head(f"10002/odd/{name}", patience=Patience(10))
    assert head == Head(FileVersion(size, MODIFIED_S), is_directory=False)
    assert head.version is not None
    file = RemoteFile(client.base_url, f"10002/odd/{name}", head.version)

    assert read(client, file, 255, 4_000) == (bytes(range(256)) * 20)[255:4_000]


def test_odd_names_are_listed_and_sized(client: ArchiveClient) -> None:
    rows = client.listing("10002/odd", patience=Patience(10)).items
    sizes: dict[str, int] = {}
    failures = client.heads(
        "10002/odd",
        rows,
        patience=Patience(10),
        answered=lambda name, version: sizes.update({name: version.size}),
    )

    assert failures == {}
    assert {name.encode("utf-8", "surrogateescape"): size for name, size in sizes.items()} == {
        raw: 5_000 + number for number, raw in enumerate(ODD_NAMES)
    }


def test_a_file_above_four_gigabytes_is_read_at_its_end(client: ArchiveClient) -> None:
    head = client.head("big", patience=Patience(10))
    assert head.version == FileVersion(5 * 2**30, MODIFIED_S)
    assert head.version is not None
    file = RemoteFile(client.base_url, "big", head.version)

    assert read(client, file, file.size - 10) == bytes(6) + b"tail"


def test_directories_empty_files_and_absent_names_are_told_apart(client: ArchiveClient) -> None:
    assert client.head("10002", patience=Patience(10)).is_directory
    assert client.head("10002/odd", patience=Patience(10)).is_directory
    empty = client.head("10002/many/m000.mrc", patience=Patience(10))
    assert empty == Head(FileVersion(0, MODIFIED_S), is_directory=False)
    with pytest.raises(NotFoundError):
        client.head("10002/absent", patience=Patience(10))
    with pytest.raises(NotFoundError):
        client.listing("10002/absent", patience=Patience(10))
