"""The scenarios of the catalog: what is known of names, how fast it is learnt and searched.

catalog     no server: an entry of a million invented files is stored, and searched by the
            command `find`; a listing of 200,000 rows is parsed, each in a process of its own
index       the command `index` over a slow link, of the directory with many files over the
            good one, and of that with some thousand over that of EMPIAR's kind
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from empiarfs.cache.directory import CachePlace, open_cache_directory
from empiarfs.catalog import Catalog, KnownDirectory, KnownRow
from empiarfs.core.files import FileVersion
from empiarfs.core.listing import ListingItem
from empiarfs.core.sizes import size_text
from scripts.benchmarks.archive import MANY, Scale
from scripts.benchmarks.clients import EMPIARFS
from scripts.benchmarks.far_archive import LISTED
from scripts.benchmarks.figures import Figure, Sample, Unit
from scripts.benchmarks.goals import Below, ConnectionsWithin
from scripts.benchmarks.scenario import Scenario
from scripts.benchmarks.stage import Stage, WrongAnswerError

_URL = "http://127.0.0.1:9/archive/"
_DIRECTORIES = 100
_FULL, _QUICK = 1_000_000, 20_000
_ROWS = 200_000
# Of the files one in ten is searched for.
_WANTED_EVERY = 10
_CHECKOUT = Path(__file__).resolve().parents[2]
_DEADLINE_S = 600
_GOOD_RATE, _EBI_RATE = 3_000, 250

_PARSE = """
import sys, time
from empiarfs.core.listing import ListingParser
from tests.support.listing_page import Row, render

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

rows = [Row(f"FoilHole_{n:08d}_Data_{n * 7919 % 10**8:08d}_{n:07d}_frames.tiff", False, 10**8 + n)
        for n in range(int(sys.argv[1]))]
page = render("/archive/10511/data/", rows)
rows.clear()
before, began_s = resident(), time.perf_counter()
parser = ListingParser("http://127.0.0.1/archive/10511/data/")
for start in range(0, len(page), 65536):
    parser.feed(page[start:start + 65536])
listing = parser.finish()
print(time.perf_counter() - began_s, resident() - before, len(listing.items))
"""


def _files(scale: Scale) -> int:
    """Return how many files are invented: less for a quick run."""
    return _FULL if scale.many >= 20_000 else _QUICK


def _figures(scale: Scale) -> tuple[Figure, ...]:
    files = _files(scale)
    # 50 bytes for each, and as much for its name.
    most = 100.0 * files
    return (
        Figure("catalog.size", f"{files:,} files, with names, in the catalog", Unit.BYTES,
               (Below(most, Unit.BYTES),)),
        Figure("catalog.find", f"find --name over {files:,} indexed files", Unit.SECONDS,
               (Below(2.0, Unit.SECONDS),)),
        Figure("catalog.parse", f"a listing of {_ROWS:,} rows", Unit.SECONDS,
               (Below(1.0, Unit.SECONDS),)),
        Figure("catalog.rows", "memory for its rows", Unit.BYTES, (Below(100e6, Unit.BYTES),)),
    )  # fmt: skip


def _measure(stage: Stage) -> Iterator[Sample]:
    if stage.client is not EMPIARFS:
        return  # it is no mount that is compared here
    files = _files(stage.archive.scale)
    with tempfile.TemporaryDirectory(prefix="empiarfs-bench-") as folder:
        directory = open_cache_directory(CachePlace(Path(folder), ""), None)
        path = directory.catalog_path(_URL)
        _fill(path, files)
        yield Sample("catalog.size", path.stat().st_size)
        seconds, printed = _command(folder, _URL, "find", "10934", "--name", "*.eer")
        if len(printed.splitlines()) != files // _WANTED_EVERY:
            raise WrongAnswerError("find printed too much or too little")
        yield Sample("catalog.find", seconds)
    parsed = _run([sys.executable, "-c", _PARSE, str(_ROWS)], dict(os.environ)).split()
    if int(parsed[2]) != _ROWS:
        raise WrongAnswerError(f"{int(parsed[2])} rows were parsed")
    yield Sample("catalog.parse", float(parsed[0]))
    yield Sample("catalog.rows", float(parsed[1]))


def _fill(path: Path, files: int) -> None:
    """Store an entry of so many files."""
    some, now_s = random.Random(1), time.time()
    each = files // _DIRECTORIES
    with closing(Catalog(path, archive_url=_URL)) as catalog:
        for parent, name in (("", "10934"), ("10934", "data")):
            catalog.put_directory(KnownDirectory(parent, now_s, (_directory(name),), 0))
        below = tuple(_directory(f"TS_{number:03}") for number in range(_DIRECTORIES))
        catalog.put_directory(KnownDirectory("10934/data", now_s, below, 0))
        for number in range(_DIRECTORIES):
            rows = tuple(_file(some, number * each + place) for place in range(each))
            catalog.put_directory(KnownDirectory(f"10934/data/TS_{number:03}", now_s, rows, 0))
            if not catalog.flush(_DEADLINE_S):
                raise WrongAnswerError("the catalog isn't written")


def _directory(name: str) -> KnownRow:
    return KnownRow(ListingItem(name, True, "", "2025-02-07 19:49"), None)


def _file(some: random.Random, number: int) -> KnownRow:
    kind = "tiff" if number % _WANTED_EVERY else "eer"
    name = f"FoilHole_{number:08d}_Data_{some.randrange(10**8):08d}_20230112_frames.{kind}"
    version = FileVersion(568_000_000 + some.randrange(2**26), 1_690_000_000 + 37 * number)
    listed = time.strftime("%Y-%m-%d %H:%M", time.gmtime(version.modified_s))
    return KnownRow(ListingItem(name, False, size_text(version.size), listed), version)


def _index_figures(key: str, rate: int, scale: Scale) -> tuple[Figure, ...]:
    files = scale.many if key == "good.index" else scale.far.listed
    goals = (Below(files / rate, Unit.SECONDS), ConnectionsWithin(20))
    return (Figure(key, f"index of {files:,} files ({rate:,}/s)", Unit.SECONDS, goals),)


def _measure_index(key: str, stage: Stage) -> Iterator[Sample]:
    if stage.client is not EMPIARFS:
        return
    place = MANY if key == "good.index" else LISTED
    expected = stage.archive.sizes if key == "good.index" else stage.archive.listed
    with tempfile.TemporaryDirectory(prefix="empiarfs-bench-") as folder:
        with stage.traffic() as traffic:
            seconds, said = _command(folder, stage.way.url, "index", place)
        if f": {len(expected):,} files in 1 directory, " not in said:
            raise WrongAnswerError(said)
        yield traffic.sample(key, seconds)


def _command(folder: str, url: str, *words: str) -> tuple[float, str]:
    """Run a command; return how long it took from its start to its end, and what it printed."""
    environment = os.environ | {
        "EMPIARFS_ARCHIVE_URL": url,
        "EMPIARFS_CACHE_DIR": folder,
        "HOME": folder,
    }
    began_s = time.perf_counter()
    printed = _run([sys.executable, "-m", "empiarfs", *words], environment)
    return time.perf_counter() - began_s, printed


def _run(command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(
        command,
        cwd=_CHECKOUT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=_DEADLINE_S,
    )
    if done.returncode != 0:
        raise WrongAnswerError(f"{command[-1]}: status {done.returncode}: {done.stderr[:500]}")
    return done.stdout


def _index_scenario(link: str, rate: int) -> Scenario:
    key = f"{link}.index"
    return Scenario(
        key,
        "learning all sizes",
        lambda scale: _index_figures(key, rate, scale),
        lambda stage: _measure_index(key, stage),
        link,
    )


CATALOG_SCENARIOS = (
    Scenario("catalog", "what is known of a million files", _figures, _measure),
    _index_scenario("good", _GOOD_RATE),
    _index_scenario("ebi", _EBI_RATE),
)
