"""The scenario `entries`: how long a search takes, in the store and as a command.

No mount and no server: a store of 3,000 entries, all made of the one whole entry that the tests
have, is searched for words that many of them have, and for filters that no index helps with.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from empiarfs.cache.directory import CachePlace, open_cache_directory
from empiarfs.catalog.entry_rows import Known
from empiarfs.catalog.entry_store import EntryStore
from empiarfs.core.entries.from_json import entry_from_fields
from empiarfs.core.entries.query import Query, parse_dates, parse_numbers
from scripts.benchmarks.archive import Scale
from scripts.benchmarks.clients import EMPIARFS
from scripts.benchmarks.figures import Figure, Sample, Unit
from scripts.benchmarks.goals import Below
from scripts.benchmarks.scenario import Scenario
from scripts.benchmarks.stage import Stage, WrongAnswerError
from tests.support.entry_api import documents, many_entries

_ENTRIES = 3000
_HITS = 50
_API_URL = "http://127.0.0.1:9/api/"
_QUERIES = (
    Query(words=("structure", "molecule")),
    Query(words=("struct",), pixel=parse_numbers("0.5..1.2"), released=parse_dates("2020..")),
    Query(data_format="TIFF", category="multiframe"),
)
_COMMANDS = {
    "entries.command": ("search", "--offline", "--quiet", "structure", "molecule"),
    "entries.help": ("search", "--help"),
}


def _figures(scale: Scale) -> tuple[Figure, ...]:
    return (
        Figure(
            "entries.search",
            f"search of {_ENTRIES:,} entries, the slowest of {len(_QUERIES)}",
            Unit.LATENCY,
            (Below(0.15, Unit.LATENCY),),
        ),
        Figure(
            "entries.command",
            "the command `search`, from its start to its end",
            Unit.LATENCY,
            (Below(0.5, Unit.LATENCY),),
        ),
        Figure("entries.help", "search --help", Unit.LATENCY, (Below(0.3, Unit.LATENCY),)),
    )


def _measure(stage: Stage) -> Iterator[Sample]:
    if stage.client is not EMPIARFS:
        return  # it is no mount that is compared here
    with tempfile.TemporaryDirectory(prefix="empiarfs-bench-") as folder:
        _fill(Path(folder))
        yield Sample("entries.search", max(_search(Path(folder))))
        for figure, words in _COMMANDS.items():
            yield Sample(figure, _taken(partial(_run, Path(folder), words)))


def _store(folder: Path) -> EntryStore:
    directory = open_cache_directory(CachePlace(folder, ""), None)
    return EntryStore(directory.entries_path(_API_URL), api_url=_API_URL)


def _fill(folder: Path) -> None:
    entries = many_entries(_ENTRIES)
    made = documents(entries)
    store = _store(folder)
    try:
        store.put(
            Known(entry_from_fields(number, fields), "api", made[number], time.time())
            for number, fields in entries.items()
        )
        store.put_numbers(sorted(entries), time.time())
    finally:
        store.close()


def _search(folder: Path) -> list[float]:
    store = _store(folder)
    try:
        # The first search with words builds the index, once for all.
        store.search(_QUERIES[0], 1)
        return [_taken(partial(_check, store, query)) for query in _QUERIES]
    finally:
        store.close()


def _check(store: EntryStore, query: Query) -> None:
    if len(store.search(query, _HITS)) != _HITS:
        raise WrongAnswerError(f"not all entries were found: {query}")


def _run(folder: Path, words: tuple[str, ...]) -> None:
    environment = os.environ | {
        "EMPIARFS_CACHE_DIR": str(folder),
        "EMPIARFS_API_URL": _API_URL,
        "HOME": str(folder),
    }
    done = subprocess.run(
        [sys.executable, "-m", "empiarfs", *words],
        env=environment,
        capture_output=True,
        check=True,
        timeout=60,
    )
    if len(done.stdout.splitlines()) < 10:
        raise WrongAnswerError("the command printed too little")


def _taken(work: Callable[[], object]) -> float:
    began_s = time.perf_counter()
    work()
    return time.perf_counter() - began_s


ENTRIES_SCENARIOS = (Scenario("entries", "searching what is known", _figures, _measure),)
