"""The catalog: what it remembers, for how many, and what it does with a damaged file."""

from __future__ import annotations

import fcntl
import os
import random
import sqlite3
import stat
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from empiarfs.catalog import Catalog, KnownDirectory, KnownRow
from empiarfs.catalog.pages import (
    ITEMS,
    VERSIONS,
    DamagedPageError,
    pack_items,
    pack_versions,
    pages_of,
    sealed,
    unpack_items,
    unpack_names,
    unpack_versions,
    unsealed,
)
from empiarfs.core.files import FileVersion
from empiarfs.core.listing import ListingItem
from empiarfs.core.sizes import size_text
from empiarfs.stats import Counters
from tests.support.campaign import is_whole
from tests.support.disks import faulty_disk
from tests.support.waiting import wait_until

ARCHIVE = "https://archive.test/empiar/"


def row(name: str, size: int | None = None, modified_s: int = 1_700_000_000) -> KnownRow:
    """A file of that size, or a directory."""
    if size is None:
        return KnownRow(ListingItem(name, True, "", "2023-11-14 22:13"), None)
    text = time.strftime("%Y-%m-%d %H:%M", time.gmtime(modified_s))
    return KnownRow(ListingItem(name, False, size_text(size), text), FileVersion(size, modified_s))


def known(
    path: str, *rows: KnownRow, fetched_s: float = 1000.5, refused: int = 0
) -> KnownDirectory:
    return KnownDirectory(path, fetched_s, rows, refused)


def many(path: str, count: int, fetched_s: float = 1000.5) -> KnownDirectory:
    """A directory like EMPIAR's, with names of 70 bytes, and sizes and times all different."""
    some = random.Random(path)
    rows = []
    for number in range(count):
        name = (
            f"FoilHole_{some.randrange(10**8):08d}_Data_{some.randrange(10**8):08d}_"
            f"{number:05d}_20230{1 + number // 4000}12_{some.randrange(240000):06d}_frames.tiff"
        )
        rows.append(
            row(
                name,
                568_000_000 + some.randrange(2**26),
                1_690_000_000 + 37 * number + some.randrange(30),
            )
        )
    rows.sort(key=lambda each: each.item.name)
    return KnownDirectory(path, fetched_s, tuple(rows), 0)


def without_versions(directory: KnownDirectory) -> KnownDirectory:
    return replace(directory, rows=tuple(replace(each, version=None) for each in directory.rows))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "catalog-v1.db"


def opened(file: Path, *, url: str = ARCHIVE, **more: object) -> closing[Catalog]:
    return closing(Catalog(file, archive_url=url, **more))  # type: ignore[arg-type]


def stored(file: Path, *directories: KnownDirectory) -> None:
    """Put directories into the catalog, and close it."""
    with opened(file) as catalog:
        for directory in directories:
            catalog.put_directory(directory)
        assert catalog.flush()


def found(file: Path, path: str) -> KnownDirectory | None:
    """What a process that has just started finds."""
    with opened(file) as catalog:
        return catalog.directory(path)


# -- what it remembers -----------------------------------------------------------------


def test_a_directory_survives_a_restart(file: Path) -> None:
    directory = known("10005/data", row("b.mrc", 5), row("raw"), row("a.mrc", 7), refused=2)
    stored(file, directory)

    assert found(file, "10005/data") == directory
    assert found(file, "10005") is None


def test_the_root_and_an_empty_directory_can_be_known(file: Path) -> None:
    stored(file, known("", row("10005")), known("10005"))

    assert found(file, "") == known("", row("10005"))
    assert found(file, "10005") == known("10005")


def test_nothing_is_opened_or_started_before_the_first_use(file: Path) -> None:
    threads = threading.active_count()
    with opened(file) as catalog:
        assert not file.exists()
        assert threading.active_count() == threads
        assert catalog.unwell is None


def test_only_the_owner_can_read_the_files(file: Path) -> None:
    with opened(file) as catalog:
        catalog.put_directory(known("a"))
        catalog.flush()
        names = {each.name: stat.S_IMODE(each.stat().st_mode) for each in file.parent.iterdir()}

    assert len(names) == 3  # with journal and lock, and nothing mapped into memory
    assert set(names.values()) == {0o600}


def test_what_was_put_is_there_before_it_is_written(file: Path) -> None:
    with opened(file) as catalog:
        catalog.put_directory(known("a", row("x", 1), row("y", 2), fetched_s=5.0))
        catalog.put_versions("a", {"x": FileVersion(3, 9), "y": None, "z": FileVersion(1, 1)})
        first = catalog.directory("a")

        assert first is not None
        assert [each.version for each in first.rows] == [FileVersion(3, 9), None]
        assert catalog.fetched_s("a") == 5.0
        assert catalog.flush()
        assert catalog.directory("a") == first
    assert found(file, "a") == first


def test_versions_are_added_changed_and_forgotten(file: Path) -> None:
    directory = many("a", 1500)
    names = [each.item.name for each in directory.rows]
    stored(file, without_versions(directory))
    tag = FileVersion(7, None, "5f-abc")

    with opened(file) as catalog:
        catalog.put_versions("a", {each.item.name: each.version for each in directory.rows})
        catalog.put_versions(
            "a", {names[0]: tag, names[700]: None, names[1499]: FileVersion(5, None)}
        )
        catalog.put_versions("a", {"0": tag, names[3] + "x": tag, "zzz": tag})
        catalog.flush()
    changed = list(directory.rows)
    changed[0] = replace(changed[0], version=tag)
    changed[700] = replace(changed[700], version=None)
    changed[1499] = replace(changed[1499], version=FileVersion(5, None))

    assert found(file, "a") == replace(directory, rows=tuple(changed))


def test_versions_of_a_directory_that_is_not_known_are_dropped(file: Path) -> None:
    with opened(file) as catalog:
        catalog.put_versions("a", {"x": FileVersion(1, 1)})

        assert catalog.flush()
        assert catalog.directory("a") is None


def test_a_new_listing_replaces_the_old_one_wholly(file: Path) -> None:
    with opened(file) as catalog:
        catalog.put_directory(many("a", 2000, 1.0))
        catalog.flush()
        catalog.put_directory(known("a", row("x", 1), fetched_s=2.0))
        catalog.flush()

    assert found(file, "a") == known("a", row("x", 1), fetched_s=2.0)
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("SELECT count(*) FROM items").fetchone() == (1,)
        assert connection.execute("SELECT count(*) FROM versions").fetchone() == (1,)
        assert connection.execute("SELECT count(*) FROM garbage").fetchone() == (0,)


def test_a_forgotten_directory_is_gone(file: Path) -> None:
    stored(file, known("a", row("x", 1)), known("b"))
    with opened(file) as catalog:
        catalog.forget("a")

        assert catalog.directory("a") is None
        assert catalog.fetched_s("a") is None
    assert found(file, "a") is None
    assert found(file, "b") == known("b")


def test_versions_do_not_bring_a_forgotten_directory_back(file: Path) -> None:
    stored(file, known("a", row("x", 1)))
    with opened(file) as catalog:
        catalog.forget("a")
        catalog.put_versions("a", {"x": FileVersion(2, 2)})

        assert catalog.directory("a") is None
    assert found(file, "a") is None


def test_names_are_bytes_and_rows_keep_the_order_of_the_listing(file: Path) -> None:
    names = [
        "\udcff\udc80 not UTF-8",
        "ümlaut",
        "Z",
        "a\nb",
        "-x",
        "a",
        "x" * 255,
        "#?%+&;:'\"<>\\",
    ]
    directory = known("d/\udcfe", *(row(name, number) for number, name in enumerate(names)))
    stored(file, directory)

    assert found(file, "d/\udcfe") == directory


@pytest.mark.expects_warnings
def test_a_directory_that_cannot_be_stored_harms_no_other(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(file) as catalog:
        catalog.put_directory(known("twice", row("x", 1), row("x", 2)))
        catalog.put_directory(known("nul", row("x\0y", 1)))
        catalog.put_directory(known("nan", fetched_s=float("nan")))
        catalog.put_directory(known("huge", KnownRow(row("x", 1).item, FileVersion(2**70, 1))))
        catalog.put_directory(known("surrogate", row("\ud800", 1)))
        catalog.put_directory(known("good", row("x", 1)))

        assert not catalog.flush()
        assert catalog.flush()
        assert catalog.unwell is None
        assert catalog.rebuilt is None
    for path in ("twice", "nul", "nan", "huge", "surrogate"):
        assert found(file, path) is None
    assert found(file, "good") == known("good", row("x", 1))
    assert caplog.text.count("can't be stored") == 5


def test_a_closed_catalog_knows_nothing_and_takes_nothing(file: Path) -> None:
    stored(file, known("a"))
    catalog = Catalog(file, archive_url=ARCHIVE)
    catalog.close()
    catalog.put_directory(known("b"))

    assert catalog.directory("a") is None
    assert catalog.fetched_s("a") is None
    catalog.close()
    assert found(file, "b") is None


# -- pages -----------------------------------------------------------------------------

NAMES = st.binary(min_size=1, max_size=20).filter(
    lambda raw: not {0, 47} & set(raw) and raw not in (b".", b"..")
)
VERSIONS_KNOWN = st.one_of(
    st.none(),
    st.builds(FileVersion, st.integers(0, 2**63 - 1), st.integers(-(2**40), 2**40)),
    st.builds(
        FileVersion, st.integers(0, 2**40), st.none(), st.none() | st.text("a-\xff", max_size=9)
    ),
)


@settings(max_examples=60)
@given(
    st.dictionaries(NAMES, st.tuples(st.booleans(), st.text("0.KM-", max_size=4), VERSIONS_KNOWN))
)
def test_pages_give_back_what_was_packed(
    packed: dict[bytes, tuple[bool, str, FileVersion | None]],
) -> None:
    items = [
        ListingItem(raw.decode("utf-8", "surrogateescape"), is_directory, text, text[::-1])
        for raw, (is_directory, text, _) in packed.items()
    ]
    versions = [version for _, _, version in packed.values()]

    rebuilt: dict[int, tuple[ListingItem, FileVersion | None]] = {}
    for first, places, page in pages_of(items):
        unpacked, order = unpack_items(page)
        assert unpack_names(page)[0] == first
        assert order is None or list(order) == places
        here = pack_versions([versions[place] for place in places])
        for place, item, version in zip(
            places, unpacked, unpack_versions(here, len(places)), strict=True
        ):
            rebuilt[place] = (item, version)

    assert [rebuilt[place] for place in range(len(items))] == list(
        zip(items, versions, strict=True)
    )


def test_every_flipped_bit_of_a_page_is_noticed() -> None:
    packed = pack_versions([FileVersion(5, 7), None, FileVersion(9, 9)])
    blob = sealed(VERSIONS, 77, b"a", packed)

    assert unsealed(VERSIONS, 77, b"a", blob) == packed
    for bit in range(8 * len(blob)):
        flipped = bytearray(blob)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(DamagedPageError):
            unsealed(VERSIONS, 77, b"a", bytes(flipped))


def test_a_page_of_another_listing_place_or_kind_is_noticed() -> None:
    blob = sealed(VERSIONS, 77, b"a", pack_versions([None]))

    for kind, generation, first in ((ITEMS, 77, b"a"), (VERSIONS, 78, b"a"), (VERSIONS, 77, b"b")):
        with pytest.raises(DamagedPageError):
            unsealed(kind, generation, first, blob)
    for wrong in (None, "text", 5, b"", b"1234567"):
        with pytest.raises(DamagedPageError):
            unsealed(VERSIONS, 77, b"a", wrong)


@given(st.binary(max_size=200))
def test_bytes_that_are_no_page_raise_nothing_else(raw: bytes) -> None:
    for packed in (raw, zlib.compress(raw)):
        with suppress(DamagedPageError):
            unpack_items(packed)
        with suppress(DamagedPageError):
            unpack_names(packed)
        with suppress(DamagedPageError):
            unpack_versions(packed, 3)


def test_a_page_that_unpacks_to_gigabytes_is_refused() -> None:
    with pytest.raises(DamagedPageError):
        unpack_items(zlib.compress(bytes(64 * 1024 * 1024)))


def test_the_stored_form_stays_the_same() -> None:
    """A change here needs a new format number: older releases read the same file."""
    items = [ListingItem("a", False, "5", "2023-11-14 22:13"), ListingItem("b", True, "", "")]
    assert zlib.decompress(pack_items(items, [1, 0])) == (
        b"\x02\0\0\0"
        b"\x03\0\0\0"
        b"\x02\0\0\0"
        b"\x11\0\0\0"
        b"\x08\0\0\0"
        b"a\0b"
        b"5\0"
        b"2023-11-14 22:13\0"
        b"\0\x01"
        b"\0\x01\0\0"
        b"\0\x01\0\0"
        b"\x01\0\0\0\0\0\0\0"
    )
    versions = [FileVersion(0x0102, 5), None, FileVersion(3, None, "t")]
    assert zlib.decompress(pack_versions(versions)) == (
        b"\x01\0\x02\x02\0\x03\x01\0\0" + bytes(18) + b"\x05\0\0" + bytes(21) + b"t"
    )
    assert sealed(ITEMS, 1, b"a", b"page")[:8].hex() == "5d50752317895245"


# -- several at once -------------------------------------------------------------------


def test_another_catalog_on_the_same_file_sees_what_was_written(file: Path) -> None:
    with opened(file) as one, opened(file) as other:
        assert other.directory("a") is None
        one.put_directory(known("a", row("x", 1), fetched_s=7.0))
        one.flush()

        assert other.directory("a") == known("a", row("x", 1), fetched_s=7.0)
        assert other.fetched_s("a") == 7.0


def test_an_older_listing_does_not_replace_a_newer_one(file: Path) -> None:
    with opened(file) as one, opened(file) as other:
        one.put_directory(known("a", row("new", 1), fetched_s=200.0))
        one.flush()
        other.put_directory(known("a", row("old", 1), fetched_s=100.0))
        other.flush()

        assert one.directory("a") == known("a", row("new", 1), fetched_s=200.0)
        assert other.directory("a") == known("a", row("new", 1), fetched_s=200.0)


def test_a_listing_from_the_future_is_replaced(file: Path) -> None:
    with opened(file, now=lambda: 300.0) as catalog:
        catalog.put_directory(known("a", row("wrong clock", 1), fetched_s=5000.0))
        catalog.flush()
        catalog.put_directory(known("a", row("right clock", 1), fetched_s=299.0))
        catalog.flush()

        assert catalog.fetched_s("a") == 299.0


def test_versions_are_not_stored_beside_a_listing_they_were_not_learnt_beside(file: Path) -> None:
    with opened(file) as one, opened(file) as other:
        one.put_directory(known("a", row("x", 1), fetched_s=100.0))
        one.flush()
        other.put_directory(known("a", row("x", 2), fetched_s=200.0))
        other.flush()
        one.put_versions("a", {"x": FileVersion(1, 50)})
        one.flush()

        assert one.directory("a") == known("a", row("x", 2), fetched_s=200.0)
        one.put_versions("a", {"x": FileVersion(2, 60)})
        one.flush()
        seen = other.directory("a")
        assert seen is not None
        assert seen.rows[0].version == FileVersion(2, 60)


WRITER = """
import sys
from pathlib import Path
from empiarfs.catalog import Catalog, KnownDirectory, KnownRow
from empiarfs.core.files import FileVersion
from empiarfs.core.listing import ListingItem
file, who, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
catalog = Catalog(file, archive_url="https://archive.test/empiar/")
print("ready", flush=True)
sys.stdin.readline()
for number in range(count):
    path = f"{who}/{number}"
    item = ListingItem("x", False, "5", "")
    catalog.put_directory(KnownDirectory(path, 100.0, (KnownRow(item, None),) , 0))
    catalog.put_directory(KnownDirectory(f"shared/{number}", 100.0, (KnownRow(item, None),), 0))
    if number % 20 == 0:
        catalog.flush()
    catalog.put_versions(path, {"x": FileVersion(number, 1)})
print(catalog.flush(30), catalog.unwell, catalog.rebuilt, flush=True)
catalog.close()
"""


@contextmanager
def child(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Another process; killed at the end if it still runs."""
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    process = subprocess.Popen(
        [sys.executable, "-c", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environ,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def tell(process: subprocess.Popen[str], text: str = "go") -> None:
    assert process.stdin is not None
    process.stdin.write(text + "\n")
    process.stdin.flush()


@pytest.mark.slow
def test_two_processes_write_at_once(file: Path) -> None:
    with child(WRITER, str(file), "a", "100") as one, child(WRITER, str(file), "b", "100") as two:
        assert line_of(one) == line_of(two) == "ready"
        tell(one)
        tell(two)
        assert line_of(one) == line_of(two) == "True None None"
        assert one.wait(10) == two.wait(10) == 0

    with opened(file) as catalog:
        for number in range(100):
            for who in ("a", "b"):
                directory = catalog.directory(f"{who}/{number}")
                assert directory is not None
                assert directory.rows[0].version == FileVersion(number, 1)
            assert catalog.directory(f"shared/{number}") is not None


@pytest.mark.slow
def test_a_killed_process_leaves_a_sound_catalog(file: Path) -> None:
    with child(WRITER, str(file), "a", "100000") as process:
        assert line_of(process) == "ready"
        tell(process)
        deadline = time.monotonic() + 20
        with opened(file) as catalog:
            while catalog.directory("a/200") is None:
                assert time.monotonic() < deadline
            process.kill()
            process.wait()
            seen = [catalog.directory(f"a/{number}") for number in range(200)]

            assert all(seen)
            catalog.put_directory(known("after"))
            assert catalog.flush()
            assert catalog.rebuilt is None


def test_what_a_killed_process_left_half_written_is_removed(file: Path) -> None:
    stored(file, known("a", row("x", 1)))
    with closing(sqlite3.connect(file)) as connection:
        for first in range(200):
            connection.execute("INSERT INTO items VALUES (5, ?, 'x')", (bytes([first]),))
        connection.execute("INSERT INTO garbage VALUES (5, 100.0)")
        connection.execute("INSERT INTO items VALUES (6, ?, 'x')", (b"in progress",))
        connection.execute("INSERT INTO garbage VALUES (6, ?)", (time.time(),))
        connection.commit()

    stored(file, known("b"))

    with closing(sqlite3.connect(file)) as connection:
        left = connection.execute("SELECT DISTINCT generation FROM items").fetchall()
        assert (5,) not in left
        assert (6,) in left
    assert found(file, "a") == known("a", row("x", 1))


def test_many_threads_read_and_write(file: Path) -> None:
    directories = [known(f"d/{number}", row("x", number)) for number in range(40)]
    wrong: list[object] = []

    def work(catalog: Catalog, offset: int) -> None:
        for number in range(40):
            directory = directories[(number + offset) % 40]
            catalog.put_directory(directory)
            read = catalog.directory(directory.path)
            if read != directory:
                wrong.append(read)

    with opened(file) as catalog:
        threads = [threading.Thread(target=work, args=(catalog, 5 * n)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        catalog.flush()

    assert wrong == []
    assert [found(file, directory.path) for directory in directories] == directories


@pytest.mark.slow
def test_a_listing_that_is_replaced_while_it_is_read_is_never_mixed(file: Path) -> None:
    variants = [many("a", 9000), replace(many("b", 9000), path="a")]
    stored(file, variants[0])
    done = threading.Event()

    def exchange() -> None:
        with opened(file) as catalog:
            for number in range(40):
                catalog.put_directory(replace(variants[number % 2], fetched_s=2000.0 + number))
                catalog.flush()
        done.set()

    other = threading.Thread(target=exchange)
    other.start()
    wrong, seen = 0, 0
    with opened(file) as catalog:
        while not done.is_set():
            read = catalog.directory("a")
            seen += read is not None
            wrong += read is not None and read.rows not in [each.rows for each in variants]
    other.join()

    assert wrong == 0
    assert seen > 3


# -- damage ----------------------------------------------------------------------------


def sample() -> list[KnownDirectory]:
    return [many("big", 700), known("small", row("x", 1), row("y")), known("")]


def assert_nothing_wrong(file: Path, directories: list[KnownDirectory]) -> int:
    """Read all directories after some damage; return how many are still known."""
    survivors = 0
    with opened(file) as catalog:
        for directory in directories:
            read = catalog.directory(directory.path)
            # Of versions, damage to SQLite's own structure may lose some, as if never learnt.
            lost = read is not None and read == without_lost(directory, read)
            assert read in (None, directory) or lost
            survivors += read is not None
        again = known("again", row("z", 9))
        catalog.put_directory(again)
        assert catalog.flush(), catalog.unwell
    assert found(file, "again") == again
    return survivors


def without_lost(directory: KnownDirectory, read: KnownDirectory) -> KnownDirectory:
    """The directory without the versions that `read` lacks."""
    rows = [
        replace(whole, version=None) if there.version is None else whole
        for whole, there in zip(directory.rows, read.rows, strict=True)
    ]
    return replace(directory, rows=tuple(rows))


@pytest.fixture
def image(file: Path) -> bytes:
    """A sound catalog with the `sample` in it, as bytes, and nothing left on disk."""
    stored(file, *sample())
    content = file.read_bytes()
    for each in file.parent.iterdir():
        each.unlink()
    return content


@pytest.mark.expects_warnings
@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.3, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_never_believed(file: Path, image: bytes, share: float) -> None:
    file.write_bytes(image[: int(share * len(image))])

    assert_nothing_wrong(file, sample())


@pytest.mark.slow
@pytest.mark.expects_warnings
def test_whole_pages_of_rubbish_are_never_believed(file: Path, image: bytes) -> None:
    some = random.Random(1)
    for page in range(len(image) // 4096):
        for rubbish in (bytes(4096), some.randbytes(4096), image[-4096:]):
            damaged = image[: 4096 * page] + rubbish + image[4096 * (page + 1) :]
            file.write_bytes(damaged)
            assert_nothing_wrong(file, sample())


@pytest.mark.expects_warnings
@pytest.mark.slow
def test_flipped_bits_are_never_believed(file: Path, image: bytes) -> None:
    some = random.Random(2)
    survivors = 0
    for _ in range(300):
        damaged = bytearray(image)
        damaged[some.randrange(len(image))] ^= 1 << some.randrange(8)
        file.write_bytes(damaged)
        survivors += assert_nothing_wrong(file, sample())

    # One flipped bit costs one directory as a rule.
    assert survivors > 300


@pytest.mark.expects_warnings
def test_damage_of_one_directory_costs_only_that_one(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stored(file, *sample())
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("UPDATE directory SET row_count = 1 WHERE path = ?", (b"small",))
        connection.execute("DELETE FROM items WHERE first = (SELECT max(first) FROM items)")
        connection.commit()
    counters = Counters()

    with opened(file, counters=counters) as catalog:
        assert catalog.directory("small") is None
        assert catalog.directory("") == known("")
        catalog.flush()
        assert catalog.rebuilt is None
    assert counters["catalog_rejects"] == 1
    assert "'small' is damaged and forgotten" in caplog.text


@pytest.mark.expects_warnings
@pytest.mark.parametrize("content", [b"", b"\0" * 9000, b"not a database " * 1000])
def test_another_file_in_its_place_is_set_aside(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    stored(file, known("a"))

    assert found(file, "a") == known("a")


@pytest.mark.expects_warnings
def test_a_directory_or_a_link_in_its_place_is_set_aside(file: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    file.mkdir()
    (file / "x").touch()
    stored(file, known("a"))
    file.unlink()
    file.symlink_to(precious)
    stored(file, known("b"))

    assert found(file, "b") == known("b")
    assert (tmp_path / "catalog-v1.db.foreign" / "x").exists()
    assert (tmp_path / "catalog-v1.db.foreign2").is_symlink()
    assert precious.read_text() == "mine"


@pytest.mark.expects_warnings
def test_somebody_elses_database_is_set_aside_and_kept(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    with opened(file) as catalog:
        assert catalog.directory("a") is None
        assert "not a catalog" in (catalog.rebuilt or "")
    with closing(sqlite3.connect(f"{file}.foreign")) as connection:
        assert connection.execute("SELECT count(*) FROM theirs").fetchone() == (0,)


@pytest.mark.expects_warnings
def test_the_catalog_of_another_archive_is_not_believed(file: Path) -> None:
    stored(file, known("a", row("x", 1)))
    with opened(file, url="https://other.test/") as catalog:
        assert catalog.directory("a") is None
        assert "another archive" in (catalog.rebuilt or "")


def test_a_newer_format_is_left_alone(file: Path) -> None:
    stored(file, known("a"))
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA user_version = 2")
    before = file.read_bytes()

    stored(file, known("b"))

    assert file.read_bytes() == before
    with opened(file) as catalog:
        assert catalog.directory("b") == known("b")
        assert catalog.path.name == "catalog-v1-format1.db"
        assert catalog.rebuilt is None


def test_a_catalog_deleted_while_open_is_begun_anew(file: Path) -> None:
    with opened(file) as catalog:
        catalog.put_directory(known("a"))
        catalog.flush()
        for each in file.parent.iterdir():
            each.unlink()

        assert catalog.directory("a") is None
        catalog.put_directory(known("b"))
        assert catalog.flush()
    assert found(file, "b") == known("b")


@pytest.mark.expects_warnings
def test_a_catalog_damaged_while_open_is_set_aside_by_one_and_found_by_all(file: Path) -> None:
    stored(file, *sample())
    with opened(file) as one, opened(file) as other:
        assert other.directory("big") is not None
        with file.open("r+b") as damaged:
            damaged.write(b"x" * 4096)
        with closing(sqlite3.connect(file.parent / "other.db")) as connection:
            connection.execute("CREATE TABLE t (x)")  # the library itself still works
        assert one.directory("big") is None
        assert one.rebuilt is not None
        one.put_directory(known("new"))
        assert one.flush()

        assert other.directory("new") == known("new")
        other.put_directory(known("newer"))
        assert other.flush()
        assert one.directory("newer") == known("newer")
    assert found(file, "newer") == known("newer")
    assert file.with_name("catalog-v1.db.damaged").exists()


@pytest.mark.expects_warnings
def test_a_missing_folder_is_survived_until_it_is_there(tmp_path: Path) -> None:
    file = tmp_path / "later" / "catalog-v1.db"
    with opened(file, retry_after_s=0.0) as catalog:
        assert catalog.directory("a") is None
        catalog.put_directory(known("a"))
        assert not catalog.flush()
        assert "No such file" in (catalog.unwell or "")

        file.parent.mkdir()
        catalog.put_directory(known("a"))
        assert catalog.flush()
        assert catalog.directory("a") == known("a")
        assert catalog.unwell is None


@pytest.mark.expects_warnings
def test_a_failed_opening_is_not_repeated_at_every_call(tmp_path: Path) -> None:
    file = tmp_path / "later" / "catalog-v1.db"
    with opened(file, retry_after_s=1000.0) as catalog:
        assert catalog.directory("a") is None
        file.parent.mkdir()

        assert catalog.directory("a") is None
        assert not file.exists()


UNPRIVILEGED = """
import os, sys
from pathlib import Path
from empiarfs.catalog import Catalog, KnownDirectory
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
catalog = Catalog(Path(sys.argv[1]), archive_url="https://archive.test/empiar/")
print(catalog.directory("a") is not None)
catalog.put_directory(KnownDirectory("b", 1.0, (), 0))
print(catalog.flush(), catalog.unwell is not None)
catalog.close()
"""


def test_a_read_only_catalog_is_survived(tmp_path: Path) -> None:
    folder = tmp_path / "read-only"
    folder.mkdir()
    stored(folder / "catalog-v1.db", known("a"))
    for each in folder.iterdir():
        each.chmod(0o444)
    folder.chmod(0o555)
    for parent in [tmp_path, *tmp_path.parents][:4]:
        if parent.stat().st_uid == os.getuid() and parent != Path("/tmp"):
            parent.chmod(0o755)

    with child(UNPRIVILEGED, str(folder / "catalog-v1.db")) as process:
        output, _ = process.communicate(timeout=20)

    assert output.splitlines() == ["False", "False True"]
    assert process.returncode == 0
    assert sorted(each.name for each in folder.iterdir()) == [
        "catalog-v1.db",
        "catalog-v1.db-journal",
        "catalog-v1.db.lock",
    ]


FULL_DISK = """
import resource, sys
from pathlib import Path
from empiarfs.catalog import Catalog, KnownDirectory, KnownRow
from empiarfs.core.listing import ListingItem
catalog = Catalog(Path(sys.argv[1]), archive_url="https://archive.test/empiar/")
catalog.put_directory(KnownDirectory("first", 1.0, (), 0))
print(catalog.flush())
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, -1))
rows = tuple(
    KnownRow(ListingItem(f"{n * 2654435761 % 2**64:x}" * 8, False, "", ""), None)
    for n in range(20000)
)
catalog.put_directory(KnownDirectory("large", 1.0, rows, 0))
print(catalog.flush(20), catalog.unwell is not None, catalog.directory("large") is None)
print(catalog.directory("first") is not None)
resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))
catalog.put_directory(KnownDirectory("large", 1.0, rows, 0))
print(catalog.flush(20), catalog.unwell, len(catalog.directory("large").rows), catalog.rebuilt)
catalog.close()
"""


def test_a_full_disk_is_survived_and_noticed(file: Path) -> None:
    """A limit on the size of files takes the place of a full disk, in another process."""
    with child(FULL_DISK, str(file)) as process:
        output, _ = process.communicate(timeout=60)

    assert output.splitlines() == ["True", "False True True", "True", "True None 20000 None"]
    assert process.returncode == 0


@pytest.mark.slow
def test_the_bound_is_kept_by_forgetting_what_was_fetched_longest_ago(file: Path) -> None:
    limit = 1024 * 1024
    with opened(file, limit=limit) as catalog:
        for number in range(60):
            catalog.put_directory(many(f"d/{number}", 1000, 100.0 + number))
            assert catalog.flush()
        survivors = [number for number in range(60) if catalog.fetched_s(f"d/{number}")]

    assert file.stat().st_size <= limit
    assert survivors == list(range(survivors[0], 60))
    assert len(survivors) > 15


@pytest.mark.expects_warnings
def test_a_listing_larger_than_the_bound_is_dropped(file: Path) -> None:
    with opened(file, limit=256 * 1024) as catalog:
        catalog.put_directory(known("small"))
        catalog.flush()
        catalog.put_directory(many("large", 20_000))

        assert not catalog.flush()
        assert catalog.directory("large") is None
        assert catalog.directory("small") == known("small")
        catalog.put_directory(known("another", row("x", 1)))
        assert catalog.flush()


def test_while_another_process_holds_the_lock_reading_goes_on(file: Path) -> None:
    stored(file, known("a"))
    with opened(file) as catalog, closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        catalog.put_directory(known("b"))

        assert catalog.directory("a") == known("a")
        assert not catalog.flush(0.01)
        assert catalog.directory("b") == known("b")
        other.execute("ROLLBACK")
        assert catalog.flush(10)
    assert found(file, "b") == known("b")


@pytest.mark.expects_warnings
@pytest.mark.slow
def test_a_lock_that_is_never_released_costs_seconds_and_no_error(file: Path) -> None:
    stored(file, known("a"))
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with opened(file) as catalog:
            catalog.put_directory(known("b"))
            assert not catalog.flush(20)
            assert "locked" in (catalog.unwell or "")


@pytest.mark.slow
@pytest.mark.expects_warnings
def test_a_process_that_hangs_while_opening_holds_up_no_other_for_long(file: Path) -> None:
    stored(file, known("a"))
    with file.with_name(f"{file.name}.lock").open("rb") as lock, opened(file) as catalog:
        fcntl.flock(lock, fcntl.LOCK_EX)
        start = time.monotonic()

        assert catalog.directory("a") is None
        assert time.monotonic() - start < 5
        assert "lock" in (catalog.unwell or "")


# -- figures ---------------------------------------------------------------------------


def test_20_000_rows_are_small(file: Path) -> None:
    directory = many("10005/data", 20_000)
    name_length = sum(len(each.item.name) for each in directory.rows) / 20_000
    stored(file, directory)

    assert file.stat().st_size / 20_000 <= 50 + name_length
    with opened(file) as catalog:
        assert catalog.directory("10005/data") == directory


@pytest.mark.slow
def test_other_threads_run_while_a_large_directory_is_read(file: Path) -> None:
    stored(file, many("d", 20_000))
    turns = 0
    reading = threading.Event()
    done = threading.Event()

    def take_turns() -> None:
        nonlocal turns
        reading.wait()
        while not done.wait(0.0005):
            turns += 1

    other = threading.Thread(target=take_turns)
    other.start()
    with opened(file) as catalog:
        reading.set()
        catalog.directory("d")
        done.set()
    other.join()

    # Reading takes at least 40 ms; with the interpreter's 5 ms for each turn that is 8.
    assert turns >= 4


@pytest.mark.slow
@pytest.mark.fuse
@pytest.mark.expects_warnings
def test_a_disk_that_hangs_costs_seconds_and_is_left_alone_then(tmp_path: Path) -> None:
    with faulty_disk(tmp_path) as disk:
        file = disk.path / "catalog-v1.db"
        stored(file, known("a"))
        with opened(file) as catalog:
            disk.hang()
            began_s = time.monotonic()
            assert catalog.directory("a") is None
            assert time.monotonic() - began_s < 30
            assert "too long" in (catalog.unwell or "")
            began_s = time.monotonic()
            assert all(catalog.directory("a") is None for _ in range(100))
            assert time.monotonic() - began_s < 3
            disk.wake()
            if is_whole():
                wait_until(lambda: catalog.directory("a") == known("a"), 60)
                assert catalog.unwell is None
