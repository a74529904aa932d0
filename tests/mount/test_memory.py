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

    if not memory.trim():
        pytest.skip("a C library without malloc_trim")

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


def test_it_is_done_again_and_again_until_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_EVERY_S", 0.01)
    over, times = threading.Event(), []

    def give_back() -> bool:
        times.append(1)
        return True

    memory.keep_trimmed(over, give_back)
    wait_until(lambda: len(times) >= 3)
    over.set()
    wait_until(
        lambda: not any(thread.name == "empiarfs-memory" for thread in threading.enumerate())
    )


def test_where_it_can_not_be_done_no_thread_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_EVERY_S", 0.01)

    memory.keep_trimmed(threading.Event(), lambda: False)

    wait_until(
        lambda: not any(thread.name == "empiarfs-memory" for thread in threading.enumerate())
    )
