"""A machine that gives no more threads: calls fail in time, and all is well afterwards."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from empiarfs import threads
from empiarfs.archive.later import Later
from empiarfs.archive.sockets import Resolver, look_up
from empiarfs.cache.threads import CacheThreads
from empiarfs.errors import CacheError, GaveUpError
from empiarfs.patience import Patience
from tests.support.broken_server import BrokenServer, Fault
from tests.support.tree import contents
from tests.support.trust_rig import TrustRig
from tests.support.waiting import wait_until

pytestmark = pytest.mark.expects_warnings

FILES = {f"10002/data/{n}.mrc": contents(b"%d" % n, 300_000) for n in range(20)}


class Machine:
    """Has threads for us, or hasn't."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_exhausted = False
        start = threading.Thread.start

        def start_or_not(thread: threading.Thread) -> None:
            if self.is_exhausted and thread.name.startswith("empiarfs"):
                raise RuntimeError("can't start new thread")
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", start_or_not)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


@pytest.fixture
def rig(machine: Machine, tmp_path: Path) -> Iterator[TrustRig]:
    with BrokenServer(FILES) as server:
        made = TrustRig(server.url, tmp_path / "cache")
        made.files.attributes("10002/data", Patience(60.0))
        made.catalog.flush(30.0)
        yield made
        machine.is_exhausted = False
        problems = made.settle() + made.close()
        assert problems == []


def read(rig: TrustRig, path: str, wait_s: float) -> bytes:
    opened = rig.files.open(path, Patience(wait_s))
    try:
        return rig.files.read(opened.handle, 0, 131_072, Patience(wait_s))
    finally:
        rig.files.release(opened.handle)


def test_a_thread_is_started_or_that_is_said(machine: Machine) -> None:
    called: list[Any] = []
    thread = threads.start("test", called.append, 7)
    assert thread is not None
    thread.join()
    machine.is_exhausted = True

    assert called == [7]
    assert thread.name == "empiarfs-test"
    assert threads.start("test", called.append, 8) is None


def test_a_look_up_fails_at_once_and_is_answered_later(machine: Machine, rig: TrustRig) -> None:
    path = next(iter(FILES))
    machine.is_exhausted = True
    for _ in range(2):
        began_s = time.monotonic()
        with pytest.raises(GaveUpError, match="no thread"):
            rig.files.attributes(path, Patience(60.0))
        assert time.monotonic() - began_s < 30.0
    machine.is_exhausted = False

    for each, data in FILES.items():
        assert rig.files.attributes(each, Patience(60.0)).size == len(data)


def test_a_read_fails_in_its_time_and_succeeds_later(machine: Machine, rig: TrustRig) -> None:
    path = next(iter(FILES))
    rig.files.attributes(path, Patience(60.0))
    machine.is_exhausted = True
    with pytest.raises(GaveUpError):
        read(rig, path, 1.0)
    machine.is_exhausted = False

    for each, content in FILES.items():
        assert read(rig, each, 60.0) == content[:131_072]


def test_a_read_that_waits_goes_on_with_the_first_thread(machine: Machine, rig: TrustRig) -> None:
    path, data = next(iter(FILES.items()))
    rig.files.attributes(path, Patience(60.0))
    machine.is_exhausted = True
    soon = threading.Timer(1.0, lambda: setattr(machine, "is_exhausted", False))
    soon.start()

    assert read(rig, path, 60.0) == data[:131_072]
    soon.join()


def test_a_request_that_is_late_is_not_asked_for_twice_and_goes_on(
    machine: Machine, tmp_path: Path
) -> None:
    with BrokenServer(FILES) as server:
        rig = TrustRig(server.url, tmp_path / "cache")
        try:
            rig.files.attributes("10002/data", Patience(60.0))
            machine.is_exhausted = True
            server.fault(lambda request: request.method == "HEAD", Fault.delay(0.8))
            assert rig.client.head(next(iter(FILES)), patience=Patience(60.0)).version is not None
        finally:
            machine.is_exhausted = False
            problems = rig.settle() + rig.close()
        assert problems == []


def test_a_delayed_action_is_done_with_the_next_one(machine: Machine) -> None:
    done: list[int] = []
    later = Later()
    machine.is_exhausted = True
    later.after(0.0, lambda: done.append(1))
    machine.is_exhausted = False
    later.after(0.0, lambda: done.append(2))

    wait_until(lambda: done == [1, 2], 10.0)


def test_work_for_the_disk_is_refused_rather_than_forgotten(machine: Machine) -> None:
    disk = CacheThreads("test", 2)
    machine.is_exhausted = True
    with pytest.raises(CacheError):
        disk.call(lambda: 1, 60.0)
    machine.is_exhausted = False

    assert disk.call(lambda: 2, 60.0) == 2
    disk.close(10.0)


def test_a_name_is_asked_for_anew(machine: Machine) -> None:
    resolver = Resolver(look_up)
    machine.is_exhausted = True
    with pytest.raises(OSError, match="no thread"):
        resolver.addresses("127.0.0.1", 80, until_s=time.monotonic() + 60.0, check=lambda: None)
    machine.is_exhausted = False
    wait_until(lambda: _resolves(resolver), 10.0)


def _resolves(resolver: Resolver) -> bool:
    try:
        until_s = time.monotonic() + 10.0
        return bool(resolver.addresses("127.0.0.1", 80, until_s=until_s, check=lambda: None))
    except OSError:
        return False
