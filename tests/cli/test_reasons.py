"""Reasons are told in the order of their weight, with what helps, and none is invented."""

from __future__ import annotations

from typing import Any

import pytest

from empiarfs.cli.reasons import _ERRORS, _WAITS, reasons_of
from empiarfs.core.waits import Wait


def read(took_s: float, error: str | None = None, **waited: float) -> dict[str, Any]:
    return {
        "took_s": took_s, "waited": waited, "archive_bytes": 380_000, "faults": {}, "hedges": 0,
        "kind": error, "errno": None if error is None else "EIO", "error": error and "why",
    }  # fmt: skip


def test_what_weighs_most_comes_first_and_what_hardly_weighs_is_left_out() -> None:
    reads = [read(5.0, first_byte=4.0, bytes=0.9, connection=0.1), read(3.0, bytes=2.9)]
    found = reasons_of(reads)

    assert [(each.name, each.reads, each.seconds) for each in found] == [
        ("first_byte", 1, 4.0),
        ("bytes", 2, 3.8),
    ]
    assert found[0].text == "the archive sent its first byte only after up to 4.0 s"
    assert found[1].text == "bytes came at 200 KB/s over the link"
    assert "empiarfs warm" in found[0].remedy


def test_time_that_nobody_accounts_for_is_this_machines() -> None:
    (found,) = reasons_of([read(4.0)])

    assert (found.name, found.seconds) == ("other", 4.0)


def test_a_first_byte_that_never_came_is_not_said_to_have_come() -> None:
    error, wait = reasons_of([read(9.0, "StalledError", first_byte=9.0)])

    assert error.text == "the archive didn't answer in all that time"
    assert wait.text == "the archive's first byte was waited for, up to 9.0 s"


def test_requests_that_failed_on_the_way_are_counted_once() -> None:
    first, second = read(2.0, first_byte=1.0, pause=1.0), read(2.0, first_byte=2.0)
    first |= {"faults": {"StalledError": 2, "UnavailableError": 1}, "hedges": 1}
    found = reasons_of([first, second])

    assert [each.name for each in found] == ["first_byte", "pause"]
    assert found[0].text.endswith(
        "; 2 requests were taken and never answered, or only at a crawl, 1 request was broken off"
        ", 1 request was sent a second time as the answer was late"
    )
    assert found[1].text == _WAITS["pause"][0]


def test_an_error_without_words_of_its_own_tells_what_it_said() -> None:
    (found,) = reasons_of([read(0.0, "SomethingError")])

    assert (found.text, found.remedy) == ("why", "")


def test_nothing_slow_has_no_reasons() -> None:
    assert reasons_of([]) == []


@pytest.mark.parametrize("wait", list(Wait))
def test_all_that_can_be_waited_for_has_words(wait: Wait) -> None:
    text, remedy = _WAITS[wait.value]

    assert text
    assert remedy


def test_all_that_can_fail_a_read_has_words() -> None:
    from empiarfs import errors

    kinds = (
        errors.NotFoundError, errors.ForbiddenError, errors.UnavailableError, errors.StalledError,
        errors.BusyError, errors.UnreachableError, errors.OfflineError, errors.FileChangedError,
        errors.BadResponseError, errors.GaveUpError, errors.InterruptedCallError,
    )  # fmt: skip
    assert {kind.__name__ for kind in kinds} == set(_ERRORS)
