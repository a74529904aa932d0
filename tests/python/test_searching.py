"""`empiarfs.search`, against a stand-in of EMPIAR."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any

import pytest

import empiarfs
from tests.python.conftest import use
from tests.support.broken_server import BrokenServer
from tests.support.entry_api import EntryApi, sample_entries

NOBODY_THERE = "http://127.0.0.1:9/"


@pytest.fixture
def api() -> Iterator[EntryApi]:
    with EntryApi(sample_entries()) as api:
        yield api


@pytest.fixture
def archive(api: EntryApi, monkeypatch: pytest.MonkeyPatch) -> Iterator[BrokenServer]:
    with BrokenServer({f"{number}/data/x.mrc": b"x" for number in api.entries}) as archive:
        use(monkeypatch, archive.url, api.url)
        yield archive
        empiarfs.close()


def test_all_is_asked_for_once_and_entries_are_found(archive: BrokenServer, api: EntryApi) -> None:
    found = empiarfs.search("tomography")
    asked = len(api.asked)
    best = empiarfs.search("Lancey", released="2022", data_format="tiff", pixel=0.543)[0]

    assert {each.number for each in found} == {10988, 11561, 12104}
    assert (best.accession, best.released, best.size_text) == (
        "EMPIAR-10934", "2022-02-07", "1.9 TB",
    )  # fmt: skip
    assert best.url == "https://www.ebi.ac.uk/empiar/EMPIAR-10934/"
    assert (round((best.size or 0) / 2**40, 1), best.experiment_type) == (1.9, "EMDB")
    # What is known of it was stored with all others.
    assert best.entry.metadata.title == best.title
    assert len(api.asked) == asked == 1
    assert (found.known, found.listed, found.problem) == (5, 5, None)


def test_what_was_found_is_a_sequence_that_is_shown_as_a_table(archive: BrokenServer) -> None:
    found = empiarfs.search(limit=2)

    assert len(found) == len(list(found)) == len(found[:]) == 2
    assert found[0] in found
    assert [line.split()[0] for line in repr(found).splitlines()] == [
        each.accession for each in found
    ]
    assert max(map(len, repr(found).splitlines())) <= 100
    assert repr(empiarfs.search("xyzzy")) == "none of 5 entries fits"
    assert found[0].accession in repr(found[0])
    assert pickle.loads(pickle.dumps(found))[0] == found[0]


@pytest.mark.parametrize(
    ("filters", "numbers"),
    [
        ({"emdb": "12602"}, {10934}),
        ({"experiment_type": "fib-sem"}, {11419}),
        ({"category": "multiframe", "min_size": "1T", "max_size": 2 * 2**40}, {10934}),
        ({"min_size": "5T"}, set()),
    ],
)
def test_filters_are_those_of_the_command(
    archive: BrokenServer, filters: dict[str, Any], numbers: set[int]
) -> None:
    assert {each.number for each in empiarfs.search(**filters)} == numbers


@pytest.mark.parametrize(
    ("filters", "why"),
    [
        ({"emdb": "x"}, "no entry of EMDB"),
        ({"released": "soon"}, "no date"),
        ({"pixel": "-1"}, "no number"),
        ({"min_size": "much"}, "no size"),
        ({"limit": 0}, "limit"),
        ({"offline": True, "refresh": True}, "contradict"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_asked(
    archive: BrokenServer, api: EntryApi, filters: dict[str, Any], why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        empiarfs.search(**filters)
    assert (api.asked, archive.requests) == ([], [])


def test_offline_nobody_is_asked(archive: BrokenServer, api: EntryApi) -> None:
    with pytest.raises(OSError, match="nothing is known of EMPIAR's entries here"):
        empiarfs.search("Lancey", offline=True)
    empiarfs.search()
    asked = len(api.asked)

    assert len(empiarfs.search("Lancey", offline=True)) == 1
    assert len(api.asked) == asked
    empiarfs.search("Lancey", refresh=True)
    assert len(api.asked) == asked + 1


def test_where_nothing_is_known_and_nobody_answers_it_fails(
    archive: BrokenServer, api: EntryApi
) -> None:
    api.fail_next("refused", 100)

    with pytest.raises(OSError, match=r"nothing is known.* 403"):
        empiarfs.search("Lancey")


def test_what_is_known_is_searched_with_a_warning_where_nobody_answers(
    archive: BrokenServer, api: EntryApi
) -> None:
    assert empiarfs.entry(10934).title
    api.fail_next("refused", 100)
    with pytest.warns(UserWarning, match=r"searched 1 entries: .* 403"):
        found = empiarfs.search("Lancey")
    with pytest.warns(UserWarning, match="minutes ago; refresh=True asks again"):
        empiarfs.search("Lancey")

    assert [each.number for each in found] == [10934]
    assert found.problem
