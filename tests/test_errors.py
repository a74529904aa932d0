"""Errors that are kept hold nothing but themselves."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest

from empiarfs.cache.store import MemoryBlockStore
from empiarfs.core.ranges import ByteRange
from empiarfs.core.retry import RetryPolicy
from empiarfs.errors import (
    EmpiarFSError,
    UnavailableError,
    without_frames,
)
from empiarfs.fetcher import Fetcher
from empiarfs.fetcher.spans import Span
from empiarfs.patience import Patience
from empiarfs.stats import Counters
from tests.support.broken_server import Fault
from tests.support.changing import ChangingServer, is_for_bytes
from tests.support.fake_archive import FakeArchive
from tests.support.model_rig import Clock, Rig
from tests.support.waiting import wait_until


class Buffer:
    """Stands for what a function works with."""


@pytest.fixture
def _no_collection() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def failed() -> tuple[EmpiarFSError, weakref.ref[Buffer]]:
    buffer = Buffer()
    kept: EmpiarFSError
    try:
        try:
            raise OSError("reset")
        except OSError as exc:
            raise UnavailableError("the connection was lost", url="u") from exc
    except UnavailableError as exc:
        kept = exc
    return kept, weakref.ref(buffer)


@pytest.mark.usefixtures("_no_collection")
def test_a_kept_error_holds_what_its_functions_worked_with() -> None:
    kept, buffer = failed()

    assert buffer() is not None
    assert kept.__traceback__ is not None


@pytest.mark.usefixtures("_no_collection")
def test_without_frames_it_holds_nothing() -> None:
    kept, buffer = failed()

    assert without_frames(kept) is kept
    assert buffer() is None
    assert isinstance(kept.__cause__, OSError)
    assert kept.__cause__.__traceback__ is None


def test_a_circle_of_causes_is_no_trouble() -> None:
    one, other = ValueError("one"), ValueError("other")
    one.__context__, other.__context__ = other, one

    assert without_frames(one) is one


@pytest.mark.usefixtures("_no_collection")
def test_a_request_that_failed_leaves_nothing_for_the_collector() -> None:
    archive = FakeArchive({"of this test.mrc": bytes(200_000)})
    archive.failures = [UnavailableError("reset", url="u") for _ in range(3)]
    policy = RetryPolicy(broken_s=0.001)
    fetcher = Fetcher(archive.as_client(), MemoryBlockStore(2**20), Counters(), retry=policy)
    try:
        data, _ = fetcher.read(
            archive.remote("of this test.mrc"), ByteRange(0, 200_000), Patience(20)
        )
        assert data == bytes(200_000)
        fetcher.flush()
        assert len(archive.ranges) == 4
        wait_until(lambda: not _spans())
    finally:
        fetcher.close()


@pytest.mark.usefixtures("_no_collection")
def test_a_request_that_is_repeated_leaves_nothing_either(tmp_path: Path) -> None:
    size = 1_500_000
    with ChangingServer({"of this test.mrc": size}) as server:
        rig = Rig(server.url, tmp_path, Clock())
        try:
            handle = rig.files.open("of this test.mrc", Patience(20)).handle
            # The connection that had told the size is gone by the time of the first read.
            server.fault(is_for_bytes, Fault.reset("request"))
            assert len(rig.files.read(handle, 0, size, Patience(20))) == size
            rig.fetcher.flush()
            assert server.faults_met.total() == 1
            wait_until(lambda: not _spans())
        finally:
            rig.close()


def _spans() -> list[Span]:
    found = [each for each in gc.get_objects() if type(each) is Span]
    return [span for span in found if span.file.path == "of this test.mrc"]
