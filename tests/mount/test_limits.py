"""What a mount does where the machine gives it less: descriptors, log, address space, clock."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support import tree
from tests.support.apache import ApacheServer
from tests.support.clocks import MovedClock
from tests.support.mounts import Mount, mounted
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.fuse, pytest.mark.apache]

DATA = "10002/data"
COUNT = 40
SIZE = 300_000
_YEAR_S = 365 * 86_400.0


def name(number: int) -> str:
    return f"{DATA}/movie_{number:02d}.mrcs"


def contents(number: int) -> bytes:
    return tree.contents(b"%d" % number, SIZE)


@pytest.fixture
def server(root: Path) -> Iterator[ApacheServer]:
    for number in range(COUNT):
        tree.write_file(root / name(number), contents(number))
    tree.set_times(root)
    with ApacheServer(root) as started:
        yield started


def digests(mount: Mount, numbers: Sequence[int]) -> dict[int, bytes | None]:
    """Read files at once, each by a program with a deadline; None for one that can't be."""

    def read(number: int) -> bytes | None:
        done = mount.run("cat", mount.path / name(number), timeout_s=120)
        return done.stdout if done.returncode == 0 else None

    with ThreadPoolExecutor(8) as pool:
        return dict(zip(numbers, pool.map(read, numbers), strict=True))


def check(found: dict[int, bytes | None], *, all_of_them: bool) -> None:
    wrong = [n for n, data in found.items() if data is not None and data != contents(n)]
    assert wrong == []
    if all_of_them:
        assert [number for number, data in found.items() if data is None] == []


@contextmanager
def limited(mount: Mount, kind: int, limit: int) -> Iterator[None]:
    """Limit the mount's process for a while."""
    pid = mount.pid
    before = resource.prlimit(pid, kind)
    resource.prlimit(pid, kind, (limit, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, kind, before)


def test_without_any_nothing_wrong_is_read_and_all_is_well_afterwards(
    server: ApacheServer,
) -> None:
    with mounted(server.url, options=["wait=3s"]) as mount:
        mount.warnings_expected = True
        os.listdir(mount.path / DATA)
        open_now = len(os.listdir(f"/proc/{mount.pid}/fd"))
        with limited(mount, resource.RLIMIT_NOFILE, open_now):
            check(digests(mount, range(12)), all_of_them=False)

        # What could not be had is refused at once for half a minute.
        wait_until(lambda: None not in digests(mount, range(12)).values(), 90)
        check(digests(mount, range(COUNT)), all_of_them=True)


def test_a_read_waits_for_descriptors_as_for_the_archive(server: ApacheServer) -> None:
    with mounted(server.url, options=["wait=120s"]) as mount:
        mount.warnings_expected = True
        os.stat(mount.path / name(1))
        # A line that is there needs none.
        wait_until(lambda: mount.status()["connections"] == 0, 60)
        with ThreadPoolExecutor(1) as pool:
            with limited(mount, resource.RLIMIT_NOFILE, 3):
                reading = pool.submit(digests, mount, [1])
                with pytest.raises(TimeoutError):
                    reading.result(timeout=1.0)
            check(reading.result(timeout=120), all_of_them=True)


def test_status_answers_again_once_there_are_descriptors(server: ApacheServer) -> None:
    with mounted(server.url) as mount:
        mount.warnings_expected = True
        with limited(mount, resource.RLIMIT_NOFILE, 3):
            mount.command("status", mount.path, "--json")

        wait_until(lambda: mount.command("status", mount.path, "--json").returncode == 0, 60)


def test_a_full_device_for_a_log_changes_nothing(server: ApacheServer) -> None:
    with mounted(server.url) as mount:
        mount.warnings_expected = True
        mount.umount()
        _mount_with_log(mount, Path("/dev/full"))
        check(digests(mount, range(COUNT)), all_of_them=True)
        mount.umount()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts a small disk")
def test_a_full_disk_for_a_log_changes_nothing_and_logs_again_with_room(
    server: ApacheServer, tmp_path: Path
) -> None:
    with small_disk(tmp_path) as disk, mounted(server.url) as mount:
        mount.warnings_expected = True
        mount.umount()
        _mount_with_log(mount, disk / "log")
        filler = disk / "filler"
        _fill(filler)
        check(digests(mount, range(20)), all_of_them=True)
        size = (disk / "log").stat().st_size

        filler.unlink()
        check(digests(mount, range(20, COUNT)), all_of_them=True)
        mount.umount()
        assert (disk / "log").stat().st_size > size


@contextmanager
def small_disk(where: Path) -> Iterator[Path]:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", where], check=True)
    try:
        yield where
    finally:
        subprocess.run(["umount", "-l", where], check=True)


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(1024))
        except OSError:
            return


def _mount_with_log(mount: Mount, log: Path) -> None:
    words: list[str | Path] = ["mount", mount.path, "--archive-url", mount.archive_url]
    words += ["--cache-dir", mount.cache_dir, "--log-file", log, "--log-level", "debug"]
    done = mount.command(*words)
    assert done.returncode == 0, done.stderr


def test_a_mount_without_any_is_right_or_ends(server: ApacheServer) -> None:
    with mounted(server.url, options=["wait=3s"]) as mount:
        mount.expect_log("")  # whatever it still can say
        os.listdir(mount.path / DATA)
        pid = mount.pid
        limit = _address_space(pid) + 65_536
        resource.prlimit(pid, resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))

        check(digests(mount, range(12)), all_of_them=False)
        if _is_mounted_and_answers(mount):
            no_limit = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
            resource.prlimit(pid, resource.RLIMIT_AS, no_limit)
            mount.umount()
        mount.mount()
        check(digests(mount, range(COUNT)), all_of_them=True)


def test_a_soft_limit_is_lifted_and_a_hard_one_is_told(server: ApacheServer) -> None:
    with mounted(server.url) as mount:
        mount.umount()
        mount.expect_log("address space is limited to 40960 MB")
        words = ["mount", str(mount.path), "--archive-url", mount.archive_url]
        words += [
            "--cache-dir",
            str(mount.cache_dir),
            "--log-file",
            str(mount.path.parent / "log"),
        ]
        shell = 'ulimit -S -v 4000000; ulimit -H -v 40000000; exec "$@"'
        python = [sys.executable, "-m", "empiarfs"]
        done = mount.run("bash", "-c", shell, "bash", *python, *words)

        assert done.returncode == 0, done.stderr
        soft, hard = resource.prlimit(mount.pid, resource.RLIMIT_AS)
        assert soft == hard == 40_000_000 * 1024
        check(digests(mount, range(5)), all_of_them=True)


def _is_mounted_and_answers(mount: Mount) -> bool:
    return mount.is_mounted and mount.run("ls", mount.path).returncode == 0


def _address_space(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
    return pages * resource.getpagesize()


@pytest.mark.parametrize("jump_s", [-_YEAR_S, -600.0, _YEAR_S])
def test_everything_is_served_and_listed_once_more(server: ApacheServer, jump_s: float) -> None:
    with MovedClock() as clock, mounted(server.url, env=clock.environment) as mount:
        names = sorted(os.listdir(mount.path / DATA))
        check(digests(mount, range(10)), all_of_them=True)
        clock.move(jump_s)
        mark = server.mark()
        for _ in range(20):
            assert sorted(os.listdir(mount.path / DATA)) == names
        check(digests(mount, range(COUNT)), all_of_them=True)
        listed = [each for each in server.requests_since(mark) if each.path.endswith("data/")]

        assert len(listed) == 1
        mount.remount()
        assert sorted(os.listdir(mount.path / DATA)) == names
        check(digests(mount, range(COUNT)), all_of_them=True)


def test_without_the_archive_a_clock_set_back_loses_nothing(server: ApacheServer) -> None:
    with (
        MovedClock() as clock,
        mounted(server.url, env=clock.environment, options=["wait=3s"]) as mount,
    ):
        mount.warnings_expected = True
        names = sorted(os.listdir(mount.path / DATA))
        check(digests(mount, range(10)), all_of_them=True)
        server.stop()
        clock.move(-_YEAR_S)

        assert sorted(os.listdir(mount.path / DATA)) == names
        check(digests(mount, range(10)), all_of_them=True)
        mount.remount()
        assert sorted(os.listdir(mount.path / DATA)) == names
        check(digests(mount, range(10)), all_of_them=True)
