"""The cache threads: whoever waits for them waits for a bounded time."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from empiarfs.cache.threads import CacheThreads, TooSlowError
from empiarfs.errors import CacheError

WAIT_S = 10.0


@pytest.fixture
def threads() -> Iterator[CacheThreads]:
    made = CacheThreads("cache-test", 1)
    yield made
    made.close(WAIT_S)


def test_the_result_comes_back(threads: CacheThreads) -> None:
    assert threads.call(lambda: 7, WAIT_S) == 7


@pytest.mark.parametrize("error", [ValueError("x"), TimeoutError("its own")])
def test_what_the_work_raises_is_raised(threads: CacheThreads, error: Exception) -> None:
    def work() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        threads.call(work, WAIT_S)
    assert caught.value is error
    assert threads.call(lambda: 7, WAIT_S) == 7


def test_work_that_hangs_is_not_waited_for(threads: CacheThreads) -> None:
    gate = threading.Event()

    with pytest.raises(TooSlowError):
        threads.call(gate.wait, 0.01)
    gate.set()


def test_work_given_up_before_it_began_is_never_done(threads: CacheThreads) -> None:
    gate, done = threading.Event(), threading.Event()
    hanging = threads.submit(gate.wait)

    with pytest.raises(TooSlowError):
        threads.call(done.set, 0.01)
    gate.set()
    hanging.result(WAIT_S)
    threads.call(lambda: None, WAIT_S)
    assert not done.is_set()


def test_nothing_runs_before_the_first_work() -> None:
    before = threading.active_count()
    threads = CacheThreads("cache-test", 3)
    assert threading.active_count() == before
    threads.call(lambda: None, WAIT_S)
    assert threading.active_count() > before
    threads.close(WAIT_S)
    assert threading.active_count() == before


def test_closing_does_what_is_queued_and_then_ends_each_thread() -> None:
    ended: list[str] = []
    threads = CacheThreads("cache-test", 2, lambda: ended.append("thread"))
    futures = [threads.submit(lambda number=number: number) for number in range(10)]  # type: ignore[misc]
    threads.close(WAIT_S)

    assert [future.result(0) for future in futures] == list(range(10))
    assert ended == ["thread"] * 2
    with pytest.raises(CacheError):
        threads.call(lambda: 1, WAIT_S)


def test_a_thread_that_hangs_does_not_keep_the_interpreter_from_ending() -> None:
    script = (
        "import threading; from empiarfs.cache.threads import CacheThreads;"
        "CacheThreads('cache-test', 2).submit(threading.Event().wait)"
    )

    assert subprocess.run([sys.executable, "-c", script], timeout=30, check=False).returncode == 0
