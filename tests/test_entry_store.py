"""The store of entries: what goes in comes out, is found, and is checked."""

from __future__ import annotations

import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from empiarfs.catalog import entry_search
from empiarfs.catalog.entry_outlines import Outline
from empiarfs.catalog.entry_rows import Known
from empiarfs.catalog.entry_store import EntryStore
from empiarfs.core.entries.from_json import entry_from_fields
from empiarfs.core.entries.query import Query, parse_dates, parse_numbers
from empiarfs.errors import CacheError
from empiarfs.stats import Counters
from tests.support.entry_api import SAMPLES, documents, many_entries, sample_entries

API = "http://127.0.0.1/empiar/api/"
XML = (SAMPLES / "10934.xml").read_bytes()


def known(number: int, fetched_s: float = 100.0, **fields: object) -> Known:
    told = {"title": f"Entry {number}", **fields}
    return Known(
        entry_from_fields(number, told), "api", documents({number: told})[number], fetched_s
    )


def samples() -> list[Known]:
    entries = sample_entries()
    made = documents(entries)
    return [
        Known(entry_from_fields(number, fields), "api", made[number], 100.0)
        for number, fields in entries.items()
    ]


def words(*given: str) -> Query:
    return Query(words=given)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "entries.db"


@pytest.fixture
def counters() -> Counters:
    return Counters()


@pytest.fixture
def store(file: Path, counters: Counters) -> Iterator[EntryStore]:
    store = EntryStore(file, api_url=API, counters=counters)
    yield store
    store.close()


@pytest.fixture(params=["fts5", "like"])
def full(
    request: pytest.FixtureRequest, store: EntryStore, monkeypatch: pytest.MonkeyPatch
) -> EntryStore:
    """A store of the recorded entries, searched by FTS5, and as where there is none."""
    if request.param == "like":
        monkeypatch.setattr(entry_search, "has_fts5", lambda: False)
    store.put(samples())
    return store


def found(store: EntryStore, query: Query, limit: int = 10) -> list[int]:
    return [hit.number for hit in store.search(query, limit)]


def test_what_was_put_comes_out_of_another_store(store: EntryStore, file: Path) -> None:
    [first, *_] = samples()
    store.put([first])
    other = EntryStore(file, api_url=API)

    try:
        assert other.get(10934) == first
        assert other.get(10935) is None
    finally:
        other.close()


def test_a_description_in_xml_is_kept_as_such(store: EntryStore) -> None:
    from empiarfs.core.entries.from_xml import entry_from_xml

    one = Known(entry_from_xml(XML), "xml", XML, 7.0)
    store.put([one])

    assert store.get(10934) == one


def test_a_newer_description_takes_the_place_of_the_older(store: EntryStore) -> None:
    store.put([known(10934, title="Old words")])
    assert found(store, words("old")) == [10934]
    store.put([known(10934, 200.0, title="New ones")])

    assert found(store, words("old")) == []
    assert found(store, words("new")) == [10934]
    assert (store.count(), store.fetched()) == (1, {10934: 200.0})


def test_only_its_owner_can_read_the_file(store: EntryStore, file: Path) -> None:
    store.put(samples())

    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_numbers_and_absences_are_kept(store: EntryStore) -> None:
    assert store.numbers() is None
    store.put_numbers([10002, 10934], 50.5)
    store.note_absent([10003], 60.0)

    assert store.numbers() == ([10002, 10934], 50.5)
    assert store.fetched() == {10003: 60.0}


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        (words("Pol"), [10934]),
        (words("pol", "kappa"), [10934]),
        (words("kapp"), [10934]),
        (words("Lancey"), [10934]),
        (words("Nature communications"), [10934]),
        (words("EMD-12602"), [10934]),
        (words("EMPIAR-11561"), [11561]),
        (words("κ"), [10934]),
        (words("cryo-FIB"), [10988, 12104]),
        (words("pombe", "lamellae"), [10988]),
        (words("kappa", "pombe"), []),
        (words("xyzzy"), []),
        (Query(emdb="EMD-12602"), [10934]),
        (Query(experiment_type="fib-sem"), [11419]),
        (Query(data_format="mrc"), [11561, 10988]),
        (Query(data_format="MR"), []),
        (Query(category="tilt series"), [11561, 10988]),
        (Query(category="MULTIFRAME", data_format="TIFF"), [12104, 11561, 10988, 10934]),
        (Query(category="multiframe", data_format="MRC"), []),
        (Query(max_size=10 * 1024**3), [11419]),
        (Query(min_size=1024**4), [10934]),
        (Query(released=parse_dates("2023")), [11561, 11419]),
        (Query(released=parse_dates("2024-01..")), [12104]),
        (Query(released=parse_dates("..2022-06")), [10934]),
        (Query(pixel=parse_numbers("0.5..1.2")), [10934]),
        (Query(pixel=parse_numbers("13.48")), [10988]),
        (Query(words=("cryo",), pixel=parse_numbers("0.543")), [10934]),
        (Query(), [12104, 11561, 11419, 10988, 10934]),
    ],
    ids=lambda value: " ".join(value.words) if isinstance(value, Query) else "",
)
def test_entries_are_found_by_words_and_filters(
    full: EntryStore, query: Query, numbers: list[int]
) -> None:
    got = found(full, query)

    assert sorted(got) == sorted(numbers)
    if not query.words:
        assert got == numbers, "the last released comes first"


@pytest.mark.parametrize(
    "word", ['"', '"*', "AND", "NOT", "NEAR(", "title:", "-", "^", "*", "%", "_", "(", "\\", "'"]
)
def test_marks_of_query_languages_are_words_like_others(full: EntryStore, word: str) -> None:
    assert found(full, words(word, "xyzzy")) == []
    found(full, words(word))


def test_an_outline_has_the_names_of_an_entry(full: EntryStore) -> None:
    outlines = {each.number: each for each in full.outlines()}

    assert list(outlines) == [10934, 10988, 11419, 11561, 12104]
    assert outlines[10934] == Outline(
        10934,
        100.0,
        "2022",
        "EMDB",
        ("EMD-12602",),
        ("10.6019/EMPIAR-10934", "10.1038/s41467-021-26251-6"),
    )
    assert outlines[11419].experiment_type == "FIB-SEM"


def test_values_of_another_kind_are_left_out_of_outlines(full: EntryStore, file: Path) -> None:
    full.close()
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE entry SET release_date = x'35', fetched_s = 'x'")
        connection.execute("UPDATE words SET names = x'ff', papers = 7")
        connection.execute("UPDATE reference SET name = x'ff'")
    connection.close()

    assert full.outlines()[0] == Outline(10934, 0.0, "", "EMDB", (), ())


def test_a_word_in_the_title_counts_more_than_one_below(full: EntryStore) -> None:
    full.put([known(20001, imagesets=[{"name": "ribosome", "details": "ribosome"}])])
    full.put([known(20002, title="The ribosome")])

    assert found(full, words("ribosome"))[0] == 20002


def test_what_was_written_without_fts5_is_found_with_it(
    store: EntryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put([known(20001, title="first")])
    assert found(store, words("first")) == [20001]
    with monkeypatch.context() as patch:
        patch.setattr(entry_search, "has_fts5", lambda: False)
        store.put([known(20001, title="second"), known(20002, title="second")])

    assert found(store, words("first")) == []
    assert found(store, words("second")) == [20002, 20001]


@pytest.mark.expects_warnings
def test_a_damaged_description_is_forgotten(
    store: EntryStore, file: Path, counters: Counters
) -> None:
    store.put([known(20001), known(20002)])
    store.close()
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE document SET document = x'78' WHERE number = 20001")
    connection.close()

    assert store.get(20001) is None
    assert store.get(20002) is not None
    assert (store.count(), counters["entry_rejects"]) == (1, 1)


@pytest.mark.expects_warnings
@pytest.mark.parametrize(
    "content", [b"no database at all" * 100, b"SQLite format 3\0" + b"x" * 5000]
)
def test_a_damaged_file_is_set_aside(store: EntryStore, file: Path, content: bytes) -> None:
    file.write_bytes(content)
    store.put([known(20001)])

    assert store.count() == 1
    assert store.rebuilt is not None
    assert file.with_name("entries.db.damaged").read_bytes() == content


@pytest.mark.expects_warnings
def test_the_entries_of_another_api_are_set_aside(store: EntryStore, file: Path) -> None:
    store.put([known(20001)])
    store.close()
    other = EntryStore(file, api_url="http://127.0.0.2/")

    try:
        assert other.get(20001) is None
        assert file.with_name("entries.db.foreign").exists()
    finally:
        other.close()


@pytest.mark.expects_warnings
def test_a_newer_format_is_left_alone(file: Path, store: EntryStore) -> None:
    store.put([known(20001)])
    store.close()
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA user_version = 2")
    connection.close()
    before = file.read_bytes()

    assert store.get(20001) is None
    store.put([known(20002)])
    assert store.path.name == "entries-format1.db"
    assert file.read_bytes() == before


@pytest.mark.expects_warnings
def test_a_directory_that_is_gone_is_said_so(tmp_path: Path) -> None:
    store = EntryStore(tmp_path / "gone" / "entries.db", api_url=API)

    assert store.get(20001) is None
    with pytest.raises(CacheError, match="can't be used"):
        store.put([known(20001)])
    with pytest.raises(CacheError, match=r"entries\.db"):
        store.search(Query(), 1)


def test_three_thousand_entries_are_searched_through_the_index(store: EntryStore) -> None:
    entries = many_entries(300)
    made = documents(entries)
    store.put(
        Known(entry_from_fields(number, fields), "api", made[number], 1.0)
        for number, fields in entries.items()
    )

    assert len(found(store, words("number", "of"), 1000)) == 300
    assert found(store, words("structure", "123"), 3)[0] == 10_002 + 123 + 12
