"""The ledger on a real disk: bounded, private, and never in anybody's way."""

from __future__ import annotations

import os
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from empiarfs.ledger import Ledger, LedgerFiles, Mark, Refusal, ledger_of, ledgers_of, place
from tests.support.waiting import wait_until

MOUNT_POINT = "/somewhere/mnt"
Make = Callable[..., Ledger]


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path)}


@pytest.fixture
def make(environ: dict[str, str]) -> Iterator[Make]:
    made: list[Ledger] = []

    def begun(mount_point: str = MOUNT_POINT, **options: Any) -> Ledger:
        ledger = Ledger(mount_point, environ, **options)
        made.append(ledger)
        ledger.begin()
        return ledger

    yield begun
    for ledger in made:
        ledger.close()


def refusal(path: str = "a.mrc", offset: int = 0) -> Refusal:
    return Refusal(time.time(), "read", path, "EIO", "no answer", offset=offset, size=4096)


def refusals_in(files: LedgerFiles) -> list[Refusal]:
    return [line for line in files.lines() if isinstance(line, Refusal)]


def marks_in(files: LedgerFiles) -> list[str]:
    return [line.what for line in files.lines() if isinstance(line, Mark)]


def test_a_refusal_is_on_disk_at_once(make: Make, environ: dict[str, str]) -> None:
    ledger = make()
    noted = refusal()
    ledger.note(noted)

    # Nobody asks for it: a daemon may be killed the next moment.
    wait_until(lambda: refusals_in(ledger_of(MOUNT_POINT, environ)) == [noted])


def test_what_comes_again_is_counted_and_not_repeated(make: Make, environ: dict[str, str]) -> None:
    ledger = make()
    ledger.note(refusal())
    assert ledger.settle(10).unwritten == ()
    for _ in range(10_000):
        ledger.note(refusal())
    assert ledger.settle(10).unwritten == ()

    counts = [each.count for each in refusals_in(ledger_of(MOUNT_POINT, environ))]
    assert sum(counts) == 10_001
    assert len(counts) <= 3


def test_counts_are_renewed_after_a_while(make: Make, environ: dict[str, str]) -> None:
    ledger = make(counts_every_s=0.2)
    ledger.note(refusal())
    ledger.note(refusal())

    def counted() -> int:
        return sum(each.count for each in refusals_in(ledger_of(MOUNT_POINT, environ)))

    wait_until(lambda: counted() == 2)


def test_the_files_are_for_us_only_whatever_the_umask(make: Make, environ: dict[str, str]) -> None:
    before = os.umask(0)
    try:
        make().settle(10)
    finally:
        os.umask(before)

    [path] = [path for path in ledger_of(MOUNT_POINT, environ).paths if path.exists()]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_symbolic_link_in_its_place_is_not_followed(
    make: Make, environ: dict[str, str], tmp_path: Path, expects_warnings: list[object]
) -> None:
    directory = place.own_directory(environ)
    assert directory is not None
    (directory / place.file_name(MOUNT_POINT)).symlink_to(tmp_path / "elsewhere")
    ledger = make()
    ledger.note(refusal())

    assert len(ledger.settle(10).unwritten) == 2
    assert not (tmp_path / "elsewhere").exists()


def test_what_can_not_be_written_is_kept_until_it_can(
    make: Make, environ: dict[str, str], expects_warnings: list[object]
) -> None:
    directory = place.own_directory(environ)
    assert directory is not None
    in_the_way = directory / place.file_name(MOUNT_POINT)
    in_the_way.mkdir()
    ledger = make()
    noted = refusal()
    ledger.note(noted)

    settled = ledger.settle(10)
    assert noted in settled.unwritten
    assert settled.trouble is not None
    assert len(expects_warnings) == 1  # once, not at each try

    in_the_way.rmdir()
    assert ledger.settle(10).unwritten == ()
    assert refusals_in(ledger_of(MOUNT_POINT, environ)) == [noted]


def test_a_line_torn_by_others_costs_no_other(make: Make, environ: dict[str, str]) -> None:
    make().settle(10)
    [path] = [path for path in ledger_of(MOUNT_POINT, environ).paths if path.exists()]
    with path.open("ab") as file:
        file.write(b'0123abcd {"line":"refusal","at_s')
    ledger = make()
    ledger.note(refusal())

    assert ledger.settle(10).unwritten == ()
    assert len(refusals_in(ledger_of(MOUNT_POINT, environ))) == 1
    assert marks_in(ledger_of(MOUNT_POINT, environ)) == ["mounted", "mounted"]


def test_it_is_bounded_on_disk_and_says_what_it_threw_away(
    make: Make, environ: dict[str, str]
) -> None:
    ledger = make(most_bytes=20_000)
    for number in range(1_000):
        ledger.note(refusal(f"{number}.mrc"))
    assert ledger.settle(20).unwritten == ()

    files = ledger_of(MOUNT_POINT, environ)
    # A batch of lines may be larger than what is left.
    assert sum(path.stat().st_size for path in files.paths if path.exists()) < 100_000
    assert "dropped" in marks_in(files)
    assert refusals_in(files)[-1].path == "999.mrc"


def test_it_is_bounded_in_memory_and_counts_what_it_can_not_keep(
    make: Make, environ: dict[str, str], expects_warnings: list[object]
) -> None:
    directory = place.own_directory(environ)
    assert directory is not None
    (directory / place.file_name(MOUNT_POINT)).mkdir()
    ledger = make()
    for number in range(10_000):
        ledger.note(refusal(f"{number}.mrc"))

    settled = ledger.settle(10)
    assert len(settled.unwritten) + settled.lost >= 10_000
    assert len(settled.unwritten) <= 2 * 4096 + 1


def test_who_notes_waits_for_no_disk(make: Make, environ: dict[str, str]) -> None:
    hanging, going_on = threading.Event(), threading.Event()

    def slowly(path: Path, data: bytes) -> None:
        hanging.set()
        assert going_on.wait(30)
        place.append(path, data)

    ledger = make(append=slowly)
    try:
        assert hanging.wait(30)
        # Would it wait, it would do so until the file can be written, which is below.
        for number in range(100):
            ledger.note(refusal(f"{number}"))
        assert len(ledger.settle(0.01).unwritten) == 100
    finally:
        going_on.set()

    assert ledger.settle(10).unwritten == ()


def test_two_mounts_have_two_ledgers_and_all_are_found(
    make: Make, environ: dict[str, str]
) -> None:
    make("/a").settle(10)
    make("/b").settle(10)

    assert [files.mount_point for files in ledgers_of(environ)] == ["/a", "/b"]


def test_the_end_is_written_down_once(make: Make, environ: dict[str, str]) -> None:
    ledger = make()
    ledger.note(refusal())
    ledger.close()
    ledger.close()

    files = ledger_of(MOUNT_POINT, environ)
    assert marks_in(files) == ["mounted", "unmounted"]
    assert len(refusals_in(files)) == 1


def test_ledgers_of_past_seasons_are_removed(make: Make, environ: dict[str, str]) -> None:
    directory = place.own_directory(environ)
    assert directory is not None
    old, recent = directory / "old-1.errors.1", directory / "recent-1.errors"
    for path, age_s in ((old, 100 * 86_400), (recent, 86_400)):
        path.write_bytes(b"")
        os.utime(path, (time.time() - age_s, time.time() - age_s))
    make().settle(10)

    assert not old.exists()
    assert recent.exists()


def test_names_of_mount_points_never_meet() -> None:
    names = {
        place.file_name(point, host)
        for point in ("/a/b", "/a-b", "/a b", "/a/b" * 100, "/")
        for host in ("n1", "n2")
    }

    assert len(names) == 10
    assert all(len(name) < 100 and "/" not in name for name in names)


def test_a_directory_that_others_can_enter_is_not_used(tmp_path: Path) -> None:
    environ = {"XDG_STATE_HOME": str(tmp_path)}
    (tmp_path / "empiarfs").mkdir()
    (tmp_path / "empiarfs" / "errors").mkdir(mode=0o755)

    assert not place.is_private(place.directories(environ)[0])


def test_ledgers_lie_below_the_state_directory() -> None:
    uid = os.getuid()
    last = Path(f"/var/tmp/empiarfs-errors-{uid}")

    assert place.directories({"HOME": "/h", "XDG_STATE_HOME": "/s"}) == (
        Path("/s/empiarfs/errors"),
        last,
    )
    assert place.directories({"HOME": "/h"}) == (Path("/h/.local/state/empiarfs/errors"), last)
    assert place.directories({"HOME": "/"})[0] != Path("/.local/state/empiarfs/errors")
