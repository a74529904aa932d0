"""What is done through each client, and timed; those over slow links are in `far_scenarios`.

A scenario yields samples of its figures, one repetition at a time, and checks what it was
given: bytes by their digest, listings by names and exact sizes.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median

from scripts.benchmarks import readers
from scripts.benchmarks.archive import MANY, MOVIE, SMALL, Scale
from scripts.benchmarks.cache_scenario import CACHE_SCENARIOS
from scripts.benchmarks.catalog_scenario import CATALOG_SCENARIOS
from scripts.benchmarks.entries_scenario import ENTRIES_SCENARIOS
from scripts.benchmarks.far_scenarios import FAR_SCENARIOS
from scripts.benchmarks.figures import Figure, Sample, Unit
from scripts.benchmarks.goals import Below, NoMoreThanPeer, NoRequest
from scripts.benchmarks.images_scenarios import IMAGES_SCENARIOS
from scripts.benchmarks.places import MemoryWatch, Mounted
from scripts.benchmarks.rate_scenario import RATE_SCENARIOS
from scripts.benchmarks.read_scenarios import READ_SCENARIOS, check_bytes
from scripts.benchmarks.scenario import Scenario
from scripts.benchmarks.stage import Stage, WrongAnswerError

# The bounds that the project promises.
MEMORY_AT_START = 80e6
MEMORY_AT_MOST = 400e6
MEMORY_A_NAME = 250
MEMORY_AT_REST = 150e6
LATENCY_S = 0.05
REMOUNTED_LS_S = 1.5

_LS_DEADLINE_S = 300
_SCATTERED_READERS = 4
_SCATTERED_READS = 500
# Fewer listings in between than this say nothing about the longest.
_FEWEST_PROBES = 3


def _listing_figures(scale: Scale) -> tuple[Figure, ...]:
    what = f"ls -l, {scale.many:,} files"
    remounted = (Below(REMOUNTED_LS_S, Unit.SECONDS), NoRequest())
    return (
        Figure("ls.first", f"{what}, first time", Unit.SECONDS),
        Figure("ls.second", f"{what}, second time", Unit.SECONDS, (NoMoreThanPeer(),)),
        Figure("ls.remounted", f"{what}, after a remount", Unit.SECONDS, remounted),
    )


def _measure_listing(stage: Stage) -> Iterator[Sample]:
    with stage.new_place() as place:
        with place.mounted() as mounted:
            yield _timed_ls(stage, "ls.first", mounted)
            yield _timed_ls(stage, "ls.second", mounted)
        with place.mounted() as mounted:
            yield _timed_ls(stage, "ls.remounted", mounted)


def _timed_ls(stage: Stage, figure: str, mounted: Mounted) -> Sample:
    with stage.traffic() as traffic:
        begin = time.monotonic()
        output = _ls("-l", mounted.path / MANY)
        seconds = time.monotonic() - begin
    _check_sizes(stage, output)
    return traffic.sample(figure, seconds)


def _ls(*words: str | Path) -> bytes:
    done = subprocess.run(
        ["/bin/ls", *map(str, words)],
        env={"LC_ALL": "C", "TZ": "UTC"},
        capture_output=True,
        check=False,
        timeout=_LS_DEADLINE_S,
    )
    if done.returncode != 0:
        complaint = done.stderr.decode(errors="replace")[:500]
        raise WrongAnswerError(f"ls: status {done.returncode}: {complaint}")
    return done.stdout


def _check_sizes(stage: Stage, output: bytes) -> None:
    rows = [line.split() for line in output.decode().splitlines()[1:]]
    if {words[-1]: int(words[4]) for words in rows} != stage.archive.sizes:
        raise WrongAnswerError(f"{stage.client.name} lists wrong names or sizes")


def _memory_figures(scale: Scale) -> tuple[Figure, ...]:
    most = MEMORY_AT_MOST + MEMORY_A_NAME * scale.many
    return (
        Figure(
            "memory.start",
            "memory, just mounted",
            Unit.BYTES,
            (Below(MEMORY_AT_START, Unit.BYTES),),
            worst_counts=True,
        ),
        Figure(
            "memory.peak",
            "memory, peak of all reads and listings",
            Unit.BYTES,
            (Below(most, Unit.BYTES),),
            worst_counts=True,
        ),
        Figure(
            "memory.after",
            f"memory, {scale.rest_s:g} s after",
            Unit.BYTES,
            (Below(MEMORY_AT_REST, Unit.BYTES),),
            worst_counts=True,
        ),
    )


def _measure_memory(stage: Stage) -> Iterator[Sample]:
    stage.archive.warm_up()
    with (
        stage.new_place() as place,
        place.mounted() as mounted,
        MemoryWatch(mounted) as watch,
    ):
        yield Sample("memory.start", mounted.memory())
        movie = mounted.path / MOVIE
        _ls("-l", mounted.path / MANY)
        _read_scattered(movie)
        readers.run("read", movie)
        _read_scattered(movie)
        _ls("-l", mounted.path / MANY)
        check_bytes(stage, mounted, MOVIE)
        yield Sample("memory.peak", watch.peak)
        time.sleep(stage.archive.scale.rest_s)
        yield Sample("memory.after", mounted.memory())


def _read_scattered(path: Path) -> None:
    """Read at random places, by several programs at once."""
    with ExitStack() as stack:
        processes = [
            stack.enter_context(readers.started("scatter", path, str(seed), str(_SCATTERED_READS)))
            for seed in range(_SCATTERED_READERS)
        ]
        for process in processes:
            readers.result_of(process)


def _latency_figures(scale: Scale) -> tuple[Figure, ...]:
    rows = f"{scale.many:,}"
    goals = (Below(LATENCY_S, Unit.LATENCY),)
    listing, sizes = f"while {rows} rows are listed", f"during ls -l of {rows}"
    return (
        Figure("latency.p50", f"a small ls {listing}, median", Unit.LATENCY),
        Figure("latency.max", f"a small ls {listing}, longest", Unit.LATENCY, goals, True),
        Figure("latency.sizes.p50", f"a small ls {sizes}, median", Unit.LATENCY),
        Figure("latency.sizes.max", f"a small ls {sizes}, longest", Unit.LATENCY, (), True),
    )


def _measure_latency(stage: Stage) -> Iterator[Sample]:
    for key, words in (("latency", ()), ("latency.sizes", ("-l",))):
        with stage.new_place() as place, place.mounted() as mounted:
            taken = _latencies_during(mounted, partial(_ls, *words, mounted.path / MANY))
        if len(taken) >= _FEWEST_PROBES:
            yield Sample(f"{key}.p50", median(taken), distribution=tuple(taken))
            yield Sample(f"{key}.max", max(taken))


def _latencies_during(mounted: Mounted, work: Callable[[], object]) -> list[float]:
    """Return how long listings of a known directory took while `work` went on."""
    with readers.started("probe", mounted.path / SMALL) as prober:
        assert prober.stderr is not None
        if prober.stderr.readline() != b"ready\n":
            raise WrongAnswerError("the small directory can't be listed")
        begin = time.monotonic()
        work()
        end = time.monotonic()
        taken: list[tuple[float, float]] = readers.result_of(prober)
    return [seconds for start, seconds in taken if begin <= start + seconds and start <= end]


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        *READ_SCENARIOS,
        Scenario("ls", "ls -l of a big directory", _listing_figures, _measure_listing),
        Scenario("memory", "resident memory", _memory_figures, _measure_memory),
        Scenario("latency", "a small ls beside a big one", _latency_figures, _measure_latency),
        *CACHE_SCENARIOS,
        *CATALOG_SCENARIOS,
        *ENTRIES_SCENARIOS,
        *RATE_SCENARIOS,
        *FAR_SCENARIOS,
        *IMAGES_SCENARIOS,
    )
}
