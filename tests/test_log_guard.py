"""The log guard: what a test may log without failing."""

from __future__ import annotations

import logging
import sys

import pytest

from tests.support.log_guard import LogGuard, complaints, errors


def record(level: int, text: str, *, traceback: bool = False) -> logging.LogRecord:
    info = None
    if traceback:
        try:
            raise KeyError("x")
        except KeyError:
            info = sys.exc_info()
    return logging.LogRecord("empiarfs.test", level, __file__, 1, text, None, info)


@pytest.mark.parametrize("level", [logging.WARNING, logging.ERROR, logging.CRITICAL])
def test_what_nobody_expects_is_named(level: int) -> None:
    guard = LogGuard()
    guard.handle(record(level, "something odd"))

    [line] = guard.take(warnings_allowed=False)
    assert line == f"unexpected: {logging.getLevelName(level)} empiarfs.test: something odd"
    assert guard.take(warnings_allowed=False) == []


def test_allowed_warnings_are_no_errors_and_no_tracebacks() -> None:
    guard = LogGuard()
    guard.handle(record(logging.WARNING, "a warning"))
    guard.handle(record(logging.ERROR, "an error"))
    guard.handle(record(logging.WARNING, "a surprise", traceback=True))

    assert guard.take(warnings_allowed=True) == [
        "unexpected: ERROR empiarfs.test: an error",
        "unexpected: WARNING empiarfs.test: a surprise (KeyError('x'))",
    ]


def test_what_is_expected_may_be_a_traceback_and_must_come() -> None:
    guard = LogGuard()
    came = guard.expect("a surprise .*KeyError")
    guard.expect("that never comes")
    guard.expect("that may come", must=False)
    guard.handle(record(logging.ERROR, "a surprise", traceback=True))

    assert [each.getMessage() for each in came] == ["a surprise"]
    assert guard.take(warnings_allowed=False) == ["expected and not logged: that never comes"]


def test_an_expectation_ends_with_its_test() -> None:
    guard = LogGuard()
    guard.expect("odd", must=False)
    guard.take(warnings_allowed=False)
    guard.handle(record(logging.WARNING, "odd"))

    assert len(guard.take(warnings_allowed=False)) == 1


def test_a_log_file_complains_in_words_and_in_tracebacks() -> None:
    log = [
        "2026-11-21T12:00:00+0000 INFO empiarfs.mount: mounted",
        "2026-11-21T12:00:00+0000 WARNING empiarfs.vfs: changed",
        "2026-11-21T12:00:00+0000 ERROR empiarfs.fuse: failed",
        "Traceback (most recent call last):",
        '  File "x.py", line 1, in <module>',
        "KeyError: 'x'",
        "2026-11-21T12:00:00+0000 INFO empiarfs.mount: still here",
        "Exception ignored in: <function f>",
    ]

    traceback = "\n".join(log[3:6])
    assert complaints(log) == [log[1], log[2], traceback, log[7]]
    assert errors(complaints(log)) == [log[2], traceback, log[7]]
