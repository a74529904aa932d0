"""All processes of the machine together keep to the limit, and nothing of it can hang."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import logging
import os
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from empiarfs.archive import watch
from empiarfs.archive.rate import RateLimit
from empiarfs.archive.rate_file import RateFile, machine_file
from empiarfs.core import reachability
from empiarfs.core.pacing import BURST_NS, SECOND_NS
from empiarfs.core.ranges import ByteRange
from empiarfs.errors import GaveUpError, InterruptedCallError
from empiarfs.patience import Patience
from empiarfs.stats import Counters
from tests.archive.conftest import MakeClient
from tests.support.broken_server import BrokenServer
from tests.support.ranges import read, remote_file
from tests.support.users import CHECKOUT, require_root
from tests.support.waiting import wait_until

LIMIT = 4_000_000


class Clock:
    """Seconds that go when they are told to."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def always() -> bool:
    return True


def never() -> bool:
    return False


def deadline() -> Callable[[], None]:
    """A check that fails a test which would wait for ever."""
    return Patience(60).check


def paid_for(path: Path, seconds: float) -> None:
    """Write as if everything were paid for so many seconds from here on."""
    until_ns = time.monotonic_ns() + int(seconds * SECOND_NS)
    path.write_bytes(struct.pack("<q", until_ns))


def start_in_order(limit: RateLimit, threads: list[threading.Thread]) -> None:
    """Start threads, each when the one before waits for the limit."""
    for count, thread in enumerate(threads, 1):
        thread.start()
        wait_until(partial(lambda count: len(limit._turns) == count, count))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rate"


@contextlib.contextmanager
def worker(path: Path, limit: int, *words: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.rate_worker", str(path), str(limit), *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=CHECKOUT,
    )
    with process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


def tell(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()


def received(processes: list[subprocess.Popen[str]], seconds: float) -> tuple[list[int], float]:
    """Let the workers receive for a while; return their bytes, and how long it was."""
    began_s = time.monotonic()
    for process in processes:
        tell(process, "go")
    time.sleep(seconds)  # what is measured is what comes in a time
    for process in processes:
        process.kill()
    took_s = time.monotonic() - began_s
    counts = [sum(map(int, process.communicate()[0].split())) for process in processes]
    return counts, took_s


@pytest.mark.slow
def test_two_processes_together_keep_to_one_limit(path: Path) -> None:
    with worker(path, LIMIT) as first, worker(path, LIMIT) as second:
        counts, took_s = received([first, second], 2.5)

    # Above it they may never be; below it a busy machine may keep them. Two steps are paid
    # for one after the other, so that one of them may be counted on its way.
    assert sum(counts) <= LIMIT * (took_s + BURST_NS / SECOND_NS) + 2 * 262_144
    assert sum(counts) >= 0.7 * LIMIT * took_s
    assert min(counts) > 0


def test_who_is_in_a_hurry_comes_before_another_process_that_is_not(path: Path) -> None:
    now_ns = 10**15
    path.write_bytes(struct.pack("<q", now_ns))
    foreseen = RateLimit(1_000_000, RateFile(path), lambda: now_ns)
    hurried = RateLimit(1_000_000, RateFile(path), lambda: now_ns)
    thread = threading.Thread(target=foreseen.wait_for, args=(1000, never, deadline()))
    thread.start()
    wait_until(lambda: foreseen._turns)
    hurried.wait_for(1000, always, deadline())
    (paid_ns,) = struct.unpack("<q", path.read_bytes())
    # Exactly one thousandth of a second was paid for, and the other still waits.
    assert paid_ns == now_ns + 1_000_000
    assert foreseen._turns

    now_ns += 4_000_000
    thread.join()
    foreseen.close()
    hurried.close()


def test_a_process_that_dies_with_the_lock_holds_nobody_up(path: Path) -> None:
    limit = RateLimit(LIMIT, RateFile(path))
    limit.wait_for(1, always, deadline())
    with worker(path, LIMIT) as holder:
        tell(holder, "lock")
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        # Stopped, or slow to die: the others go on by their own number.
        limit.wait_for(1, always, deadline())
        holder.kill()
        holder.wait()
    shared = RateFile(path)

    assert shared.change(lambda paid: (paid, 7)) == 7
    shared.close()
    limit.close()


def test_who_has_the_lock_for_a_moment_is_waited_for(path: Path) -> None:
    clock = Clock()
    shared = RateFile(path, clock)
    assert shared.change(lambda paid: (5, 1)) == 1
    holder = os.open(path, os.O_RDWR)
    fcntl.flock(holder, fcntl.LOCK_EX)

    assert shared.change(lambda paid: (paid, 1)) is None
    clock.now_s = 0.1
    assert shared.change(lambda paid: (paid, 1)) is None
    clock.now_s = 0.25
    assert shared.change(lambda paid: (paid + 1, paid)) == 5
    os.close(holder)
    # What was spent meanwhile isn't forgotten by this process, nor forced on the others.
    assert shared.change(lambda paid: (paid, paid)) == 5
    shared.close()


def test_a_file_that_was_removed_is_made_again_by_all(path: Path) -> None:
    clock = Clock()
    first, second = RateFile(path, clock), RateFile(path, clock)
    first.change(lambda paid: (10, 0))
    second.change(lambda paid: (20, 0))
    path.unlink()
    clock.now_s = 2.0

    first.change(lambda paid: (30, 0))
    newcomer = RateFile(path, clock)

    assert second.change(lambda paid: (paid, paid)) == 30
    assert newcomer.change(lambda paid: (paid, paid)) == 30
    for shared in (first, second, newcomer):
        shared.close()


@pytest.mark.parametrize("kind", ["link", "folder", "long", "named twice"])
def test_what_is_not_such_a_file_is_left_alone(
    path: Path, tmp_path: Path, kind: str, expects_warnings: list[logging.LogRecord]
) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"somebody's bytes" if kind == "long" else b"12345678")
    if kind == "link":
        path.symlink_to(victim)
    elif kind == "folder":
        path.mkdir()
    elif kind == "long":
        path.write_bytes(victim.read_bytes())
    else:
        path.hardlink_to(victim)
    before = victim.read_bytes()
    shared = RateFile(path)

    assert [shared.change(lambda paid: (paid + 1, paid)) for _ in range(3)] == [0, 1, 2]
    assert victim.read_bytes() == before
    assert [record.getMessage()[:45] for record in expects_warnings] == [
        "--limit-rate counts for this process only, si"
    ]
    shared.close()


def test_a_time_far_ahead_costs_nothing(path: Path) -> None:
    paid_for(path, 1e6)
    limit = RateLimit(LIMIT, RateFile(path))

    limit.wait_for(100, always, deadline())
    limit.close()


def test_another_user_shares_the_file(path: Path) -> None:
    require_root()
    os.chmod(path.parent, 0o777)
    first = RateFile(path)
    first.change(lambda paid: (12345, 0))
    status = path.stat()
    os.chown(path, 65534, 65534)
    second = RateFile(path)

    assert status.st_mode & 0o777 == 0o666
    assert second.change(lambda paid: (paid, paid)) == 12345
    first.close()
    second.close()


def test_the_machine_has_one_file_for_each_network(path: Path) -> None:
    namespace = os.stat("/proc/self/ns/net").st_ino

    assert machine_file("empiarfs") == Path(f"/dev/shm/empiarfs-rate-{namespace}")


def test_what_is_waited_for_comes_before_what_is_foreseen(path: Path) -> None:
    paid_for(path, 50)
    limit = RateLimit(1_000_000, RateFile(path))
    order: list[str] = []
    turned = threading.Event()
    urgencies = {"foreseen": never, "later urgent": turned.is_set, "urgent": always}

    def receive(name: str) -> None:
        limit.wait_for(60_000, urgencies[name], deadline())
        order.append(name)

    threads = [threading.Thread(target=receive, args=(name,)) for name in urgencies]
    start_in_order(limit, threads)
    turned.set()
    paid_for(path, 0)
    for thread in threads:
        thread.join()

    assert order == ["later urgent", "urgent", "foreseen"]
    limit.close()


def test_answers_that_have_begun_come_before_requests_still_to_be_sent(path: Path) -> None:
    paid_for(path, 50)
    limit = RateLimit(1_000_000, RateFile(path))
    order: list[tuple[bool, bool]] = []

    def receive(urgent: bool, has_begun: bool) -> None:
        limit.wait_for(60_000, lambda: urgent, deadline(), has_begun=has_begun)
        order.append((urgent, has_begun))

    kinds = [(False, False), (False, True), (True, False), (True, True)]
    threads = [threading.Thread(target=receive, args=kind) for kind in kinds]
    start_in_order(limit, threads)
    paid_for(path, 0)
    for thread in threads:
        thread.join()

    assert order == kinds[::-1]
    limit.close()


def test_no_more_is_asked_for_than_the_limit_lets_come(
    make_client: MakeClient, server: BrokenServer, path: Path
) -> None:
    server.put("big", bytes(131_072))
    client = make_client(server, limit_rate=400_000)
    paid_for(path, 0)
    file = remote_file(client, "big", 131_072)
    threads = [threading.Thread(target=read, args=(client, file)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(server.requests) == 6
    # One as a rule; another begins when the first comes late to its next step.
    assert server.peak_connections <= 3


def test_waiting_for_the_limit_does_not_make_the_archive_unreachable(
    make_client: MakeClient,
    server: BrokenServer,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reachability, "SILENCE_S", 0.2)
    server.put("big", bytes(200_000))
    client = make_client(server, limit_rate=65_536)

    def buffers() -> Iterator[memoryview]:
        yield memoryview(bytearray(65_536))
        paid_for(path, 50)
        yield memoryview(bytearray(65_536))

    for _ in range(3):
        paid_for(path, 0)
        with pytest.raises(GaveUpError):
            client.read_range(
                remote_file(client, "big", 200_000),
                ByteRange(0, 131_072),
                buffers(),
                urgent=True,
                patience=Patience(1.0),
            )

    assert client.reachability == "online"


def test_who_stops_waiting_is_in_nobodys_way(path: Path) -> None:
    paid_for(path, 0.3)
    limit = RateLimit(LIMIT, RateFile(path))
    calls = itertools.count()

    def check() -> None:
        if next(calls) == 2:
            raise InterruptedCallError("no longer")

    with pytest.raises(InterruptedCallError):
        limit.wait_for(1000, always, check)

    limit.wait_for(1000, always, deadline())
    limit.close()


def test_a_rate_of_nothing_is_refused(path: Path) -> None:
    with pytest.raises(ValueError, match="at least"):
        RateLimit(0, RateFile(path))


def test_a_reader_that_waits_for_the_limit_can_give_up(
    make_client: MakeClient, server: BrokenServer, path: Path
) -> None:
    server.put("big", bytes(200_000))
    client = make_client(server, limit_rate=65_536)
    paid_for(path, 50)

    with pytest.raises(GaveUpError):
        client.read_range(
            remote_file(client, "big", 200_000),
            ByteRange(0, 100_000),
            iter([memoryview(bytearray(100_000))]),
            urgent=True,
            patience=Patience(0.5),
        )
    # What has no body isn't limited.
    assert client.head("big", patience=Patience(30)).version is not None


def test_the_end_of_the_client_ends_the_wait(
    make_client: MakeClient, server: BrokenServer, path: Path
) -> None:
    server.put("big", bytes(200_000))
    client = make_client(server, limit_rate=65_536)
    paid_for(path, 50)
    raised: list[BaseException] = []

    def receive() -> None:
        try:
            client.listing("", patience=Patience(60))
        except InterruptedCallError as exc:
            raised.append(exc)

    thread = threading.Thread(target=receive)
    thread.start()
    wait_until(lambda: server.requests)
    client.close()
    thread.join(20)

    assert len(raised) == 1


def test_waiting_for_the_limit_is_not_taken_for_a_stall(
    make_client: MakeClient, server: BrokenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As 64 KiB/s beside 1 KiB/s over 10 s, only quicker: the limit is below the least rate.
    monkeypatch.setattr(watch, "WINDOW_S", 0.2)
    content = os.urandom(300_000)
    server.put("big", content)
    client = make_client(server, limit_rate=400_000, min_rate=1_000_000)

    assert read(client, remote_file(client, "big", 300_000), piece=65_536) == content


def test_all_bytes_of_bodies_are_paid_for(
    make_client: MakeClient, server: BrokenServer, path: Path, counters: Counters
) -> None:
    server.put("folder/big", bytes(150_000))
    client = make_client(server, limit_rate=10_000_000)
    began_ns = time.monotonic_ns()
    paid_for(path, 0)
    client.listing("folder", patience=Patience(30))
    read(client, remote_file(client, "folder/big", 150_000))
    read(client, remote_file(client, "folder/big", 150_000), urgent=False)
    (paid_ns,) = struct.unpack("<q", path.read_bytes())

    assert counters["network_bytes"] > 300_000
    # No less than their price from where it began; more only if there was a long pause.
    assert paid_ns - began_ns >= counters["network_bytes"] * 100 - BURST_NS
