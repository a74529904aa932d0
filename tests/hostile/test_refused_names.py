"""What a listing offers and can't be served is remembered for `status`, within bounds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from empiarfs.catalog import Catalog
from empiarfs.core.listing import Listing
from empiarfs.patience import Patience
from empiarfs.stats import Counters
from empiarfs.tree import ListingConfig, Tree, TreeConfig
from empiarfs.tree.refused import DIRECTORIES_KEPT, NAMES_KEPT, RefusedNames
from tests.support.fake_archive import FakeArchive


class HostileArchive(FakeArchive):
    """Lists `offered` beside its files."""

    offered: tuple[str, ...] = ("..: the name is not a name", "a/b: leads out of the directory")

    def listing(self, path: str, *, patience: Patience) -> Listing:
        """See `ArchiveClient.listing`."""
        honest = super().listing(path, patience=patience)
        return replace(honest, refused_count=len(self.offered), refused=self.offered)


class Rig:
    """A tree on such an archive."""

    def __init__(self, folder: Path, archive: FakeArchive, config: TreeConfig | None = None):
        self.archive = archive
        self.catalog = Catalog(folder / "catalog.db", archive_url=archive.base_url)
        self.tree = Tree(archive.as_client(), self.catalog, Counters(), config)

    def names(self, path: str) -> list[str]:
        return [item.name for item in self.tree.listings.directory(path, Patience(30)).children()]


@pytest.fixture
def archive() -> HostileArchive:
    return HostileArchive({f"10934/data/{number}.mrc": b"x" for number in range(20)})


@pytest.fixture
def rig(tmp_path: Path, archive: HostileArchive) -> Iterator[Rig]:
    made = Rig(tmp_path, archive)
    yield made
    made.catalog.close()


def test_refused_names_are_told_with_their_directory_and_logged_once(
    rig: Rig, expects_warnings: list[object]
) -> None:
    rig.names("10934/data")
    rig.names("10934/data")

    names = list(HostileArchive.offered)
    assert rig.tree.listings.refused_names() == [
        {"directory": "10934/data", "count": 2, "names": names}
    ]
    assert len(expects_warnings) == 1


@pytest.mark.expects_warnings
def test_after_a_restart_the_number_of_refused_names_is_still_told(
    tmp_path: Path, archive: HostileArchive
) -> None:
    first = Rig(tmp_path, archive)
    first.names("10934/data")
    first.catalog.close()
    second = Rig(tmp_path, archive)

    second.names("10934/data")

    assert second.tree.listings.refused_names() == [
        {"directory": "10934/data", "count": 2, "names": []}
    ]
    assert archive.listed == ["10934/data"]
    second.catalog.close()


def test_what_a_newer_listing_refuses_no_more_is_forgotten() -> None:
    refused = RefusedNames()
    refused.note("a", 2, ["x", "y"])
    refused.note("a", 2)
    assert refused.as_json() == [{"directory": "a", "count": 2, "names": ["x", "y"]}]

    refused.note("a", 0, [])

    assert refused.as_json() == []


def test_what_is_remembered_of_refused_names_is_bounded() -> None:
    refused = RefusedNames()
    for number in range(3 * DIRECTORIES_KEPT):
        refused.note(f"dir\udcff{number}", 1000, ["n" * 900] * 100)

    told = refused.as_json()

    assert len(told) == DIRECTORIES_KEPT
    assert told[-1]["directory"] == f"dir\udcff{3 * DIRECTORIES_KEPT - 1}"
    assert all(item["names"] == ["n" * 900] * NAMES_KEPT for item in told)
    assert len(json.dumps(told)) < 1_000_000


def test_a_directory_that_exceeds_the_room_in_memory_is_asked_for_once(tmp_path: Path) -> None:
    archive = FakeArchive({f"10934/data/{number}.mrc": b"x" for number in range(20)})
    rig = Rig(tmp_path, archive, TreeConfig(ListingConfig(rows_in_memory=5)))

    first = rig.tree.listings.directory("10934/data", Patience(30))

    assert rig.tree.listings.directory("10934/data", Patience(30)) is first
    rig.names("10934")
    assert rig.tree.listings.in_memory("10934/data") is None
    rig.catalog.close()
