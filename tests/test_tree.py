"""The tree on an archive in memory: when it asks, and what it never says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from empiarfs.catalog import Catalog
from empiarfs.errors import (
    ForbiddenError,
    NoSuchNameError,
    OfflineError,
    UnavailableError,
)
from empiarfs.patience import Patience
from empiarfs.stats import Counters
from empiarfs.tree import ListingConfig, Tree, TreeConfig
from tests.support.fake_archive import MODIFIED_S, FakeArchive
from tests.support.waiting import wait_until

NAMES = [f"m{i:03d}.mrc" for i in range(100)]


def patience() -> Patience:
    return Patience(30.0)


def down() -> UnavailableError:
    return UnavailableError("down", url="u")


class Rig:
    """A tree on an archive in memory and a catalog on disk."""

    def __init__(self, folder: Path, archive: FakeArchive, config: TreeConfig | None = None):
        self.archive = archive
        self.counters = Counters()
        file = folder / "catalog-v1.sqlite"
        self.catalog = Catalog(file, archive_url=archive.base_url, counters=self.counters)
        self.tree = Tree(archive.as_client(), self.catalog, self.counters, config)
        self.changed: list[str] = []
        self.tree.when_changed(self.changed.append)

    def names(self, path: str) -> list[str]:
        return [item.name for item in self.tree.listings.directory(path, patience()).children()]


@pytest.fixture
def archive() -> FakeArchive:
    files = {f"10934/data/{name}": name.encode() for name in NAMES}
    return FakeArchive({**files, "10934/10934.xml": b"<entry/>", "10017/data/a.tif": b"a"})


@pytest.fixture
def rig(tmp_path: Path, archive: FakeArchive) -> Iterator[Rig]:
    made = Rig(tmp_path, archive)
    yield made
    made.catalog.close()


def test_a_listing_is_asked_for_once(rig: Rig) -> None:
    assert rig.names("10934/data") == NAMES
    assert rig.names("10934/data") == NAMES
    assert rig.archive.listed == ["10934/data"]


def test_who_walks_down_has_the_listings_on_his_way_fetched_at_once(rig: Rig) -> None:
    rig.tree.lookup("10934", patience())
    # Each by a thread of its own, in any order.
    wait_until(lambda: len(rig.archive.listed) == 3)
    wait_until(lambda: rig.tree.listings.in_memory("10934/data") is not None)

    assert sorted(rig.archive.listed) == ["", "10934", "10934/data"]
    rig.tree.lookup("10934/data/m003.mrc", patience())
    assert len(rig.archive.listed) == 3


def test_who_lists_the_root_has_no_entry_fetched(rig: Rig) -> None:
    rig.names("")
    rig.tree.lookup("10934", patience())
    rig.tree.lookup("10017", patience())

    assert rig.archive.listed == [""]


def test_a_listing_fetched_in_vain_does_no_harm(rig: Rig) -> None:
    with pytest.raises(NoSuchNameError):
        rig.tree.lookup("10999", patience())

    with pytest.raises(NoSuchNameError):
        rig.tree.lookup("10999/data", patience())
    assert rig.names("10934")


def test_a_listing_survives_in_the_catalog(tmp_path: Path, archive: FakeArchive) -> None:
    first = Rig(tmp_path, archive)
    first.names("10934/data")
    first.tree.version("10934/data/m000.mrc", patience())
    while "m007.mrc" not in archive.probed:
        pass
    first.catalog.close()
    archive.failures = [down()] * 100
    second = Rig(tmp_path, archive)

    assert second.names("10934/data") == NAMES
    assert second.tree.version("10934/data/m000.mrc", patience()).size == 8
    assert archive.listed == ["10934/data"]
    second.catalog.close()


def test_a_stale_listing_serves_while_the_archive_is_down(
    tmp_path: Path, archive: FakeArchive
) -> None:
    rig = Rig(tmp_path, archive, TreeConfig(ListingConfig(ttl_s=0.0)))
    rig.names("10934/data")
    archive.failures = [down()]

    assert rig.names("10934/data") == NAMES
    assert rig.counters["stale_listings"] == 1
    rig.catalog.close()


def test_the_first_stat_asks_for_a_handful_of_sizes(rig: Rig) -> None:
    version = rig.tree.version("10934/data/m000.mrc", patience())

    assert (version.size, version.modified_s) == (8, MODIFIED_S)
    assert len(rig.archive.probed) <= 8


def test_every_size_is_had_in_few_batches(rig: Rig) -> None:
    sizes = [rig.tree.version(f"10934/data/{name}", patience()).size for name in NAMES]

    assert sizes == [8] * 100
    assert sorted(rig.archive.probed) == NAMES
    assert rig.archive.headed == []


def test_a_size_that_cannot_be_had_fails_and_the_name_stays(rig: Rig) -> None:
    rig.names("10934/data")
    rig.archive.failures = [down()]

    with pytest.raises(UnavailableError):
        rig.tree.version("10934/data/m050.mrc", patience())
    assert "m050.mrc" in rig.names("10934/data")


def test_a_neighbours_failure_is_not_held_against_who_asks_later(rig: Rig) -> None:
    directory = rig.tree.listings.directory("10934/data", patience())
    rig.archive.failures = [down()]
    rig.tree.foresee_versions(directory, range(50, 60))
    wait_until(lambda: not directory.asked)

    assert rig.tree.version("10934/data/m051.mrc", patience()).size == 8


def test_a_listed_name_needs_no_request(rig: Rig) -> None:
    rig.names("10934")
    node = rig.tree.lookup("10934/data", patience())

    assert node.is_directory
    assert rig.archive.headed == []


def test_an_unlisted_name_is_asked_for_before_it_is_absent(rig: Rig) -> None:
    rig.archive.unlisted = {"10934/data/m010.mrc"}

    assert "m010.mrc" not in rig.names("10934/data")
    assert not rig.tree.lookup("10934/data/m010.mrc", patience()).is_directory
    assert rig.tree.version("10934/data/m010.mrc", patience()).size == 8


def test_an_absent_name_is_asked_for_once_in_a_while(rig: Rig) -> None:
    for _ in range(3):
        with pytest.raises(NoSuchNameError):
            rig.tree.lookup("10934/data/none.mrc", patience())

    assert rig.archive.headed == ["10934/data/none.mrc"]


def test_after_a_few_absences_the_listing_is_believed(rig: Rig) -> None:
    for i in range(1000):
        with pytest.raises(NoSuchNameError):
            rig.tree.lookup(f"10934/data/{i}.zarr", patience())

    assert len(rig.archive.headed) <= 5


def test_names_that_apache_hides_are_asked_for_even_so(rig: Rig) -> None:
    for i in range(10):
        with pytest.raises(NoSuchNameError):
            rig.tree.lookup(f"10934/data/{i}.zarr", patience())
    rig.archive.files["10934/data/README.txt"] = b"hello"
    rig.archive.unlisted = {"10934/data/README.txt"}

    assert rig.tree.version("10934/data/README.txt", patience()).size == 5


@pytest.mark.parametrize("name", [".git", ".Trash-1000", "autorun.inf", "x.mrc-journal"])
def test_names_of_local_programs_are_absent_without_a_request(rig: Rig, name: str) -> None:
    with pytest.raises(NoSuchNameError):
        rig.tree.lookup(f"10934/{name}", patience())

    assert rig.archive.headed == []
    assert rig.archive.listed == []


def test_a_listed_name_is_served_whatever_it_is_called(rig: Rig) -> None:
    rig.archive.files["10934/.git/config"] = b"[core]"
    rig.names("10934")

    assert rig.tree.lookup("10934/.git", patience()).is_directory


@pytest.mark.parametrize(
    "error", [down(), OfflineError("off", url="u"), ForbiddenError("403", url="u")]
)
def test_a_failure_never_becomes_absence(rig: Rig, error: UnavailableError) -> None:
    rig.names("10934/data")
    rig.archive.failures = [error]

    with pytest.raises(type(error)):
        rig.tree.lookup("10934/data/none.mrc", patience())


def test_a_row_that_changed_makes_the_size_asked_for_anew(
    tmp_path: Path, archive: FakeArchive
) -> None:
    rig = Rig(tmp_path, archive, TreeConfig(ListingConfig(ttl_s=0.0)))
    path = "10934/data/m000.mrc"
    assert rig.tree.version(path, patience()).size == 8
    archive.files[path] = b"x" * 5000

    assert rig.tree.version(path, patience()).size == 5000
    assert path in rig.changed
    rig.catalog.close()


def test_a_listing_that_was_found_to_lack_a_name_is_asked_for_once_more(rig: Rig) -> None:
    rig.archive.unlisted = {"10934/data/m010.mrc", "10934/data/m020.mrc"}
    assert "m010.mrc" not in rig.names("10934/data")

    rig.archive.unlisted = {"10934/data/m020.mrc"}
    rig.tree.lookup("10934/data/m010.mrc", patience())

    assert set(NAMES) - set(rig.names("10934/data")) == {"m020.mrc"}
    rig.tree.lookup("10934/data/m020.mrc", patience())
    rig.names("10934/data")
    assert rig.archive.listed == ["10934/data"] * 2


def test_a_listing_that_lacks_what_listings_hide_is_believed(rig: Rig) -> None:
    rig.archive.files["10934/data/README.txt"] = b"x"
    rig.archive.unlisted = {"10934/data/README.txt"}
    rig.names("10934/data")
    rig.tree.lookup("10934/data/README.txt", patience())
    rig.names("10934/data")

    assert rig.archive.listed == ["10934/data"]


def test_a_name_that_a_newer_listing_lacks_stays_until_the_archive_denies_it(
    tmp_path: Path, archive: FakeArchive
) -> None:
    rig = Rig(tmp_path, archive, TreeConfig(ListingConfig(ttl_s=0.0)))
    rig.names("10934/data")
    archive.unlisted = {"10934/data/m010.mrc"}
    assert rig.names("10934/data") == NAMES

    del archive.files["10934/data/m010.mrc"]
    assert rig.names("10934/data") == [name for name in NAMES if name != "m010.mrc"]
    rig.catalog.close()


def test_a_file_seen_to_have_changed_is_asked_for_anew(rig: Rig) -> None:
    path = "10934/data/m000.mrc"
    old = rig.tree.version(path, patience())
    rig.archive.files[path] = b"another"
    rig.tree.forget_version(path, old)

    assert rig.tree.version(path, patience()).size == 7
    assert path in rig.changed


def test_sizes_after_a_listing_come_in_few_batches(tmp_path: Path) -> None:
    names = [f"d/{number:04d}.mrc" for number in range(2_000)]
    rig = Rig(tmp_path, FakeArchive(dict.fromkeys(names, b"abc")))
    rig.tree.listings.directory("d", patience()).note_listed()
    for name in names:
        assert rig.tree.version(name, patience()).size == 3

    assert sorted(rig.archive.batches) == [1, 63, 1_936]
    rig.catalog.close()


def test_sizes_of_known_names_in_order_are_asked_for_ahead(tmp_path: Path) -> None:
    names = [f"d/{number:04d}.mrc" for number in range(2_000)]
    rig = Rig(tmp_path, FakeArchive(dict.fromkeys(names, b"abc")))
    for name in names[:5]:
        rig.tree.version(name, patience())
    while len(rig.archive.probed) < 40:
        pass

    assert sorted(rig.archive.batches) == [1, 7, 32]
    rig.catalog.close()


def test_what_another_process_has_learnt_meanwhile_is_not_asked_for(
    rig: Rig, tmp_path: Path, archive: FakeArchive
) -> None:
    directory = rig.tree.listings.directory("10934/data", patience())
    rig.catalog.flush()
    other = Rig(tmp_path, archive)
    other.tree.ask_versions(
        other.tree.listings.directory("10934/data", patience()), range(len(NAMES)), patience()
    )
    other.catalog.close()
    archive.probed.clear()
    directory.elsewhere_from_s = 0.0

    found = [rig.tree.version(f"10934/data/{name}", patience()).size for name in NAMES]

    assert found == [len(name) for name in NAMES]
    assert (archive.probed, archive.headed) == ([], [])
