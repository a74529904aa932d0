"""Write slots: a bound for all processes, and what killed writers leave."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from empiarfs.cache.locks import BusyError
from empiarfs.cache.slots import WriteSlots


class Found:
    """Remembers what killed writers left."""

    def __init__(self) -> None:
        self.left: list[tuple[str, list[str]]] = []

    def __call__(self, key: str, filenames: Sequence[str]) -> None:
        self.left.append((key, list(filenames)))


def slots_in(folder: Path, count: int = 2, found: Found | None = None) -> WriteSlots:
    return WriteSlots(os.fspath(folder), count, found or Found())


def test_only_so_many_write_at_once_whoever_they_are(tmp_path: Path) -> None:
    with ExitStack() as held:
        held.enter_context(slots_in(tmp_path).hold(0))
        held.enter_context(slots_in(tmp_path).hold(0))
        with pytest.raises(BusyError), slots_in(tmp_path).hold(0.01):
            pass
    with slots_in(tmp_path).hold(0):
        pass


def test_a_note_that_was_not_wiped_is_found_by_the_next_holder(tmp_path: Path) -> None:
    found = Found()
    with slots_in(tmp_path, 1).hold(0) as slot:
        slot.note("a-longer-key.1", ["00/new", "00/old"])
    with slots_in(tmp_path, 1, found).hold(0) as slot:
        slot.note("key.2", ["00/x"])
        slot.wipe()
    with slots_in(tmp_path, 1, found).hold(0):
        pass

    assert found.left == [("a-longer-key.1", ["00/new", "00/old"])]


def test_a_shorter_note_hides_the_longer_one_before(tmp_path: Path) -> None:
    found = Found()
    with slots_in(tmp_path, 1).hold(0) as slot:
        slot.note("a-longer-key.1", ["00/new", "00/old"])
        slot.note("key.2", ["00/x"])
    slots_in(tmp_path, 1, found).recover_all()

    assert found.left == [("key.2", ["00/x"])]


def test_a_slot_in_use_is_not_cleaned(tmp_path: Path) -> None:
    found = Found()
    with slots_in(tmp_path).hold(0) as slot:
        slot.note("key.1", ["00/x"])
        slots_in(tmp_path, 2, found).recover_all()
        slot.wipe()

    assert found.left == []


@given(st.binary(max_size=60))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_note_stops_nobody(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "slot-0").write_bytes(content)

    with slots_in(tmp_path, 1).hold(0) as slot:
        assert slot.left_behind() is None
