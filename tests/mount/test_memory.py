"""Memory that is free goes back to the system."""

from __future__ import annotations

import gc
import os
import threading
import weakref

import pytest

from empiarfs.mount import memory
from scripts.soaking.daemon import held_by
from tests.support.waiting import wait_until


def test_freed_memory_is_given_back() -> None:
    # Below the size that malloc maps by itself; every second one stays, so that nothing of
    # the heap's end is free.
    buffers = [bytearray(100_000) for _ in range(2_000)]
    kept = buffers[::2]
    del buffers
    before = held_by(os.getpid(), 0.0).memory

    memory.trim()

    assert before - held_by(os.getpid(), 0.0).memory > 50_000_000
    assert len(kept) == 1_000


def test_what_holds_itself_is_given_back_too() -> None:
    class Circle:
        pass

    gc.collect()
    gc.disable()
    try:
        circle = Circle()
        circle.itself = circle  # type: ignore[attr-defined]
        gone = weakref.ref(circle)
        del circle
        assert gone() is not None
        memory.trim()
        assert gone() is None
    finally:
        gc.enable()


class Machine:
    """Memory that a test lets grow."""

    def __init__(self) -> None:
        self.bytes = 100 * 2**20
        self.done: list[str] = []

    def measure(self) -> int:
        return self.bytes

    def collect(self) -> None:
        self.done.append("collected")
        self.bytes -= 50 * 2**20

    def give_back(self) -> None:
        self.done.append("given back")
        self.bytes -= 5 * 2**20


def test_it_is_done_whenever_memory_has_grown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_EVERY_S", 0.01)
    over, machine = threading.Event(), Machine()
    memory.keep_trimmed(over, machine.collect, machine.give_back, machine.measure)
    try:
        for growth, expected in ((80, "collected"), (6, "given back"), (80, "collected")):
            before = len(machine.done)
            machine.bytes += growth * 2**20
            wait_until(lambda: len(machine.done) > before)  # noqa: B023
            assert machine.done[before:] == [expected]
    finally:
        over.set()
    wait_until(
        lambda: not any(thread.name == "empiarfs-memory" for thread in threading.enumerate())
    )


def test_what_is_resident_is_measured() -> None:
    before = memory.resident()
    buffer = bytearray(os.urandom(2**20)) * 40

    assert memory.resident() - before > 30 * 2**20
    assert len(buffer) == 40 * 2**20
