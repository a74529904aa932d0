"""SIGKILL at random moments while the cache is written: right bytes always, and the limit.

Writers of their own are killed by the hundred, some at once, while readers in this process
compare every byte that the cache gives out; and daemons of real mounts, by the dozen, while
programs read. A whole campaign kills 220, `scripts/test` a tenth.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random

import pytest

from empiarfs.cache.disk import DiskBlockStore
from empiarfs.cache.eviction import MIN_LIMIT
from empiarfs.stats import Counters
from tests.cache.blocks import block_files, bytes_on_disk
from tests.cache.test_bound import wrong_blocks
from tests.support import tree
from tests.support.apache import ApacheServer
from tests.support.campaign import is_whole, tally
from tests.support.mounts import Mount, mounted
from tests.support.waiting import wait_until

pytestmark = pytest.mark.expects_warnings

WRITERS_KILLED = 200 if is_whole() else 16
MOUNTS_KILLED = 20 if is_whole() else 2
AT_ONCE = 4


def kill_writers(folder: Path, times: int) -> subprocess.Popen[bytes]:
    """Start a process that has so many writers killed, one after another."""
    words = [sys.executable, "-m", "tests.cache.writer", "crash", folder, MIN_LIMIT, times]
    return subprocess.Popen(list(map(str, words)))


@pytest.mark.slow
def test_writers_killed_at_once_leave_no_wrong_byte(tmp_path: Path) -> None:
    killers = [kill_writers(tmp_path, WRITERS_KILLED // AT_ONCE) for _ in range(AT_ONCE)]
    store = DiskBlockStore(tmp_path, MIN_LIMIT, Counters())
    wrong: list[str] = []
    highest = 0
    while any(killer.poll() is None for killer in killers):
        highest = max(highest, bytes_on_disk(tmp_path))
        wrong += wrong_blocks(store)
    assert [killer.wait() for killer in killers] == [0] * AT_ONCE
    wrong += wrong_blocks(store)
    tally.add("kills", "a writer", WRITERS_KILLED // AT_ONCE * AT_ONCE)
    tally.add("wrong_bytes", "cache, writers killed", len(wrong))

    assert wrong == []
    assert highest <= MIN_LIMIT
    # What the killed left is removed, and what is there is what the rows say.
    assert store.sweep(age_s=-1) is not None
    assert wrong_blocks(store) == []
    assert len(block_files(tmp_path)) == store.usage().blocks
    assert store.usage().unwell is None
    assert bytes_on_disk(tmp_path) <= MIN_LIMIT
    store.close()


# -- daemons -------------------------------------------------------------------------------

FILES = 12
SIZE = 3 * 1024 * 1024 + 7


@pytest.fixture(scope="module")
def server() -> Iterator[ApacheServer]:
    with tree.temporary_root() as root:
        tree.make_many(root / "10511/data", FILES, size=SIZE)
        tree.set_times(root)
        with ApacheServer(root) as started:
            yield started


@contextmanager
def reading(mount: Mount, expected: dict[str, bytes]) -> Iterator[list[str]]:
    """Have files read over and over by threads; yield the list of what was wrong."""
    wrong: list[str] = []
    ended = threading.Event()

    def read(seed: int) -> None:
        random = Random(seed)
        while not ended.is_set():
            name = random.choice(sorted(expected))
            # A daemon that is killed fails its readers, and that is all that it may do.
            with suppress(OSError):
                data = (mount.path / "10511/data" / name).read_bytes()
                if data != expected[name]:
                    wrong.append(name)
                tally.add("reads", "while daemons are killed")

    with ThreadPoolExecutor(4) as pool:
        for seed in range(4):
            pool.submit(read, seed)
        try:
            yield wrong
        finally:
            ended.set()


def kill_daemon(mount: Mount) -> None:
    pid = mount.pid
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), 30)


@pytest.mark.slow
@pytest.mark.fuse
@pytest.mark.apache
def test_a_daemon_killed_while_it_stores_leaves_no_wrong_byte(
    server: ApacheServer, tmp_path: Path
) -> None:
    root = server.root / "10511/data"
    expected = {path.name: path.read_bytes() for path in root.iterdir()}
    random = Random(5)
    options = ["cache_size=24M"]
    with (
        mounted(server.url, cache_dir=tmp_path / "cache", options=options) as killed,
        mounted(server.url, cache_dir=tmp_path / "cache", options=options) as other,
    ):
        killed.warnings_expected = other.warnings_expected = True
        wrong: list[str] = []
        for _ in range(MOUNTS_KILLED):
            with reading(killed, expected) as found:
                wait_until(lambda: killed.status()["counters"]["blocks_stored"] > 0, 60)
                time.sleep(random.random() * 0.2)  # a random moment is the point
                kill_daemon(killed)
            wrong += found
            killed.mount()
            name = random.choice(sorted(expected))
            for mount in (other, killed):
                same = (mount.path / "10511/data" / name).read_bytes() == expected[name]
                wrong += [] if same else [name]
            assert bytes_on_disk(tmp_path / "cache/v1/blocks-1") <= 24 * 1024 * 1024
        tally.add("kills", "a daemon", MOUNTS_KILLED)
        tally.add("wrong_bytes", "mount, daemons killed", len(wrong))

        assert wrong == []
        assert tree.differences(server.root, killed.path) == []
        assert killed.status()["cache"]["unwell"] is None
        assert "damaged" not in other.log
