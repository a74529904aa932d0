"""Files and sessions in other processes: forked, spawned, by a server of forks."""

from __future__ import annotations

import errno
import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

import pytest

import empiarfs
from empiarfs.python.session import default_session
from tests.python.conftest import STACK, Served, use
from tests.support import science
from tests.support.broken_server import BrokenServer
from tests.support.python_workers import Reader, inherited, read_part

pytestmark = pytest.mark.apache


def in_child(work: Callable[[], object]) -> object:
    """Return what a function returns, or raises, in a forked child."""
    here, there = os.pipe()
    pid = os.fork()
    if pid == 0:
        signal.alarm(30)
        try:
            try:
                answer: object = work()
            except Exception as exc:
                answer = exc
            os.write(there, pickle.dumps(answer))
            empiarfs.close()
        finally:
            os._exit(0)
    os.close(there)
    with os.fdopen(here, "rb") as pipe:
        raw = pipe.read()
    assert os.waitpid(pid, 0)[1] == 0
    return pickle.loads(raw)


def test_a_forked_child_reads_on_by_parts_of_its_own(archive: Served) -> None:
    expected = archive.bytes_of(STACK)
    file = empiarfs.open(STACK)
    file.read(100_000)

    assert in_child(lambda: file.read(100)) == expected[100_000:100_100]
    assert file.read(100) == expected[100_000:100_100]
    file.close()


def test_a_forked_child_inherits_no_socket_and_no_thread(archive: Served) -> None:
    before = inherited()
    file = empiarfs.open(STACK)
    for turn in range(5):
        file.pread(100_000, turn * 1_000_000)
        empiarfs.prefetch([(STACK, turn * 2_000_000 + 500_000, 1_500_000)])
        assert in_child(inherited) == before
    file.close()


def test_readers_of_the_parent_notice_nothing_of_forks(archive: Served) -> None:
    expected = archive.bytes_of(STACK)
    file = empiarfs.open(STACK)
    wrong: list[object] = []
    done = threading.Event()

    def read(seed: int) -> None:
        offset = seed
        while not done.is_set():
            offset = (offset * 31 + 70_001) % (len(expected) - 1000)
            try:
                if file.pread(1000, offset) != expected[offset : offset + 1000]:
                    wrong.append(offset)
            except Exception as exc:
                wrong.append(exc)

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    try:
        found = [in_child(lambda: file.pread(10, 50)) for _ in range(6)]
    finally:
        done.set()
        for thread in threads:
            thread.join()
    file.close()

    assert found == [expected[50:60]] * 6
    assert wrong == []


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_processes_of_a_pool_read_what_they_are_sent(archive: Served, method: str) -> None:
    expected = archive.bytes_of(STACK)
    context = multiprocessing.get_context(method)
    tasks = [(empiarfs.open(STACK), 1000, offset) for offset in range(0, 4_000_000, 500_000)]
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        found = list(pool.map(read_part, tasks))

    assert found == [expected[offset : offset + 1000] for _, _, offset in tasks]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_that_stay_share_a_data_set(archive: Served, method: str) -> None:
    words = [STACK, science.MOVIE, science.MICROGRAPH]
    tasks = [(number % 3, 500, 1000 * number) for number in range(30)]
    context = multiprocessing.get_context(method)
    with context.Pool(2) as pool:
        reader = Reader(words)
        for _ in range(2):
            found = pool.map(reader, tasks)
        pool.close()
        pool.join()

    assert found == [
        archive.bytes_of(words[number])[offset : offset + size] for number, size, offset in tasks
    ]


def test_a_child_does_not_read_another_version(monkeypatch: pytest.MonkeyPatch) -> None:
    with BrokenServer({"10934/data/x.mrc": b"a" * 200_000}) as server:
        use(monkeypatch, server.url)
        raw = pickle.dumps(empiarfs.open("10934/data/x.mrc"))
        server.put("10934/data/x.mrc", b"b" * 200_000, 1_700_000_000)
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            monkeypatch.setenv("EMPIARFS_CACHE_DIR", os.environ["EMPIARFS_CACHE_DIR"] + "-other")
            error = pool.submit(read_part, (pickle.loads(raw), 10, 0)).exception()
        empiarfs.close()

    assert isinstance(error, OSError)
    assert error.errno == errno.ESTALE


def test_a_fork_before_any_use_makes_nothing(archive: Served) -> None:
    assert in_child(inherited) == inherited()
    assert default_session()._live is None
