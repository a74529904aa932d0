"""Never a wrong size, whatever a server does with the answers of a connection."""

from __future__ import annotations

from collections.abc import Callable
from email.utils import formatdate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from requests.structures import CaseInsensitiveDict

from empiarfs.core.files import FileVersion
from empiarfs.core.head_sequence import (
    BARE_IN_FLIGHT,
    IN_FLIGHT,
    HeadRow,
    HeadSequence,
    MixedUpError,
)
from empiarfs.core.listing import ListingItem
from empiarfs.core.sizes import size_text

MODIFIED_S = 1_600_000_020
Answer = tuple[int, CaseInsensitiveDict[str]]


def row(number: int, size: int) -> HeadRow:
    return HeadRow(ListingItem(f"f{number}", False, size_text(size), "2020-09-13 12:27"))


def answer_of(size: int, header: str, *, honours: bool) -> Answer:
    headers: CaseInsensitiveDict[str] = CaseInsensitiveDict()
    headers["Last-Modified"] = formatdate(MODIFIED_S, usegmt=True)
    if not header or not honours or not size:
        if size:
            headers["Content-Length"] = str(size)
        return 200, headers
    tag = int(header.rpartition("-")[2])
    headers["Content-Length"] = "1"
    headers["Content-Range"] = f"bytes {tag}-{tag}/{size}"
    return 206, headers


class Link:
    """Sends all rows over one sequence, to a server whose answers may be meddled with."""

    def __init__(self, sizes: list[int], *, honours: bool = True) -> None:
        self.sizes = sizes
        self.honours = honours
        self.sequence = HeadSequence()
        self.certain: dict[str, int] = {}
        self.singly: list[str] = []
        self.wire: list[Answer] = []
        self.next = 0

    def send(self) -> None:
        for _ in range(self.sequence.room):
            if self.next == len(self.sizes):
                return
            size = self.sizes[self.next]
            header = self.sequence.ask(row(self.next, size), now_s=0)
            self.wire.append(answer_of(size, header, honours=self.honours))
            self.next += 1

    def receive(self) -> None:
        outcome = self.sequence.answered(*self.wire.pop(0), url="u", now_s=0)
        self.certain.update({each.name: each.version.size for each in outcome.certain})
        self.singly += [each.item.name for each in outcome.singly]

    def run(self, meddle: Callable[[list[Answer]], None] = lambda wire: None) -> list[str]:
        """Run until all is answered or nothing comes; returns the names in doubt."""
        try:
            while True:
                self.send()
                meddle(self.wire)
                if not self.wire:
                    break
                self.receive()
        except MixedUpError:
            pass
        return [each.item.name for each in self.sequence.doubtful()]

    @property
    def wrong(self) -> dict[str, int]:
        return {
            name: size for name, size in self.certain.items() if size != self.sizes[int(name[1:])]
        }


SIZES = st.lists(
    st.one_of(st.integers(0, 40), st.integers(990, 1010), st.integers(10**8, 10**8 + 5)),
    min_size=1,
    max_size=80,
)


@given(sizes=SIZES, honours=st.booleans())
def test_an_honest_server_settles_every_row(sizes: list[int], honours: bool) -> None:
    link = Link(sizes, honours=honours)

    assert link.run() == []
    assert link.singly == []
    assert link.certain == {f"f{n}": size for n, size in enumerate(sizes)}


@settings(max_examples=300)
@given(sizes=SIZES, honours=st.booleans(), places=st.sets(st.integers(0, 80), max_size=4))
def test_dropped_answers_never_make_a_wrong_size(
    sizes: list[int], honours: bool, places: set[int]
) -> None:
    link = Link(sizes, honours=honours)
    seen = 0

    def drop(wire: list[Answer]) -> None:
        nonlocal seen
        while wire and seen in places:
            wire.pop(0)
            seen += 1
        seen += 1

    doubtful = link.run(drop)

    assert link.wrong == {}
    named = [*link.certain, *link.singly, *doubtful]
    assert sorted(named) == sorted(f"f{n}" for n in range(link.next))


@settings(max_examples=300)
@given(sizes=SIZES, place=st.integers(0, 79))
def test_swapped_tagged_answers_never_make_a_wrong_size(sizes: list[int], place: int) -> None:
    sizes = [size + 40 for size in sizes]
    link = Link(sizes)
    seen = 0

    def swap(wire: list[Answer]) -> None:
        nonlocal seen
        if seen == place and len(wire) > 1:
            wire[0], wire[1] = wire[1], wire[0]
        seen += 1

    link.run(swap)

    assert link.wrong == {}


def test_the_files_of_one_size_are_told_apart_by_their_tags() -> None:
    link = Link([569_560_224] * 10 + [569_560_225] * 10)

    def drop_once(wire: list[Answer]) -> None:
        if len(link.certain) == 5 and len(wire) > 10:
            del wire[0]

    doubtful = link.run(drop_once)

    assert list(link.certain) == [f"f{n}" for n in range(5)]
    assert doubtful[0] == "f5"


def test_without_tags_nothing_is_certain_before_the_counts_meet() -> None:
    link = Link([1000] * 40, honours=False)
    link.send()
    # The first answer tells that there are no tags, when so many are on their way.
    for _ in range(IN_FLIGHT - 1):
        link.receive()
        assert link.certain == {}
        assert link.sequence.room <= 0
    link.receive()

    assert len(link.certain) == IN_FLIGHT
    assert link.sequence.room == BARE_IN_FLIGHT


def test_who_expects_no_tags_has_few_in_flight_until_one_is_proven() -> None:
    sequence = HeadSequence(bare=2, hopeful=False)
    assert sequence.room == 2
    header = sequence.ask(row(0, 5000), now_s=0)
    assert sequence.room == 1
    sequence.answered(*answer_of(5000, header, honours=True), url="u", now_s=0)

    assert sequence.room == IN_FLIGHT


def test_a_right_tag_confirms_what_was_held_back_before_it() -> None:
    link = Link([5, 7, 5000, 6])
    link.send()
    link.receive()
    link.receive()
    assert link.certain == {}
    link.receive()

    assert link.certain == {"f0": 5, "f1": 7, "f2": 5000}


def test_an_answer_without_its_tag_from_a_server_that_honours_tags_is_not_believed() -> None:
    link = Link([5000, 5000])
    link.send()
    link.wire[0] = answer_of(5001, "", honours=False)
    link.receive()
    link.receive()

    assert link.certain == {"f1": 5000}
    assert link.singly == ["f0"]


def test_with_tags_sixteen_stay_in_flight() -> None:
    link = Link([5000] * 100)
    link.send()
    assert len(link.wire) == IN_FLIGHT
    link.receive()
    link.send()

    assert len(link.wire) == IN_FLIGHT


def test_a_file_that_changed_since_it_was_listed_is_asked_for_on_its_own() -> None:
    link = Link([5000, 5000])
    header = link.sequence.ask(row(0, 5000), now_s=0)
    outcome = link.sequence.answered(*answer_of(9000, header, honours=True), url="u", now_s=2.5)

    assert outcome.certain == []
    assert [each.item.name for each in outcome.singly] == ["f0"]
    assert outcome.latency_s == 2.5


@pytest.mark.parametrize("status", [301, 403, 404, 416, 500, 503])
def test_an_error_is_asked_for_again_on_its_own(status: int) -> None:
    sequence = HeadSequence()
    sequence.ask(row(0, 5000), now_s=0)
    outcome = sequence.answered(status, CaseInsensitiveDict(), url="u", now_s=0)

    assert [each.item.name for each in outcome.singly] == ["f0"]
    assert sequence.doubtful() == []


def test_an_untagged_answer_that_does_not_fit_its_row_puts_all_in_doubt() -> None:
    link = Link([1000, 5, 5000, 6], honours=False)
    link.send()
    del link.wire[0]
    with pytest.raises(MixedUpError):
        link.receive()

    assert [each.item.name for each in link.sequence.doubtful()] == ["f0", "f1", "f2", "f3"]
    assert link.certain == {}


def test_a_packed_answer_is_no_size() -> None:
    sequence = HeadSequence()
    header = sequence.ask(row(0, 5000), now_s=0)
    status, headers = answer_of(5000, header, honours=True)
    headers["Content-Encoding"] = "gzip"

    assert sequence.answered(status, headers, url="u", now_s=0).certain == []


def test_the_version_has_the_answers_own_time() -> None:
    link = Link([5000])
    header = link.sequence.ask(row(0, 5000), now_s=0)
    outcome = link.sequence.answered(*answer_of(5000, header, honours=True), url="u", now_s=0)

    assert outcome.certain[0].version == FileVersion(5000, MODIFIED_S)
