"""Snapshots of what is known: what goes in comes out, and nothing else does."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from empiarfs.core.entries.from_json import UnreadableError, entry_from_document
from empiarfs.core.entries.from_xml import entry_from_xml
from empiarfs.core.entries.snapshot import (
    SharedEntry,
    SnapshotHead,
    SnapshotReader,
    snapshot_lines,
)
from tests.support.entry_api import SAMPLES, documents, sample_entries

HEAD = SnapshotHead("https://x/api/", 200.0, (10934, 11419), 100.0)
XML = (SAMPLES / "10934.xml").read_bytes()


def shared() -> list[SharedEntry]:
    made = documents(sample_entries())
    found = [
        SharedEntry(entry_from_document(number, document), "api", document, 50.0)
        for number, document in made.items()
    ]
    return [*found, SharedEntry(entry_from_xml(XML), "xml", XML, 60.0)]


LINES = list(snapshot_lines(HEAD, shared()))


def read(lines: list[bytes]) -> tuple[SnapshotReader, list[SharedEntry]]:
    reader = SnapshotReader()
    return reader, [found for line in lines if (found := reader.line(line)) is not None]


def test_what_was_written_is_read() -> None:
    reader, found = read(LINES)

    assert reader.head == HEAD
    assert found == shared()
    assert reader.finish() == 6


def test_no_line_may_be_lost_changed_moved_or_added() -> None:
    changed = LINES[2].replace(b"frames", b"cranes", 1)
    assert changed != LINES[2]

    for lines in (
        LINES[:-1],
        [*LINES[:2], *LINES[3:]],
        [*LINES[:2], changed, *LINES[3:]],
        [LINES[0], LINES[2], LINES[1], *LINES[3:]],
        [*LINES, LINES[-1]],
        [*LINES[:2], LINES[1], *LINES[2:]],
        LINES[1:],
        [],
    ):
        with pytest.raises(UnreadableError):
            read(lines)[0].finish()


def test_a_newer_format_is_named() -> None:
    head = json.loads(LINES[0]) | {"version": 2}

    with pytest.raises(UnreadableError, match="a newer empiarfs reads"):
        read([json.dumps(head).encode()])


@pytest.mark.parametrize(
    "fields",
    [
        {"number": 7},
        {"number": "10934"},
        {"number": None},
        {"number": True},
        {"source": "html"},
        {"source": "xml"},
        {"fetched_s": -1},
        {"fetched_s": "now"},
        {"fetched_s": 1e300},
        {"document": None},
        {"document": "{}"},
        {"document": "<entry/>"},
        {"document": "\ud800"},
    ],
)
def test_a_description_that_cannot_be_is_refused(fields: dict[str, object]) -> None:
    line = json.dumps(json.loads(LINES[1]) | fields).encode()

    with pytest.raises(UnreadableError):
        read([LINES[0], line])


@given(st.lists(st.binary(max_size=40) | st.sampled_from(LINES), max_size=6))
def test_any_lines_are_read_or_refused(lines: list[bytes]) -> None:
    with contextlib.suppress(UnreadableError):
        read(lines)[0].finish()
