"""When to ask again."""

from __future__ import annotations

import pytest

from empiarfs.core.retry import FailureKind, RetryPolicy, kind_of
from empiarfs.errors import (
    BadResponseError,
    BusyError,
    FileChangedError,
    ForbiddenError,
    GaveUpError,
    NotFoundError,
    OfflineError,
    StalledError,
    UnavailableError,
    UnreachableError,
)

POLICY = RetryPolicy()


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (StalledError("s", url="u"), FailureKind.STALLED),
        (BusyError("s", url="u"), FailureKind.BUSY),
        (UnavailableError("s", url="u"), FailureKind.BROKEN),
        (UnreachableError("s", url="u"), FailureKind.BROKEN),
        (BadResponseError("s", url="u"), FailureKind.BAD),
        (OfflineError("s", url="u"), FailureKind.FINAL),
        (NotFoundError("s", url="u"), FailureKind.FINAL),
        (ForbiddenError("s", url="u"), FailureKind.FINAL),
        (FileChangedError("s", url="u"), FailureKind.FINAL),
        (GaveUpError("s"), FailureKind.FINAL),
        (ValueError("s"), FailureKind.FINAL),
    ],
)
def test_each_error_is_of_a_kind(error: Exception, kind: FailureKind) -> None:
    assert kind_of(error) is kind


def test_a_stalled_request_is_repeated_at_once_however_often() -> None:
    delays = {POLICY.delay_s(n, FailureKind.STALLED, None, 0.9) for n in range(1, 100)}

    assert delays == {0.0}


def test_waits_after_broken_connections_double_up_to_five_seconds() -> None:
    delays = [POLICY.delay_s(n, FailureKind.BROKEN, None, 0.5) for n in (1, 2, 3, 6, 1000)]

    assert delays == pytest.approx([0.2, 0.4, 0.8, 5.0, 5.0])


def test_waits_are_spread_over_half_to_one_and_a_half() -> None:
    assert POLICY.delay_s(1, FailureKind.BROKEN, None, 0.0) == pytest.approx(0.1)
    assert POLICY.delay_s(1, FailureKind.BROKEN, None, 0.999) == pytest.approx(0.3, rel=0.01)


def test_the_archives_own_wish_is_never_undercut_but_capped() -> None:
    for random in (0.0, 0.5, 0.99):
        delay_s = POLICY.delay_s(1, FailureKind.BUSY, 7.0, random)
        assert delay_s is not None
        assert 7.0 <= delay_s <= 7.0 * 1.25
    assert POLICY.delay_s(1, FailureKind.BUSY, 1e9, 0.0) == POLICY.max_busy_s
    assert POLICY.delay_s(1, FailureKind.BROKEN, 9.0, 0.0) == 9.0


def test_a_wait_that_is_over_each_time_is_no_leave_to_hammer() -> None:
    delays = [POLICY.delay_s(n, FailureKind.BUSY, 0.0, 0.5) for n in (1, 2, 3, 1000)]

    assert delays == pytest.approx([0.2, 0.4, 0.8, 5.0])


def test_a_refusal_without_a_time_waits_longer_each_time() -> None:
    delays = [POLICY.delay_s(n, FailureKind.BUSY, None, 0.5) for n in (1, 2, 3, 20)]

    assert delays == pytest.approx([1.0, 2.0, 4.0, 30.0])


def test_an_answer_that_does_not_fit_is_worth_three_attempts() -> None:
    delays = [POLICY.delay_s(n, FailureKind.BAD, None, 0.5) for n in (1, 2, 3)]

    assert delays == [pytest.approx(0.2), pytest.approx(0.4), None]


def test_answers_that_do_not_fit_may_be_waited_out() -> None:
    patient = RetryPolicy(bad_attempts=None)
    delays = [patient.delay_s(n, FailureKind.BAD, None, 0.5) for n in (1, 2, 3, 1000)]

    assert delays == pytest.approx([0.2, 0.4, 0.8, 5.0])


def test_the_wish_is_taken_from_the_error() -> None:
    error = BusyError("s", url="u", retry_after_s=3.0)

    assert POLICY.delay_after_s(1, error, 0.0) == 3.0
    assert POLICY.delay_after_s(1, NotFoundError("s", url="u"), 0.0) is None
