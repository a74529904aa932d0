"""Asking for entries: one, many, and which there are, of a server that misbehaves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from empiarfs.archive.client import ArchiveClient, ClientConfig
from empiarfs.archive.entries import EntryClient
from empiarfs.errors import (
    ArchiveError,
    BadResponseError,
    ForbiddenError,
    GaveUpError,
    NotFoundError,
    UnreachableError,
)
from empiarfs.patience import Patience
from empiarfs.stats import Counters
from tests.support.broken_server import BrokenServer
from tests.support.entry_api import SAMPLES, EntryApi, Failure, sample_entries

Ask = Callable[[int], object]


@pytest.fixture
def api() -> Iterator[EntryApi]:
    with EntryApi(sample_entries()) as api:
        yield api


@pytest.fixture
def asker(
    api: EntryApi, client: ArchiveClient, prefix: str, counters: Counters, tmp_path: Path
) -> Iterator[EntryClient]:
    config = ClientConfig(base_url=api.url, slot_prefix=prefix, rate_file=tmp_path / "rate")
    asker = EntryClient(client, config, counters)
    yield asker
    asker.close()


def patience(seconds: float = 20.0) -> Patience:
    return Patience(seconds)


def test_one_entry_is_asked_for_once(asker: EntryClient, api: EntryApi) -> None:
    fetched = asker.entry(10934, patience=patience())

    assert fetched.entry.title.startswith("Cryo-EM multiframe")
    assert fetched.source == "api"
    assert api.asked == ["GET 10934"]


@pytest.mark.parametrize("packs", [False, True])
def test_many_are_asked_for_together(asker: EntryClient, api: EntryApi, packs: bool) -> None:
    api.packs = packs
    by_range = asker.entries(range(10900, 11000), patience=patience())
    by_list = asker.entries([12104, 10934, 10935], patience=patience())

    assert [each.entry.number for each in by_range] == [10934, 10988]
    assert [each.entry.number for each in by_list] == [10934, 12104]
    assert api.asked == ["POST 10900-10999", "POST 10934,10935,12104"]


def test_none_are_asked_for_without_a_request(asker: EntryClient, api: EntryApi) -> None:
    assert asker.entries([], patience=patience()) == []
    assert api.asked == []


@pytest.mark.slow
@pytest.mark.parametrize("failure", ["busy", "broken", "broken_json", "cut", "login", "other"])
def test_what_fails_once_is_asked_for_again(
    asker: EntryClient, api: EntryApi, failure: Failure
) -> None:
    api.fail_next(failure)
    assert asker.entry(11419, patience=patience()).source == "api"
    api.fail_next(failure if failure != "other" else "broken")
    assert len(asker.entries([11419, 12104], patience=patience())) == 2

    assert len(api.asked) == 4


@pytest.mark.slow
@pytest.mark.parametrize("failure", ["broken_json", "login", "refused", "other"])
def test_an_api_that_goes_on_failing_is_replaced_by_the_xml(
    asker: EntryClient, api: EntryApi, server: BrokenServer, failure: Failure
) -> None:
    server.put("10934/10934.xml", (SAMPLES / "10934.xml").read_bytes())
    api.entries[1] = {"title": "another"}
    api.fail_next(failure, 3)

    fetched = asker.entry(10934, patience=patience())

    assert fetched.source == "xml"
    assert fetched.entry.references.emdb == ("EMD-12602",)


@pytest.mark.parametrize("is_empty", [False, True])
def test_an_entry_that_neither_knows_is_not_found(
    asker: EntryClient, api: EntryApi, server: BrokenServer, is_empty: bool
) -> None:
    api.unknown_is_empty = is_empty

    with pytest.raises(NotFoundError):
        asker.entry(10002, patience=patience())
    assert len(server.requests) == 1


@pytest.mark.slow
def test_an_xml_file_of_another_entry_is_no_answer(
    asker: EntryClient, api: EntryApi, server: BrokenServer
) -> None:
    server.put("10002/10002.xml", (SAMPLES / "10934.xml").read_bytes())

    with pytest.raises(BadResponseError, match="EMPIAR-10934"):
        asker.entry(10002, patience=patience())


def test_what_the_api_refuses_is_told_if_there_is_no_xml(
    asker: EntryClient, api: EntryApi
) -> None:
    api.fail_next("refused")

    with pytest.raises(ForbiddenError):
        asker.entry(10934, patience=patience())


@pytest.mark.slow
def test_a_silent_api_takes_no_longer_than_the_patience(asker: EntryClient, api: EntryApi) -> None:
    api.fail_next("silent", 50)

    with pytest.raises(GaveUpError):
        asker.entries([10934], patience=patience(0.5))
    assert api.peak <= 2


@pytest.mark.slow
def test_an_answer_that_is_late_is_asked_for_a_second_time(
    asker: EntryClient, api: EntryApi
) -> None:
    api.fail_next("silent")

    assert asker.entry(10934, patience=patience()).entry.number == 10934
    assert api.asked == ["GET 10934", "GET 10934"]
    assert api.peak == 2


@pytest.mark.slow
def test_an_api_that_is_not_there_is_said_to_be_unreachable(
    client: ArchiveClient, prefix: str, counters: Counters, tmp_path: Path, server: BrokenServer
) -> None:
    config = ClientConfig(
        base_url="http://127.0.0.1:9/", slot_prefix=prefix, rate_file=tmp_path / "rate"
    )
    asker = EntryClient(client, config, counters)
    server.put("10934/10934.xml", (SAMPLES / "10934.xml").read_bytes())
    try:
        assert asker.entry(10934, patience=patience()).source == "xml"
        with pytest.raises(ArchiveError) as caught:
            asker.entries([10934], patience=patience())
        assert isinstance(caught.value, UnreachableError) or "reached" in str(caught.value)
    finally:
        asker.close()


@pytest.mark.slow
def test_an_answer_without_end_is_refused(
    asker: EntryClient, api: EntryApi, client: ArchiveClient, server: BrokenServer
) -> None:
    server.put("10934/10934.xml", b" " * 2000)

    with pytest.raises(BadResponseError, match="more than 1000 bytes"):
        client.document("10934/10934.xml", bytes, limit=1000, patience=patience())


def test_the_numbers_are_the_directories_of_the_root(
    asker: EntryClient, server: BrokenServer
) -> None:
    for path in ("10002/a", "10934/a", "11419/data/b", "README/c", "100/d", "10003"):
        server.put(path, b"")

    assert asker.numbers(patience=patience()) == [10002, 10934, 11419]
