"""Disks of local copies that fail, hang and go away: the archive's bytes are read instead."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import tree
from tests.support.disks import FaultyDisk, faulty_disk
from tests.support.local_copies import Rig, put
from tests.support.log_guard import ExpectLog
from tests.support.waiting import wait_until

pytestmark = pytest.mark.fuse

PATH, OTHER = "10934/data/x.mrc", "10934/data/y.mrc"
DATA, OTHER_DATA = tree.contents(b"x", 300_000), tree.contents(b"y", 200_000)
FILES = {PATH: DATA, OTHER: OTHER_DATA}

MakeRig = Callable[..., Rig]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[FaultyDisk]:
    with faulty_disk(tmp_path) as made:
        put(made.behind / PATH, DATA)
        put(made.behind / OTHER, OTHER_DATA)
        yield made


@pytest.fixture
def rig(disk: FaultyDisk, make_rig: MakeRig) -> Iterator[Rig]:
    made: Rig = make_rig(FILES, disk.path)
    yield made
    made.close()  # before the disk goes, so that nothing on it is open


def test_a_file_over_a_network_is_read(rig: Rig) -> None:
    assert rig.read(PATH) == DATA
    assert rig.read(PATH, 100, 200_000) == DATA[100:200_000]
    assert rig.requests == []


@pytest.mark.parametrize(
    ("call", "number"),
    [
        ("read", errno.EIO),
        ("read", errno.ESTALE),
        ("open", errno.EACCES),
        ("open", errno.EIO),
    ],
)
def test_a_file_that_can_not_be_read_is_the_archives_and_others_are_not(
    disk: FaultyDisk, rig: Rig, expect_log: ExpectLog, call: str, number: int
) -> None:
    expect_log("is not used")
    disk.fail({call: number}, "x.mrc")

    assert rig.read(PATH) == DATA
    assert rig.read(OTHER) == OTHER_DATA
    assert {path for path, _, _ in rig.requests} == {PATH}
    assert list(rig.refused()) == [PATH]
    assert rig.counters["local_refused"] == 1


def test_an_error_in_the_middle_costs_no_byte(
    disk: FaultyDisk, rig: Rig, expect_log: ExpectLog
) -> None:
    expect_log("Input/output error")
    assert rig.read(PATH, 0, 70_000) == DATA[:70_000]

    disk.fail({"read": errno.EIO})
    assert rig.read(PATH, 70_000, 300_000) == DATA[70_000:]


def test_a_disk_that_hangs_is_left_alone_and_one_that_is_back_is_used(
    disk: FaultyDisk, rig: Rig, expect_log: ExpectLog
) -> None:
    expect_log("reading local copies in .* (fails|works again)")
    assert rig.read(PATH, 0, 100) == DATA[:100]
    disk.hang()

    assert rig.read(PATH) == DATA
    assert {path for path, _, _ in rig.requests} == {PATH}
    assert rig.read(OTHER, 0, 100) == OTHER_DATA[:100]  # nobody else waits for it
    assert "no answer within" in str(rig.local.status()["directories"])
    disk.wake()
    wait_until(lambda: rig.local.problems() == [], 30)
    before = rig.counters["local_bytes"]
    wait_until(lambda: rig.read(OTHER) == OTHER_DATA and rig.counters["local_bytes"] > before, 30)


def test_a_disk_that_is_gone_is_left_alone(
    disk: FaultyDisk, rig: Rig, expect_log: ExpectLog
) -> None:
    expect_log("reading local copies in .* fails|is not used")
    assert rig.read(PATH, 0, 100) == DATA[:100]
    disk.die()

    assert rig.read(PATH) == DATA
    assert rig.read(OTHER) == OTHER_DATA
    assert "not connected" in str(rig.local.status()["directories"])
