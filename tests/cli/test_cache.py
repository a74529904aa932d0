"""The command `cache`, on a cache that reading has filled, also under a mount that uses it."""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path

import pytest

from empiarfs.cache.disk import DiskBlockStore
from empiarfs.stats import Counters
from tests.cache.blocks import MIB, block_files, bytes_on_disk, key_of, make_file, pieces_at
from tests.support.apache import ApacheServer
from tests.support.commands import Commands
from tests.support.mounts import mounted
from tests.support.waiting import wait_until

pytestmark = pytest.mark.apache


def fill(cache: Path, files: dict[str, int]) -> None:
    """Store so many blocks of 1 MiB of each file."""
    blocks = cache / "v1/blocks-1"
    for folder in (cache, cache / "v1", blocks):
        folder.mkdir(mode=0o700, exist_ok=True)
    store = DiskBlockStore(blocks, 64 * MIB, Counters())
    for path, count in files.items():
        file = make_file(path, size=count * MIB)
        for index in range(count):
            store.put(key_of(file, index), file, pieces_at(file, index))
    store.close()


def in_entries(**counts: int) -> dict[str, int]:
    """Two files of so many blocks for each entry, `e10934=3`."""
    return {f"{name[1:]}/data/{x}.mrc": n for name, n in counts.items() for x in "ab"}


def files_of(cache: Path) -> list[Path]:
    return block_files(cache / "v1/blocks-1")


def test_dir_prints_where_it_is_and_makes_nothing(commands: Commands) -> None:
    assert commands("cache", "dir").lines == [str(commands.cache)]
    assert "not made yet" in commands("cache", "dir", "-v").lines[1]
    assert not commands.cache.exists()


def test_list_tells_what_is_stored_of_each_entry(commands: Commands) -> None:
    fill(commands.cache, in_entries(e10934=3, e10002=1))
    lines = commands("cache", "list").lines
    found = commands("cache", "list", "--json").json

    assert [line.split()[-1] for line in lines[:3]] == ["ENTRY", "10934", "10002"]
    assert "in all, of " in lines[3]
    assert [(each["entry"], each["blocks"]) for each in found["entries"]] == [
        ("10934", 6),
        ("10002", 2),
    ]
    assert found["blocks"] == 8
    assert sum(each["size"] for each in found["entries"]) <= found["used"] <= found["limit"]
    assert found["directory"] == str(commands.cache)


def test_an_empty_cache_is_listed_too(commands: Commands) -> None:
    done = commands("cache", "list")

    assert done.status == 0
    assert "in all, of " in done.lines[1]


def test_verify_finds_nothing_wrong_in_a_sound_cache(commands: Commands) -> None:
    fill(commands.cache, in_entries(e10934=2))
    done = commands("cache", "verify")

    assert done.status == 0
    assert done.lines == ["4 blocks (4.19 MB) are sound"]


@pytest.mark.expects_warnings
def test_verify_removes_what_is_damaged_and_says_so(commands: Commands) -> None:
    fill(commands.cache, in_entries(e10934=3))
    flipped, cut, *_ = files_of(commands.cache)
    data = bytearray(flipped.read_bytes())
    data[500_000] ^= 1
    flipped.write_bytes(data)
    os.truncate(cut, 5000)

    done = commands("cache", "verify", "--json")
    assert done.status == 1
    assert done.json == {"blocks": 6, "size": 4 * MIB, "damaged": 2}
    assert done.err.count("removed a damaged block of 10934") == 2
    assert not flipped.exists()
    assert not cut.exists()
    assert commands("cache", "verify", "--json").json["damaged"] == 0


@pytest.mark.expects_warnings
def test_a_block_in_the_place_of_another_is_damaged(commands: Commands) -> None:
    fill(commands.cache, in_entries(e10934=2))
    one, other, *_ = files_of(commands.cache)
    other.write_bytes(one.read_bytes())

    assert commands("cache", "verify", "--json").json["damaged"] == 1


def test_prune_removes_an_entry(commands: Commands) -> None:
    fill(commands.cache, in_entries(e10934=2, e10002=1))
    done = commands("cache", "prune", "--entry", "EMPIAR-10934")

    assert done.lines[0].startswith("removed 4 blocks, ")
    found = commands("cache", "list", "--json").json
    assert [each["entry"] for each in found["entries"]] == ["10002"]
    assert len(files_of(commands.cache)) == found["blocks"] == 2


def test_prune_removes_what_is_old(commands: Commands) -> None:
    fill(commands.cache, in_entries(e10934=1))
    time.sleep(0.01)
    moment = time.time()
    fill(commands.cache, in_entries(e10002=1))

    assert commands("cache", "prune", "--older-than", "1d").lines == ["removed 0 blocks, 0 B"]
    commands("cache", "prune", "--older-than", f"@{moment:.3f}")
    found = commands("cache", "list", "--json").json
    assert [each["entry"] for each in found["entries"]] == ["10002"]


def test_both_conditions_must_hold(commands: Commands) -> None:
    fill(commands.cache, in_entries(e10934=1, e10002=1))
    future = f"@{time.time() + 60:.0f}"

    commands("cache", "prune", "--older-than", future, "--entry", "10002")
    found = commands("cache", "list", "--json").json
    assert [each["entry"] for each in found["entries"]] == ["10934"]


def test_prune_to_a_size_evicts_as_many_as_it_takes(commands: Commands) -> None:
    fill(commands.cache, in_entries(e10934=12))
    assert commands("cache", "prune", "--to", "20M").status == 0

    assert bytes_on_disk(commands.cache / "v1/blocks-1") <= 20 * MIB
    assert commands("cache", "list", "--json").json["blocks"] >= 4


def test_prune_wants_to_know_what(commands: Commands) -> None:
    done = commands("cache", "prune")

    assert done.status == 2
    assert "--older-than" in done.err


def test_evict_removes_a_file_or_what_lies_below_a_directory(
    commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(commands.cache, in_entries(e10934=2, e10002=1))
    # As the cache of another archive would, these blocks stay.
    assert commands("cache", "evict", "10934/data/a.mrc").lines == ["removed 0 blocks, 0 B"]

    monkeypatch.setenv("EMPIARFS_ARCHIVE_URL", "https://archive.test/")
    assert commands("cache", "evict", "10934/data/a.mrc").lines[0].startswith("removed 2 ")
    assert commands("cache", "evict", "10934/dat").lines[0].startswith("removed 0 ")
    assert commands("cache", "evict", "10934/data", "10002").lines[1].startswith("removed 2 ")
    assert files_of(commands.cache) == []


def test_evict_wants_less_than_the_whole_archive(commands: Commands) -> None:
    done = commands("cache", "evict", "empiar")

    assert done.status == 2
    assert "cache clean" in done.err


def test_clean_removes_all_that_was_read_and_keeps_names(commands: Commands) -> None:
    assert commands("ls", "10028/data").status == 0
    fill(commands.cache, in_entries(e10934=2))
    before = sorted((commands.cache / "v1").glob("catalog-*"))

    assert commands("cache", "clean").lines[0].startswith("removed 4 blocks")
    assert files_of(commands.cache) == []
    assert sorted((commands.cache / "v1").glob("catalog-*")) == before != []


@pytest.mark.parametrize("size", ["12", "5X", "-1", "16 M M"])
def test_a_wrong_size_is_refused_and_changes_nothing(commands: Commands, size: str) -> None:
    assert commands("cache", "size", "40M").status == 0
    assert commands("cache", "size", "--", size).status == 2
    assert "41.9 MB" in commands("cache", "size").lines[0]


def test_a_newer_releases_cache_is_left_alone(commands: Commands) -> None:
    fill(commands.cache, in_entries(e10934=1))
    with sqlite3.connect(commands.cache / "v1/blocks-1/gen-1/cache.db") as database:
        database.execute("PRAGMA user_version = 99")
    done = commands("cache", "clean")

    assert done.status == 1
    assert "newer release" in done.err
    assert len(files_of(commands.cache)) == 2


@pytest.mark.fuse
def test_a_mount_reads_on_while_its_cache_is_cleaned_and_resized(
    served: ApacheServer, commands: Commands
) -> None:
    files = sorted((served.root / "10028/data/many").iterdir())[:300]
    names = [file.relative_to(served.root) for file in files]
    with mounted(served.url, cache_dir=commands.cache, options=["cache_size=64M"]) as mount:

        def read_all() -> None:
            for name, file in zip(names, files, strict=True):
                assert (mount.path / name).read_bytes() == file.read_bytes()

        read_all()
        wait_until(lambda: commands("cache", "list", "--json").json["blocks"] > 100, 30)
        assert commands("cache", "clean").status == 0
        assert commands("cache", "size", "32M").status == 0
        read_all()
        wait_until(lambda: mount.status()["cache"]["limit"] == 32 * MIB, 30)
        assert mount.status()["counters"]["blocks_corrupt"] == 0
        assert commands("cache", "verify").status == 0
