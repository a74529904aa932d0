"""Files of which there is a copy are read from it, and all others from the archive."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from empiarfs.core.blocks import PIECE_SIZE
from empiarfs.core.ranges import ByteRange
from empiarfs.errors import UnavailableError
from empiarfs.patience import Patience
from empiarfs.reader import Reader
from tests.support import tree
from tests.support.local_copies import Rig, put
from tests.support.log_guard import ExpectLog
from tests.support.waiting import wait_until

PATH, OTHER = "10934/data/x.mrc", "10934/data/y.mrc"
DATA, OTHER_DATA = tree.contents(b"x", 300_000), tree.contents(b"y", 200_000)
FILES = {PATH: DATA, OTHER: OTHER_DATA}

MakeRig = Callable[..., Rig]


def no_copy(rig: Rig, path: str, expect_log: ExpectLog, reason: str) -> None:
    """Check that a file is the archive's, and what is said of the copy."""
    expect_log(f"local copy of .* is not used.*{reason}")
    assert rig.read(path) == FILES[path]
    assert rig.counters["local_bytes"] == 0
    assert reason in rig.refused()[path]
    assert rig.counters["local_refused"] == 1


def test_what_there_is_a_copy_of_is_read_without_a_request(
    make_rig: MakeRig, tmp_path: Path
) -> None:
    put(tmp_path / PATH, DATA)
    rig = make_rig(FILES, tmp_path)

    assert rig.read(PATH) == DATA
    assert rig.read(PATH, 65_000, 70_001) == DATA[65_000:70_001]
    assert rig.requests == []
    assert rig.counters["local_bytes"] == len(DATA) + 5_001
    assert rig.counters["local_files"] == 1


def test_what_there_is_no_copy_of_is_the_archives(make_rig: MakeRig, tmp_path: Path) -> None:
    put(tmp_path / PATH, DATA)
    rig = make_rig(FILES, tmp_path)

    assert rig.read(OTHER) == OTHER_DATA
    assert {path for path, _, _ in rig.requests} == {OTHER}
    assert rig.counters["local_refused"] == 0


@pytest.mark.parametrize(
    "folder",
    ["10934", "EMPIAR-10934", "world_availability/10934", "archive.test/world_availability/10934"],
)
def test_each_layout_is_found(make_rig: MakeRig, tmp_path: Path, folder: str) -> None:
    put(tmp_path / folder / "data/x.mrc", DATA)

    rig = make_rig(FILES, tmp_path)
    assert rig.read(PATH) == DATA
    assert rig.requests == []


def test_the_entrys_own_folder_may_be_named(make_rig: MakeRig, tmp_path: Path) -> None:
    put(tmp_path / "copies/10934/data/x.mrc", DATA)

    rig = make_rig(FILES, tmp_path / "copies/10934")
    assert rig.read(PATH) == DATA
    assert rig.requests == []


def test_the_first_directory_with_a_copy_that_fits_counts(
    make_rig: MakeRig, tmp_path: Path, expect_log: ExpectLog
) -> None:
    expect_log("99 bytes instead of 300000")
    put(tmp_path / "a" / PATH, DATA[:99])
    put(tmp_path / "b" / PATH, DATA)

    rig = make_rig(FILES, tmp_path / "a", tmp_path / "b")
    assert rig.read(PATH) == DATA
    assert rig.requests == []
    assert list(rig.refused()) == [PATH]


def test_a_copy_that_does_not_fit_hides_none_in_another_layout(
    make_rig: MakeRig, tmp_path: Path
) -> None:
    put(tmp_path / PATH, DATA[:99])
    put(tmp_path / "world_availability" / PATH, DATA)

    rig = make_rig(FILES, tmp_path)
    assert rig.read(PATH) == DATA
    assert rig.requests == []


@pytest.mark.parametrize("size", [0, 1, len(DATA) - 1, len(DATA) + 1])
def test_another_size_is_not_used(
    make_rig: MakeRig, tmp_path: Path, expect_log: ExpectLog, size: int
) -> None:
    put(tmp_path / PATH, (DATA + b"more")[:size])

    no_copy(make_rig(FILES, tmp_path), PATH, expect_log, f"{size} bytes instead of 300000")


def test_a_file_that_was_written_just_now_is_not_used(
    make_rig: MakeRig, tmp_path: Path, expect_log: ExpectLog
) -> None:
    put(tmp_path / PATH, DATA)
    os.utime(tmp_path / PATH)

    no_copy(make_rig(FILES, tmp_path), PATH, expect_log, "written less than a minute ago")


def test_a_file_that_changed_in_this_very_second_is_not_used(
    make_rig: MakeRig, tmp_path: Path, expect_log: ExpectLog
) -> None:
    put(tmp_path / PATH, DATA)
    rig = make_rig(FILES, tmp_path)
    rig.ahead_ns = 0
    put(tmp_path / PATH, DATA)

    no_copy(rig, PATH, expect_log, "written less than a minute ago")


def test_a_file_with_holes_is_not_used(
    make_rig: MakeRig, tmp_path: Path, expect_log: ExpectLog
) -> None:
    put(tmp_path / PATH, DATA[:PIECE_SIZE])
    os.truncate(tmp_path / PATH, len(DATA))
    os.utime(tmp_path / PATH, (0, 0))

    no_copy(make_rig(FILES, tmp_path), PATH, expect_log, "it has holes")


def test_a_link_that_stays_inside_is_followed_and_one_that_leaves_is_not(
    make_rig: MakeRig, tmp_path: Path, expect_log: ExpectLog
) -> None:
    put(tmp_path / "copies/pool/x.mrc", DATA)
    put(tmp_path / "elsewhere/y.mrc", OTHER_DATA)
    folder = tmp_path / "copies/10934/data"
    folder.mkdir(parents=True)
    (folder / "x.mrc").symlink_to("../../pool/x.mrc")
    (folder / "y.mrc").symlink_to("../../../elsewhere/y.mrc")
    rig = make_rig(FILES, tmp_path / "copies")

    assert rig.read(PATH) == DATA
    assert rig.requests == []
    expect_log("leads out of the directory")
    assert rig.read(OTHER) == OTHER_DATA
    assert rig.requests
    assert "leads out" in rig.refused()[OTHER]


def test_a_folder_that_is_a_link_out_of_the_directory_is_not_followed(
    make_rig: MakeRig, tmp_path: Path, expect_log: ExpectLog
) -> None:
    put(tmp_path / "copies-of-others" / PATH, DATA)
    (tmp_path / "copies").mkdir()
    (tmp_path / "copies/10934").symlink_to("../copies-of-others/10934")

    no_copy(make_rig(FILES, tmp_path / "copies"), PATH, expect_log, "leads out")


def test_the_directory_itself_may_be_a_link(make_rig: MakeRig, tmp_path: Path) -> None:
    put(tmp_path / "pool" / PATH, DATA)
    (tmp_path / "copies").symlink_to("pool")

    rig = make_rig(FILES, tmp_path / "copies")
    assert rig.read(PATH) == DATA
    assert rig.requests == []


@pytest.mark.parametrize("kind", ["fifo", "directory", "socket", "device"])
def test_what_is_no_regular_file_is_not_opened(
    make_rig: MakeRig, tmp_path: Path, expect_log: ExpectLog, kind: str
) -> None:
    place = tmp_path / PATH
    place.parent.mkdir(parents=True)
    if kind == "fifo":
        os.mkfifo(place)
    elif kind == "directory":
        place.mkdir()
    elif kind == "socket":
        os.mknod(place, 0o140600)
    else:
        place.symlink_to("/dev/zero")

    no_copy(make_rig(FILES, tmp_path), PATH, expect_log, "no regular file")


def test_a_link_that_leads_nowhere_or_round_is_no_copy(
    make_rig: MakeRig, tmp_path: Path, expect_log: ExpectLog
) -> None:
    (tmp_path / "10934/data").mkdir(parents=True)
    (tmp_path / PATH).symlink_to("nowhere")
    (tmp_path / OTHER).symlink_to("y.mrc")
    rig = make_rig(FILES, tmp_path)

    assert rig.read(PATH) == DATA
    assert rig.refused() == {}
    no_copy(rig, OTHER, expect_log, "Too many levels of symbolic links")


def test_what_changes_while_it_is_open_is_given_up(
    make_rig: MakeRig, tmp_path: Path, expect_log: ExpectLog
) -> None:
    expect_log("it changed while it was read")
    copy = put(tmp_path / PATH, DATA)
    rig = make_rig(FILES, tmp_path)
    assert rig.read(PATH, 0, 10) == DATA[:10]

    with copy.open("r+b") as file:
        file.write(b"other bytes")
    os.utime(copy, (0, 0))
    assert rig.read(PATH, 0, 20) == DATA[:20]
    assert rig.requests
    # And not tried again, though its size and time fit.
    rig.local.closed(rig.archive.remote(PATH))
    rig.ahead_ns += 1000 * 10**9
    assert rig.read(PATH) == DATA
    assert rig.counters["local_bytes"] == 10


def test_what_is_cut_off_while_it_is_open_is_given_up(
    make_rig: MakeRig, tmp_path: Path, expect_log: ExpectLog
) -> None:
    expect_log("it changed while it was read")
    copy = put(tmp_path / PATH, DATA)
    rig = make_rig(FILES, tmp_path)
    assert rig.read(PATH, 0, 10) == DATA[:10]

    os.truncate(copy, 100_000)
    assert rig.read(PATH, 90_000, 110_000) == DATA[90_000:110_000]


def test_what_is_removed_while_it_is_open_is_read_on_and_not_opened_again(
    make_rig: MakeRig, tmp_path: Path
) -> None:
    copy = put(tmp_path / PATH, DATA)
    rig = make_rig(FILES, tmp_path)
    assert rig.read(PATH, 0, 10) == DATA[:10]
    copy.unlink()
    rig.local.closed(rig.archive.remote(PATH))

    assert rig.read(PATH) == DATA
    assert rig.requests


def test_another_version_in_the_archive_has_no_copy(
    make_rig: MakeRig, tmp_path: Path, expect_log: ExpectLog
) -> None:
    expect_log("300000 bytes instead of 300001")
    put(tmp_path / PATH, DATA)
    rig = make_rig(FILES, tmp_path)
    assert rig.read(PATH) == DATA

    rig.archive.files[PATH] = DATA + b"!"
    assert rig.read(PATH) == DATA + b"!"


def test_a_copy_that_comes_later_is_found(make_rig: MakeRig, tmp_path: Path) -> None:
    rig = make_rig(FILES, tmp_path)
    assert rig.read(PATH, 0, 100) == DATA[:100]
    put(tmp_path / PATH, DATA)
    rig.ahead_ns += 60 * 10**9

    assert rig.read(PATH) == DATA
    assert rig.counters["local_bytes"] == len(DATA)


def test_a_path_out_of_the_directory_is_not_looked_for(make_rig: MakeRig, tmp_path: Path) -> None:
    put(tmp_path / "outside.mrc", DATA)
    (tmp_path / "copies/10934").mkdir(parents=True)
    path = "10934/../../outside.mrc"
    rig = make_rig({path: DATA}, tmp_path / "copies")

    assert rig.read(path) == DATA
    assert rig.requests


def test_a_missing_directory_is_said_once_and_used_when_it_is_there(
    make_rig: MakeRig, tmp_path: Path, expect_log: ExpectLog
) -> None:
    expect_log("reading local copies in .* (fails.*No such file|works again)")
    rig = make_rig(FILES, tmp_path / "copies")

    assert "No such file" in rig.local.problems()[0]
    assert rig.read(PATH) == DATA
    put(tmp_path / "copies" / OTHER, OTHER_DATA)
    assert rig.local.problems() == []
    before = len(rig.requests)
    assert rig.read(OTHER) == OTHER_DATA
    assert len(rig.requests) == before


def test_nothing_is_foreseen_of_a_file_with_a_copy(make_rig: MakeRig, tmp_path: Path) -> None:
    put(tmp_path / PATH, DATA)
    more = [f"10934/data/z{number}.mrc" for number in range(2)]
    rig = make_rig(FILES | dict.fromkeys(more, OTHER_DATA), tmp_path)
    file = rig.archive.remote(PATH)

    # The second time it is known that there is one.
    for name in more:
        other = rig.archive.remote(name)
        rig.local.prefetch(file, ByteRange(0, file.size))
        rig.local.prefetch(other, ByteRange(0, other.size))
        wait_until(partial(rig.fetcher.holds, other, ByteRange(0, other.size)))
    assert {path for path, _, _ in rig.requests} == set(more)
    assert rig.local.warm(file, ByteRange(0, file.size), Patience(10.0)) == 0
    assert {path for path, _, _ in rig.requests} == set(more)


def test_a_reader_closes_its_copy(make_rig: MakeRig, tmp_path: Path) -> None:
    copy = put(tmp_path / PATH, DATA)
    rig = make_rig(FILES, tmp_path)
    reader = Reader(rig.archive.remote(PATH), rig.local)
    assert reader.read(0, 100, Patience(10.0)) == DATA[:100]
    assert open_here(copy)

    reader.close()
    wait_until(lambda: not open_here(copy))


def open_here(path: Path) -> bool:
    """Tell whether this process has a file open."""
    return any(os.path.realpath(each) == str(path) for each in Path("/proc/self/fd").iterdir())


def test_many_who_read_one_file_at_once_all_get_it(make_rig: MakeRig, tmp_path: Path) -> None:
    put(tmp_path / PATH, DATA)
    rig = make_rig(FILES, tmp_path)
    wrong: list[int] = []

    def read(number: int) -> None:
        for start in range(number, len(DATA), 10_007):
            if rig.read(PATH, start, start + 5) != DATA[start : start + 5]:
                wrong.append(start)
            rig.local.closed(rig.archive.remote(PATH))

    readers = [threading.Thread(target=read, args=(number,)) for number in range(8)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()

    assert (wrong, rig.requests) == ([], [])


def test_without_the_archive_copies_are_read_all_the_same(
    make_rig: MakeRig, tmp_path: Path
) -> None:
    put(tmp_path / PATH, DATA)
    rig = make_rig(FILES, tmp_path)
    rig.is_reachable = False
    rig.archive.failures += [UnavailableError("down", url="u")] * 50

    assert rig.read(PATH) == DATA
