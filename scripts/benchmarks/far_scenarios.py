"""The scenarios over slow links, and the goals that the project set itself for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from scripts.benchmarks.archive import MOVIE, Scale
from scripts.benchmarks.far import (
    Reading,
    latency,
    measure_budget,
    measure_each,
    measure_ls,
    measure_reading,
    measure_streams,
    seconds,
    seconds_and_fullness,
)
from scripts.benchmarks.far_archive import (
    FRAME,
    HEADERS,
    MRC_HEADER,
    SMALL_FILE,
    SMALL_FILES,
    STACK,
)
from scripts.benchmarks.figures import Figure, Goal, Sample, Unit
from scripts.benchmarks.goals import (
    AtLeast,
    Below,
    ConnectionsWithin,
    FetchesWithin,
    RequestsWithin,
    UnreadBelow,
)
from scripts.benchmarks.scenario import Scenario
from scripts.benchmarks.stage import Stage

_HEADER = 1_024
_EVERY = 10
_PICKED = 100
# What may have been fetched in vain, in bytes for one piece of work, and of all that was fetched.
WORST_UNREAD = 64_000_000
UNREAD_PART = 0.15
_POLITE = ConnectionsWithin(20)


def _start_of_movie(share: float, point: Path, scale: Scale) -> tuple[str | Path, ...]:
    return ("start", point / MOVIE, str(int(share * scale.movie_size)))


def _headers(share: float, point: Path, scale: Scale) -> tuple[str | Path, ...]:
    return ("each", point / HEADERS, str(int(share * scale.far.headers)), str(_HEADER))


def _small_files(share: float, point: Path, scale: Scale) -> tuple[str | Path, ...]:
    count = int(share * scale.far.small_files)
    return ("each", point / SMALL_FILES, str(count), str(2 * SMALL_FILE))


def _picks(how: str, point: Path, scale: Scale) -> tuple[str | Path, ...]:
    return ("pick", point / MOVIE, how, str(_PICKED))


def _every_tenth_frame(point: Path, scale: Scale) -> tuple[str | Path, ...]:
    return ("frames", point / STACK, str(MRC_HEADER), str(FRAME), str(_EVERY))


def _scenario(
    link: str,
    name: str,
    title: str,
    figures: tuple[Figure, ...],
    measure: Callable[[Stage], Iterator[Sample]],
) -> Scenario:
    return Scenario(f"{link}.{name}", title, lambda scale: figures, measure, link)


def _reading(
    link: str,
    name: str,
    title: str,
    goals: tuple[Goal, ...],
    words: Callable[[Path, Scale], Sequence[str | Path]],
    *,
    unit: Unit = Unit.SECONDS,
) -> Scenario:
    """Return a scenario of one program that reads, with one figure."""
    key = f"{link}.{name}"
    values = partial(latency if unit is Unit.LATENCY else seconds, key)
    return _scenario(
        link,
        name,
        title,
        (Figure(key, title, unit, goals),),
        partial(measure_reading, key, Reading(words, values)),
    )


def _sweeps() -> Scenario:
    """Return the scenario of work that stops half-way, or loses its order."""
    sweeps = (
        ("headers", "headers of 200 files of 50 MB, given up after 60", partial(_headers, 0.3)),
        ("files", "500 files of 65 KB, given up after 100", partial(_small_files, 0.2)),
        ("turned", "headers in order for 10 files, then of 50 in no order", _turned),
        ("stream", "a stream of 2 GB, given up after 30 MB", partial(_start_of_movie, 0.015)),
    )
    figures = tuple(
        Figure(f"good.sweeps.{name}", title, Unit.SECONDS, (UnreadBelow(WORST_UNREAD),))
        for name, title, _ in sweeps
    )
    readings = {
        f"good.sweeps.{name}": Reading(words, partial(seconds, f"good.sweeps.{name}"))
        for name, _, words in sweeps
    }
    title = "sweeps that stop half-way, or turn out random"
    return _scenario("good", "sweeps", title, figures, partial(measure_each, readings))


def _turned(point: Path, scale: Scale) -> tuple[str | Path, ...]:
    ordered, scattered = max(1, scale.far.headers // 20), scale.far.headers // 4
    return ("turn", point / HEADERS, str(ordered), str(scattered), str(_HEADER))


def _below(limit_s: float) -> Below:
    return Below(limit_s, Unit.SECONDS)


FAR_SCENARIOS = (
    _reading(
        "good",
        "stream",
        "first 400 MB of a 2 GB file",
        (_below(3.7),),
        partial(_start_of_movie, 0.2),
    ),
    _reading(
        "good",
        "headers",
        "1 KiB header of each of 200 files of 50 MB, in order",
        (_below(1.5), FetchesWithin(200 * 150 * 1024)),
        partial(_headers, 1.0),
    ),
    _reading(
        "good",
        "files",
        "500 files of 65 KB, whole, one after another",
        (_below(2.5),),
        partial(_small_files, 1.0),
    ),
    _scenario(
        "good",
        "ls",
        "ls -l of 2,000 files",
        (Figure("good.ls", "ls -l of 2,000 files", Unit.SECONDS, (_below(0.8),)),),
        partial(measure_ls, "good.ls"),
    ),
    _reading(
        "good",
        "scattered",
        "100 scattered reads of 4 KiB in a 2 GB file, each",
        (Below(0.060, Unit.LATENCY), FetchesWithin(_PICKED * 96 * 1024)),
        partial(_picks, "read"),
        unit=Unit.LATENCY,
    ),
    _reading(
        "good",
        "mmap",
        "the same through mmap, each",
        (FetchesWithin(_PICKED * 250 * 1024),),
        partial(_picks, "mmap"),
        unit=Unit.LATENCY,
    ),
    _scenario(
        "good",
        "four",
        "four programs, each streaming its own 200 MB file",
        (
            Figure("good.four", "four programs, 200 MB each", Unit.SECONDS),
            Figure("good.four.full", "of the link", Unit.PART, (AtLeast(0.9, Unit.PART),)),
            Figure(
                "good.four.spread",
                "slowest to fastest",
                Unit.RATIO,
                (Below(1.3, Unit.RATIO),),
            ),
        ),
        partial(measure_streams, "good.four"),
    ),
    _scenario(
        "good",
        "frames",
        "each tenth frame of 4 MB of a 2 GB stack",
        (
            Figure("good.frames", "each tenth frame of 4 MB of a 2 GB stack", Unit.SECONDS),
            Figure("good.frames.full", "of the link", Unit.PART, (AtLeast(0.8, Unit.PART),)),
        ),
        partial(
            measure_reading,
            "good.frames",
            Reading(_every_tenth_frame, partial(seconds_and_fullness, "good.frames")),
        ),
    ),
    _scenario(
        "ebi",
        "ls",
        "ls -l of 2,000 files",
        (
            Figure(
                "ebi.ls",
                "ls -l of 2,000 files",
                Unit.SECONDS,
                (_below(8.0), RequestsWithin(3_001), _POLITE),
            ),
        ),
        partial(measure_ls, "ebi.ls"),
    ),
    _reading(
        "ebi",
        "stream",
        "first 60 MB of a 2 GB file",
        (_below(6.0), _POLITE),
        partial(_start_of_movie, 0.03),
    ),
    _reading(
        "ebi",
        "headers",
        "1 KiB header of each of 50 files of 50 MB, in order",
        (_below(4.0), _POLITE),
        partial(_headers, 0.25),
    ),
    _reading(
        "ebi",
        "files",
        "100 files of 65 KB, whole, one after another",
        (_below(4.0), _POLITE),
        partial(_small_files, 0.2),
    ),
    _sweeps(),
    _scenario(
        "ebi",
        "budget",
        "two mounts and a copy from a third at once",
        (Figure("ebi.budget", "two mounts and a copy at once", Unit.SECONDS, (_POLITE,)),),
        partial(measure_budget, "ebi.budget"),
    ),
)
