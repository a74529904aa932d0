"""Archives that are not wrong in one answer, but odd for as long as one looks.

Files that change and shrink while they are read, back ends that don't agree with each other,
connections that are refused, a listing that takes a hundred megabytes.
"""

from __future__ import annotations

import errno
import itertools
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from empiarfs.core.blocks import PIECE_SIZE
from empiarfs.errors import EmpiarFSError
from empiarfs.fuse.errnos import errno_for
from empiarfs.patience import Patience
from tests.support.broken_server import DEFAULT_MODIFIED_S, BrokenServer, Fault, Request
from tests.support.campaign import is_whole, share, tally
from tests.support.fault_kinds import asked
from tests.support.stored_blocks import wrong_pieces
from tests.support.tree import contents
from tests.support.trust_rig import TrustRig
from tests.support.visitor import Visitor

pytestmark = [pytest.mark.slow, pytest.mark.expects_warnings]

PATH = "10002/data/movie.mrc"
OLD = contents(b"old", 20 * PIECE_SIZE + 5)
FILES = {PATH: OLD, "10002/data/other.mrc": contents(b"other", 100_000)}
STEP = 100_000
WAIT_S = 60.0
# As many requests for bytes as reading the file step by step takes, and some.
REQUESTS = range(16)


@pytest.fixture
def server() -> Iterator[BrokenServer]:
    with BrokenServer(FILES) as made:
        yield made


@pytest.fixture
def rig(server: BrokenServer, tmp_path: Path) -> Iterator[TrustRig]:
    made = TrustRig(server.url, tmp_path / "cache")
    yield made
    assert made.settle() == []
    assert made.close() == []


class ChangesAt:
    """A predicate that never holds, and replaces a file at the n-th request for bytes."""

    def __init__(self, server: BrokenServer, number: int, contents: bytes) -> None:
        self._server = server
        self._left = number
        self._contents = contents

    def __call__(self, request: Request) -> bool:
        if asked(request) == "bytes" and request.path == PATH:
            if self._left == 0:
                self._server.put(PATH, self._contents, DEFAULT_MODIFIED_S + 7200)
            self._left -= 1
        return False


def read_steps(rig: TrustRig, handle: int, size: int) -> list[bytes | int]:
    """Read step by step, also behind a failure; bytes, or the errno of each that failed."""

    def read(offset: int) -> bytes | int:
        try:
            return rig.files.read(handle, offset, STEP, Patience(WAIT_S))
        except EmpiarFSError as exc:
            return errno_for(exc)

    return [read(offset) for offset in range(0, size, STEP)]


def steps_of(data: bytes) -> list[bytes]:
    return [data[offset : offset + STEP] for offset in range(0, len(data), STEP)]


@pytest.mark.parametrize("number", share(REQUESTS, 5))
@pytest.mark.parametrize(
    "new",
    [
        pytest.param(contents(b"new", len(OLD)), id="changes"),
        pytest.param(contents(b"new", len(OLD) - 3 * PIECE_SIZE), id="shrinks"),
        pytest.param(contents(b"new", len(OLD) + 70_001), id="grows"),
        pytest.param(b"", id="is emptied"),
    ],
)
def test_a_handle_of_a_file_that_changes_reads_the_old_bytes_or_fails(
    server: BrokenServer, rig: TrustRig, tmp_path: Path, new: bytes, number: int
) -> None:
    server.fault(ChangesAt(server, number, new), Fault.silence())
    old = rig.files.open(PATH, Patience(WAIT_S)).handle

    found = read_steps(rig, old, len(OLD))
    for step, expected in zip(found, steps_of(OLD), strict=True):
        assert step in (expected, errno.ESTALE)
    if server.files[PATH] != OLD and errno.ESTALE in found:
        # Once stale, always stale: no handle mixes two versions.
        assert set(found[found.index(errno.ESTALE) :]) == {errno.ESTALE}
        fresh = rig.files.open(PATH, Patience(WAIT_S)).handle
        assert rig.files.attributes_of_handle(fresh).size == len(new)
        assert read_steps(rig, fresh, len(new)) == steps_of(new)
    rig.settle()
    rig.fetcher.flush()
    truth = {path: [data] for path, data in FILES.items()} | {PATH: [OLD, new]}
    count, wrong = wrong_pieces(tmp_path / "cache", truth)
    assert wrong == []
    tally.add("faults", "file changes while open")
    tally.add("reads", "of a changing file", len(found) + count)
    tally.add("wrong_bytes", "of a changing file", 0)


def test_back_ends_whose_etags_differ_are_one_archive(server: BrokenServer, rig: TrustRig) -> None:
    turn = itertools.count()
    server.choose_faults(
        lambda request: (
            (Fault.with_headers(("ETag", f'"other-{next(turn)}"')), "another ETag")
            if request.path in FILES
            else None
        )
    )
    visitor = Visitor(rig.files, FILES, wait_s=WAIT_S)
    for path in FILES:
        visitor.stat(path)
        assert visitor.read_whole(path)

    assert visitor.problems == []


def test_back_ends_whose_times_differ_never_mix(server: BrokenServer, rig: TrustRig) -> None:
    turn = itertools.count()
    server.choose_faults(
        lambda request: (
            (Fault.changed(), "another Last-Modified")
            if request.path in FILES and next(turn) % 2
            else None
        )
    )
    visitor = Visitor(rig.files, FILES, wait_s=WAIT_S, shows={errno.ESTALE})
    for _ in range(20):
        visitor.read_parts(PATH, range(0, len(OLD), STEP), STEP)

    assert visitor.problems == []
    assert set(visitor.refused) <= {errno.ESTALE}


def test_connections_that_are_reset_at_once_are_made_again(
    server: BrokenServer, rig: TrustRig
) -> None:
    visitor = Visitor(rig.files, FILES, wait_s=WAIT_S)
    for _ in range(10):
        server.refuse()
        visitor.list_names("10002/data")
        for path in FILES:
            visitor.stat(path)
            visitor.read_whole(path)

    assert visitor.problems == []
    assert server.refused
    tally.add("faults", "connection refused", server.refused)


def test_an_archive_that_takes_one_connection_is_read_all_the_same(
    server: BrokenServer, rig: TrustRig
) -> None:
    server.most_connections = 1
    visitor = Visitor(rig.files, FILES, wait_s=WAIT_S)
    visitor.side_by_side(*[lambda path=path: visitor.read_whole(path) for path in [*FILES] * 4])

    assert visitor.problems == []
    tally.add("faults", "connection beyond a number refused", server.refused)


def test_the_26th_connection_is_never_opened(server: BrokenServer, tmp_path: Path) -> None:
    server.most_connections = 25
    many = {f"10002/data/{number}.tif": contents(b"%d" % number, 50_000) for number in range(60)}
    for path, data in many.items():
        server.put(path, data)
    prefix = f"empiarfs-trust-{tmp_path.name}"
    rigs = [
        TrustRig(server.url, tmp_path / str(number), prefix=prefix, max_connections=20)
        for number in range(3)
    ]
    visitors = [Visitor(rig.files, many, wait_s=WAIT_S) for rig in rigs]

    def read(visitor: Visitor, first: int) -> None:
        for number in range(first, 60, 10):
            visitor.read_whole(f"10002/data/{number}.tif")

    threads = [
        threading.Thread(target=read, args=(visitor, first))
        for visitor in visitors
        for first in range(10)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for rig in rigs:
        rig.settle()
        rig.close()

    assert [visitor.problems for visitor in visitors] == [[], [], []]
    assert server.refused == 0
    assert server.peak_connections <= 20


def test_a_listing_of_a_hundred_megabytes_is_read_while_others_are(
    server: BrokenServer, rig: TrustRig
) -> None:
    size = 100_000_000 if is_whole() else 4_000_000
    server.put("10017/data/a.mrc", b"a")
    # Again if its first byte was late on a busy machine.
    server.fault("10017/data/", Fault.long_listing(size), times=10)
    names: list[str] = []

    def list_all() -> None:
        handle = rig.files.open_directory("10017/data", Patience(600))
        names.extend(item.name for item in rig.files.directory_items(handle))

    lister = threading.Thread(target=list_all)
    lister.start()
    visitor = Visitor(rig.files, FILES, wait_s=WAIT_S)
    while lister.is_alive():
        visitor.read_parts(PATH, [0, 500_000], 4096)
    lister.join()

    assert visitor.problems == []
    assert len(names) > size / 300
    assert {"a.mrc", "further_0000000.mrc"} <= set(names)
    tally.add("faults", "long listing")
