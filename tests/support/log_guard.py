"""What empiarfs may log while a test runs, and what of it fails the test.

    a test that says nothing             no record of WARNING or worse, and no traceback
    the marker `expects_warnings`,       warnings; still no error, no traceback
    or the fixture of that name
    the fixture `expect_log(pattern)`    all that matches, whatever it is; and something must

The last is the better one: it says what is expected, and so fails when something else comes,
or nothing does.

Threading: records may come from any thread, also after their test; the handler's lock guards
them. A record that comes late is held against the next test, so a test waits for its threads.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

# The first words of a traceback, wherever it is written.
TRACEBACK = "Traceback (most recent call last)"


class ExpectLog(Protocol):
    """The fixture `expect_log`."""

    def __call__(self, pattern: str, *, must: bool = True) -> list[logging.LogRecord]:
        """Allow what matches `pattern`; see `LogGuard.expect`."""
        ...


@dataclass(slots=True)
class Expectation:
    """What a test expects to be logged.

    Attributes:
        pattern: Searched for in `LEVEL logger: message`.
        must: Whether it is a failure if nothing matches.
        records: What matched so far.
    """

    pattern: re.Pattern[str]
    must: bool
    records: list[logging.LogRecord] = field(default_factory=list)


class LogGuard(logging.Handler):
    """Keeps what the loggers of empiarfs say at WARNING and above; safe from any thread."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._records: list[logging.LogRecord] = []  # guarded by the handler's own lock
        self._expected: list[Expectation] = []  # guarded by the handler's own lock

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the record, or give it to who expects it."""
        text = line_of(record)
        for expectation in self._expected:
            if expectation.pattern.search(text):
                expectation.records.append(record)
                return
        self._records.append(record)

    def expect(self, pattern: str, *, must: bool = True) -> list[logging.LogRecord]:
        """Allow what matches, until `take`; return the list to which it is added."""
        expectation = Expectation(re.compile(pattern), must)
        with self._locked():
            self._expected.append(expectation)
        return expectation.records

    def current(self) -> list[logging.LogRecord]:
        """Return the list that grows as records come, until `take`."""
        return self._records

    def take(self, *, warnings_allowed: bool) -> list[str]:
        """Return what is wrong with what came since the last time, and begin anew."""
        with self._locked():
            records, self._records = self._records, []
            expected, self._expected = self._expected, []
        wrong = [record for record in records if not (warnings_allowed and is_plain(record))]
        missed = [each for each in expected if each.must and not each.records]
        return [
            *(f"unexpected: {line_of(record)}" for record in wrong),
            *(f"expected and not logged: {each.pattern.pattern}" for each in missed),
        ]

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.acquire()
        try:
            yield
        finally:
            self.release()


def is_plain(record: logging.LogRecord) -> bool:
    """Tell whether a record is a warning, and neither an error nor a traceback."""
    return record.levelno < logging.ERROR and not (record.exc_info and record.exc_info[0])


def line_of(record: logging.LogRecord) -> str:
    """Return a record as a line, with the exception's name if it has one."""
    line = f"{record.levelname} {record.name}: {record.getMessage()}"
    if record.exc_info and record.exc_info[1] is not None:
        line += f" ({record.exc_info[1]!r})"
    return line


def complaints(lines: Iterable[str]) -> list[str]:
    """Return the lines of a log file that are warnings or worse, or begin a traceback.

    What follows the first line of a traceback, up to its end, stands in the same item.
    """
    found: list[str] = []
    in_traceback = False
    for line in lines:
        if in_traceback and _IN_TRACEBACK.match(line):
            found[-1] += "\n" + line
            # The exception itself is the first line that isn't indented.
            in_traceback = line.startswith(" ")
        elif _COMPLAINT.search(line):
            found.append(line)
            in_traceback = line.startswith("Traceback ")
        else:
            in_traceback = False
    return found


def errors(lines: Iterable[str]) -> list[str]:
    """Return those of the lines that are errors, or begin a traceback."""
    return [line for line in lines if _ERROR.search(line)]


# "Exception ignored in" and "Fatal Python error" are written by the interpreter itself.
_ERROR = re.compile(r"\b(ERROR|CRITICAL)\b|^Traceback |^Exception ignored|^Fatal Python")
# No line of a log begins with a blank or a bare word and a colon.
_IN_TRACEBACK = re.compile(r" |[\w.]+(:|$)")
_COMPLAINT = re.compile(r"\bWARNING\b|" + _ERROR.pattern)
