"""What an index does when the archive fails or the user has had enough; in memory."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from empiarfs.browse.indexing import IndexConfig, Indexer, Progress
from empiarfs.errors import BadResponseError, OfflineError, UnavailableError
from empiarfs.patience import Patience
from tests.support.fake_archive import FakeArchive
from tests.test_tree import Rig

_BELOW = ("/data", "/data/a", "/data/b", "/data/c")
FILES = {f"10934/data/{d}/{n:03}.mrc": b"x" * n for d in ("a", "b", "c") for n in range(400)}


class EnoughError(Exception):
    """What ends an index, as Ctrl-C does."""


@pytest.fixture
def archive() -> FakeArchive:
    return FakeArchive(dict(FILES))


@pytest.fixture
def rig(tmp_path: Path, archive: FakeArchive) -> Iterator[Rig]:
    made = Rig(tmp_path, archive)
    yield made
    made.catalog.close()


def indexer(rig: Rig, *, since_s: float = 0.0, wait_s: float = 60.0) -> Indexer:
    config = IndexConfig(since_s, wait_s=wait_s)
    return Indexer(rig.tree, config, rig.archive.wait_until_reachable)


def test_everything_below_is_learnt_and_each_thing_once(rig: Rig) -> None:
    found = indexer(rig).run("10934")

    assert found == Progress(directories=5, files=1200, size=sum(map(len, FILES.values())))
    assert len(rig.archive.probed) == len(FILES)
    assert sorted(rig.archive.listed) == [f"10934{p}" for p in ("", *_BELOW)]
    assert found.is_whole


def test_an_index_that_was_ended_goes_on_where_it_was(rig: Rig) -> None:
    def tell(progress: Progress) -> None:
        if progress.files:
            raise EnoughError

    with pytest.raises(EnoughError):
        indexer(rig).run("10934", tell)
    asked = len(rig.archive.probed)
    found = indexer(rig).run("10934")

    assert (found.files, found.is_whole) == (1200, True)
    assert found.known_before == asked
    assert len(rig.archive.probed) == len(FILES)


def test_listings_that_are_too_old_are_fetched_anew_and_sizes_are_not(rig: Rig) -> None:
    indexer(rig).run("10934")
    found = indexer(rig, since_s=time.time()).run("10934/data/a")

    assert found.known_before == 400
    assert rig.archive.listed.count("10934/data/a") == 2
    assert len(rig.archive.probed) == len(FILES)


def test_an_archive_out_of_reach_is_waited_for(rig: Rig) -> None:
    rig.archive.failures += [OfflineError("offline", url="u")] * 20
    found = indexer(rig).run("10934")

    assert (found.files, found.unknown) == (1200, [])


def test_an_archive_that_stays_out_of_reach_is_given_up(rig: Rig) -> None:
    rig.archive.failures += [OfflineError("offline", url="u")] * 5000
    found = indexer(rig, wait_s=0.0).run("10934")

    [unknown] = found.unknown
    assert (unknown.path, unknown.is_directory, str(unknown.error)) == (
        "10934",
        True,
        "offline [u]",
    )
    assert not found.is_whole


@pytest.mark.parametrize(
    "error", [UnavailableError("busy", url="u"), BadResponseError("no size", url="u")]
)
def test_what_fails_now_and_then_is_asked_for_again(
    rig: Rig, error: UnavailableError | BadResponseError
) -> None:
    indexer(rig).run("10934/data/b")
    rig.archive.failures += [None, None, error, error]
    found = indexer(rig).run("10934")

    assert (found.files, found.unknown) == (1200, [])


def test_what_always_fails_is_told_and_the_rest_is_learnt(rig: Rig) -> None:
    rig.archive.failures += [UnavailableError("busy", url="u")] * 3
    lost = indexer(rig).run("10934/data/a")
    del rig.archive.files["10934/data/b/007.mrc"]
    rig.tree.listings.directory("10934/data/c", Patience(5.0))
    del rig.archive.files["10934/data/c/007.mrc"]
    found = indexer(rig).run("10934")

    assert [each.path for each in lost.unknown] == ["10934/data/a"]
    assert found.files == 1198
    assert [each.path for each in found.unknown] == ["10934/data/c/007.mrc"]
