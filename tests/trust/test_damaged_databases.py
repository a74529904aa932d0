"""The databases damaged, truncated, locked and removed under mounts that run.

Two mounts and a command share a cache. After each damage both mounts still are the same
processes, list every name, serve every byte, and store blocks again. A whole campaign does
each kind of damage to each file several times, `scripts/test` a few of them once.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from random import Random

import pytest

from tests.support import tree
from tests.support.apache import ApacheServer
from tests.support.campaign import is_whole, share, tally
from tests.support.mounts import Mount, mounted
from tests.support.waiting import wait_until
from tests.trust.test_damaged_cache import drop_pages

pytestmark = [
    pytest.mark.slow,
    pytest.mark.fuse,
    pytest.mark.apache,
    pytest.mark.expects_warnings,
]

FILES = 6
SIZE = 1_200_000
LIMIT = 64 * 1024 * 1024
_HEALED_S = 120.0
SPARE = "10934/data"  # each read once, to see whether it is stored

Damage = Callable[[Path, Random], None]


def truncate_to_nothing(path: Path, random: Random) -> None:
    os.truncate(path, 0)


def truncate_somewhere(path: Path, random: Random) -> None:
    os.truncate(path, random.randrange(max(1, path.stat().st_size)))


def overwrite_a_page(path: Path, random: Random) -> None:
    with path.open("r+b") as file:
        page = random.randrange(max(1, path.stat().st_size // 4096))
        os.pwrite(file.fileno(), random.randbytes(4096), page * 4096)


def overwrite_the_beginning(path: Path, random: Random) -> None:
    with path.open("r+b") as file:
        os.pwrite(file.fileno(), random.randbytes(100), 0)


def flip_bits(path: Path, random: Random) -> None:
    with path.open("r+b") as file:
        for _ in range(20):
            offset = random.randrange(max(1, path.stat().st_size))
            byte = os.pread(file.fileno(), 1, offset) or b"\0"
            os.pwrite(file.fileno(), bytes([byte[0] ^ 1 << random.randrange(8)]), offset)


def remove(path: Path, random: Random) -> None:
    path.unlink()


def replace_by_text(path: Path, random: Random) -> None:
    path.unlink()
    path.write_text("this is no database\n" * 500)


DAMAGES: tuple[Damage, ...] = (
    truncate_to_nothing,
    truncate_somewhere,
    overwrite_a_page,
    overwrite_the_beginning,
    flip_bits,
    remove,
    replace_by_text,
)
FILE_KINDS = ("cache.db", "cache.db-journal", "catalog-*.db", "catalog-*.db-journal", "current")


@pytest.fixture(scope="module")
def server() -> Iterator[ApacheServer]:
    with tree.temporary_root() as root:
        tree.make_many(root / "10511/data", FILES, size=SIZE)
        tree.make_many(root / "10028/data", FILES, size=50_000)
        tree.make_many(root / SPARE, 200, size=30_000)
        tree.set_times(root)
        with ApacheServer(root) as started:
            yield started


@pytest.fixture
def mounts(server: ApacheServer, tmp_path: Path) -> Iterator[list[Mount]]:
    """Two mounts of one cache, which have read everything."""
    cache = tmp_path / "cache"
    options = [f"cache_size={LIMIT}"]
    with (
        mounted(server.url, cache_dir=cache, options=options) as one,
        mounted(server.url, cache_dir=cache, options=options) as two,
    ):
        one.warnings_expected = two.warnings_expected = True
        pids = [one.pid, two.pid]
        check(server, [one, two], pids, "undamaged")
        yield [one, two]


def newest(cache: Path, pattern: str) -> Path | None:
    """Return the file of that name in use; None if there is none."""
    found = [path for path in cache.glob(f"v1/**/{pattern}") if path.is_file()]
    return max(found, key=lambda path: path.stat().st_mtime_ns, default=None)


def check(server: ApacheServer, mounts: list[Mount], pids: list[int], where: str) -> None:
    """Compare everything, through both mounts, past what the kernel keeps."""
    for mount in mounts:
        drop_pages(mount)
        differences = [
            line
            for entry in ("10511", "10028")
            for line in tree.differences(server.root / entry, mount.path / entry)
        ]
        tally.add("wrong_bytes", f"mount, {where}", len(differences))
        tally.add("lost_names", f"mount, {where}", len(differences))
        tally.add("names", "while databases are damaged", 2 * FILES)
        tally.add("reads", "while databases are damaged", 2 * FILES)
        assert differences == [], (where, mount.complaints()[-5:])
    assert [mount.pid for mount in mounts] == pids, where


def stores_again(mount: Mount, spare: Iterator[Path]) -> bool:
    """Read what was never read, and tell whether it is stored by and by."""
    before = mount.status()["counters"]["blocks_stored"]
    (mount.path / next(spare)).read_bytes()
    try:
        wait_until(lambda: mount.status()["counters"]["blocks_stored"] > before, 5.0, 0.5)
    except AssertionError:
        return False
    return mount.status()["cache"]["unwell"] is None


def wait_until_healed(server: ApacheServer, mounts: list[Mount]) -> None:
    """Wait until both mounts store what they fetch."""
    spare = iter(sorted(p.relative_to(server.root) for p in (server.root / SPARE).iterdir()))
    for mount in mounts:
        wait_until(partial(stores_again, mount, spare), _HEALED_S)


def test_databases_damaged_under_two_mounts_end_neither(
    server: ApacheServer, mounts: list[Mount]
) -> None:
    random = Random(11)
    cache = mounts[0].cache_dir
    pids = [mount.pid for mount in mounts]
    cases = [(kind, damage) for damage in DAMAGES for kind in FILE_KINDS] * 3
    random.shuffle(cases)
    for kind, damage in share(cases, 20):
        path = newest(cache, kind)
        if path is None:
            continue
        where = f"{kind}: {damage.__name__}".replace("_", " ")
        damage(path, random)
        tally.add("damaged_files", where)
        check(server, mounts, pids, where)
    wait_until_healed(server, mounts)
    check(server, mounts, pids, "at the end")
    assert mounts[0].command("status", mounts[0].path).returncode == 0


LOCK = """
import sqlite3, sys
held = [sqlite3.connect(path, isolation_level=None) for path in sys.argv[1:]]
for each in held:
    each.execute("PRAGMA busy_timeout = 30000")
    each.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(not is_whole(), reason="only in a whole campaign")
def test_databases_locked_by_another_process_cost_the_cache_only(
    server: ApacheServer, mounts: list[Mount]
) -> None:
    pids = [mount.pid for mount in mounts]
    files = [newest(mounts[0].cache_dir, name) for name in ("cache.db", "catalog-*.db")]
    words = [sys.executable, "-c", LOCK, *map(str, files)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as locker:
        try:
            assert locker.stdout is not None
            assert locker.stdout.readline() == b"locked\n"
            check(server, mounts, pids, "databases locked")
        finally:
            locker.kill()
    wait_until_healed(server, mounts)
    check(server, mounts, pids, "databases unlocked")


def test_a_catalog_that_lies_is_begun_anew_and_not_believed(
    server: ApacheServer, mounts: list[Mount]
) -> None:
    path = newest(mounts[0].cache_dir, "catalog-*.db")
    assert path is not None
    for mount in mounts:
        mount.umount()  # by then all that was learnt is written
    with sqlite3.connect(path) as database:
        (changed,) = database.execute("SELECT count(*) FROM versions").fetchone()
        # Each size becomes that of another page: plausible, and wrong.
        database.execute("UPDATE versions SET body = (SELECT max(body) FROM items)")
    database.close()
    tally.add("damaged_files", "catalog: sizes of others", changed)
    for mount in mounts:
        mount.mount()

    check(server, mounts, [mount.pid for mount in mounts], "lying catalog")
    assert changed > 0
    assert sum(mount.status()["counters"]["catalog_rejects"] for mount in mounts) > 0
