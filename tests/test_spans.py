"""A span that two requests try to bring: no piece comes twice, none is lost."""

from __future__ import annotations

import gc
import weakref

import pytest

from empiarfs.errors import UnavailableError
from empiarfs.fetcher.queue import SpanQueue
from empiarfs.fetcher.spans import Span
from empiarfs.patience import Patience
from tests.support.fake_archive import FakeArchive

FILE = FakeArchive({"a.mrc": bytes(10 * 65_536)}).remote("a.mrc")


@pytest.fixture
def span() -> Span:
    return Span(FILE, range(10), urgent=True)


def piece(number: int) -> memoryview:
    return memoryview(bytes([number]))


def test_the_first_to_be_answered_brings_the_pieces(span: Span) -> None:
    first, second = object(), object()
    for _ in range(2):
        span.begin()

    assert span.own(first, 0)
    assert not span.own(second, 0)
    assert span.is_anothers(second)


def test_who_is_answered_after_another_brought_some_and_failed_brings_none(span: Span) -> None:
    first, second, third = object(), object(), object()
    for _ in range(2):
        span.begin()
    assert span.own(first, 0)
    span.publish(range(3), [piece(0), piece(1), piece(2)])
    assert not span.leave(first, failed=True)

    assert not span.own(second, 0)
    assert span.leave(second, failed=True)

    span.begin()
    assert span.own(third, 3)
    span.publish(range(3, 10), [piece(number) for number in range(3, 10)])
    assert span.leave(third, failed=False)
    assert [bytes(span.take(number, Patience(1)))[0] for number in range(10)] == list(range(10))


def test_who_is_answered_after_another_failed_with_nothing_brings_them(span: Span) -> None:
    first, second = object(), object()
    for _ in range(2):
        span.begin()
    assert span.own(first, 0)
    span.leave(first, failed=True)

    assert span.own(second, 0)


def test_a_failure_is_told_to_who_waits(span: Span) -> None:
    span.fail(UnavailableError("gone", url="u"))

    with pytest.raises(UnavailableError):
        span.take(0, Patience(1))


def test_a_foreseen_span_that_became_urgent_is_queued_once() -> None:
    queue = SpanQueue(foreseen_limit=2)
    foreseen = [Span(FILE, range(10), urgent=False) for _ in range(3)]
    for span in foreseen:
        queue.put_new(span)

    queue.make_urgent(foreseen[1])

    assert queue.waiting() == 3
    assert queue.take(0.1) is foreseen[1]
    queue.done(foreseen[1])
    assert queue.waiting() == 2


def test_a_span_that_is_wanted_before_it_is_queued_is_queued_once() -> None:
    queue = SpanQueue(foreseen_limit=2)
    found, ours = (Span(FILE, range(10), urgent=False) for _ in range(2))
    queue.make_urgent(found)  # by whoever came upon it in the table of flights
    assert queue.take(0.1) is found

    for span in (found, ours):
        queue.put_new(span)

    assert queue.waiting() == 1
    assert queue.take(0.1) is ours


def test_urgent_work_without_end_leaves_no_finished_span_in_the_queue() -> None:
    queue = SpanQueue(foreseen_limit=2)
    gone = []
    for _ in range(20):
        span = Span(FILE, range(10), urgent=False)
        queue.put_new(span)
        queue.make_urgent(span)
        taken = queue.take(0.1)
        assert taken is span
        queue.done(span)
        gone.append(weakref.ref(span))
        del span, taken
        gc.collect()

    assert [span for span in gone if span() is not None] == []
