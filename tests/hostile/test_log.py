"""What a server says can't forge a line of the log, nor steer the terminal that shows it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from empiarfs.mount.logs import Log

logger = logging.getLogger("empiarfs.test_log")


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """A daemon sets up logging for its whole process; here others use it afterwards."""
    root, ours = logging.getLogger(), logging.getLogger("empiarfs")
    levels = root.level, ours.level
    flags = logging.raiseExceptions, logging.logThreads, logging.logMultiprocessing
    yield
    root.setLevel(levels[0])
    ours.setLevel(levels[1])
    logging.raiseExceptions, logging.logThreads, logging.logMultiprocessing = flags


@pytest.mark.parametrize(
    "text",
    [
        "a\n2026-01-01T00:00:00+0000 ERROR empiarfs: forged",
        "a\r\x1b[2J\x1b]0;title\x07",
        "a\x00\x08\x7f\x9b2J\x85",
        "a\u2028b\u2029c",
        "gpj.\u202eexe\u2066",
    ],
)
def test_a_message_is_one_line_of_printable_characters(tmp_path: Path, text: str) -> None:
    file = tmp_path / "log"
    log = Log("info", file)
    try:
        logger.info("a name: %s", text)
    finally:
        log.close()

    [line] = file.read_text(encoding="utf-8").splitlines()
    assert "INFO empiarfs.test_log: a name: " in line
    assert line.isprintable()


def test_names_in_any_script_stay_readable(tmp_path: Path) -> None:
    log = Log("info", tmp_path / "log")
    try:
        logger.info("%s", "ribosome_α_リボソーム\tµm")
    finally:
        log.close()

    assert "ribosome_α_リボソーム\tµm" in (tmp_path / "log").read_text(encoding="utf-8")
