"""What is done over a slow link, through each client with a new cache, and timed.

Nothing is known of the archive before: listings, look-ups and sizes are part of the time, as
they are for somebody who just mounted it. What a program has read is compared with what is
served after the time was taken, by reading it again.

A client that takes longer than two minutes is ended, and "over 120 s" is its figure.

Bytes *unread* came over the wire and were not asked for by the program: read ahead in vain,
asked for twice, or listings and the rest of a piece.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.benchmarks import readers
from scripts.benchmarks.archive import Scale
from scripts.benchmarks.clients import EMPIARFS
from scripts.benchmarks.far_archive import LISTED, SMALL_FILE, SMALL_FILES, STREAMS
from scripts.benchmarks.figures import Sample
from scripts.benchmarks.links import LINKS
from scripts.benchmarks.places import Mounted
from scripts.benchmarks.stage import Stage, Traffic, WrongAnswerError


class GivenUpError(Exception):
    """A client was too slow, and has been killed."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A program that reads, over a link.

    Attributes:
        words: Returns the program of `readers` and its arguments, for a mount point and how
            much is served.
        figures: Returns the values of figures, by key, of the program's answer.
    """

    words: Callable[[Path, Scale], Sequence[str | Path]]
    figures: Callable[[Stage, Any], dict[str, float]]


def measure_reading(key: str, reading: Reading, stage: Stage) -> Iterator[Sample]:
    """Run one program, and yield a sample of each figure; the first has the traffic."""
    traffic = Traffic()
    try:
        with stage.new_place() as place, place.mounted() as mounted:
            with stage.traffic() as traffic:
                [found] = _run(stage, [mounted], reading.words(mounted.path, stage.archive.scale))
            _check(stage, mounted, found["ranges"])
    except GivenUpError:
        yield traffic.sample(key, stage.limit_s, is_over=True)
        return
    first, *others = reading.figures(stage, found).items()
    waits = found.get("each", ())
    yield traffic.sample(*first, wanted=_bytes_of(found["ranges"]), distribution=waits)
    for figure, value in others:
        yield Sample(figure, value)


def measure_ls(key: str, stage: Stage) -> Iterator[Sample]:
    """Run `ls -l`, and compare names and sizes."""
    traffic = Traffic()
    try:
        with (
            stage.new_place() as place,
            place.mounted() as mounted,
            stage.traffic() as traffic,
        ):
            [found] = _run(stage, [mounted], ("list", mounted.path / LISTED))
    except GivenUpError:
        yield traffic.sample(key, stage.limit_s, is_over=True)
        return
    _check_listing(stage, found)
    yield traffic.sample(key, found["seconds"])


def _check_listing(stage: Stage, found: Any) -> None:
    sizes = {name: str(size) for name, size in stage.archive.listed.items()}
    if found["sizes"] != sizes:
        missing = len(sizes.keys() - found["sizes"].keys())
        wrong = len(found["sizes"].items() - sizes.items())
        raise WrongAnswerError(
            f"{found['seconds']:.1f} s, {missing} of {len(sizes)} names missing, {wrong} wrong; "
            f"ls complained of {len(found['complaints'])}"
        )


def measure_streams(key: str, stage: Stage) -> Iterator[Sample]:
    """Run one program for each of some files, all at once."""
    traffic = Traffic()
    scale = stage.archive.scale.far
    names = [f"{STREAMS}/movie_{number}.tif" for number in range(scale.streams)]
    try:
        with stage.new_place() as place, place.mounted() as mounted:
            with stage.traffic() as traffic:
                found = _run(
                    stage,
                    [mounted],
                    *(("start", mounted.path / name, str(scale.stream)) for name in names),
                )
            for one in found:
                _check(stage, mounted, one["ranges"])
    except GivenUpError:
        yield traffic.sample(key, stage.limit_s, is_over=True)
        return
    each = [one["seconds"] for one in found]
    begin = min(one["begin"] for one in found)
    seconds = max(one["begin"] + one["seconds"] for one in found) - begin
    wanted = sum(_bytes_of(one["ranges"]) for one in found)
    yield traffic.sample(key, seconds, wanted=wanted)
    yield Sample(f"{key}.full", _fullness(stage, wanted, seconds))
    yield Sample(f"{key}.spread", max(each) / min(each))


def measure_budget(key: str, stage: Stage) -> Iterator[Sample]:
    """Read from two mounts while a third process copies from a third; for empiarfs only.

    Each mount has a cache and a process of its own, and nothing but the machine in common.
    """
    if stage.client.name != EMPIARFS.name:
        return  # nobody else shares a budget
    traffic, scale = Traffic(), stage.archive.scale.far
    try:
        with ExitStack() as stack:
            folder = Path(
                stack.enter_context(tempfile.TemporaryDirectory(prefix="empiarfs-copy-"))
            )
            mounts = [
                stack.enter_context(stack.enter_context(stage.new_place()).mounted())
                for _ in range(3)
            ]
            one, two, three = (mounted.path for mounted in mounts)
            copy = folder / STREAMS / "movie_1.tif"
            copy.parent.mkdir(parents=True)
            with stage.traffic() as traffic:
                *read, copied, listed = _run(
                    stage,
                    mounts,
                    ("start", one / STREAMS / "movie_0.tif", str(scale.stream // 2)),
                    ("each", two / SMALL_FILES, str(scale.small_files), str(2 * SMALL_FILE)),
                    ("copy", three / STREAMS / "movie_1.tif", copy),
                    ("list", two / LISTED),
                )
            for mounted, found in zip(mounts, read, strict=False):
                _check(stage, mounted, found["ranges"])
            _check(stage, mounts[2], copied["ranges"], below=folder)
            _check_listing(stage, listed)
    except GivenUpError:
        yield traffic.sample(key, stage.limit_s, is_over=True)
        return
    longest = max(found["seconds"] for found in (*read, copied, listed))
    wanted = sum(_bytes_of(found["ranges"]) for found in (*read, copied))
    yield traffic.sample(key, longest, wanted=wanted)


def measure_each(readings: Mapping[str, Reading], stage: Stage) -> Iterator[Sample]:
    """Measure one reading after the other, each with a new cache; the keys are figures."""
    for key, reading in readings.items():
        yield from measure_reading(key, reading, stage)


def _run(stage: Stage, mounts: Sequence[Mounted], *programs: Sequence[str | Path]) -> list[Any]:
    """Run programs at once, and return their answers.

    Raises:
        GivenUpError: They took too long. The clients are dead.
    """
    with ExitStack() as stack:
        processes = [stack.enter_context(readers.started(str(n), *a)) for n, *a in programs]
        try:
            return [readers.result_of(process, stage.limit_s) for process in processes]
        except subprocess.TimeoutExpired:
            for mounted in mounts:
                mounted.abort()
            raise GivenUpError from None


def _check(
    stage: Stage, mounted: Mounted, ranges: list[Any], *, below: Path | None = None
) -> None:
    """Compare with what is served; what was copied lies below another folder than the mount."""
    served = stage.archive.server.root
    # A program's arguments have a bound of 128 KiB each.
    for start in range(0, len(ranges), 500):
        part = json.dumps(ranges[start : start + 500])
        words = ("differing", part, below or mounted.path, served)
        [differing] = _run(stage, [mounted], words)
        if differing:
            raise WrongAnswerError(f"wrong bytes: {differing[:3]}")


def _bytes_of(ranges: list[Any]) -> int:
    return sum(size for _, _, size in ranges)


def _fullness(stage: Stage, wanted: int, seconds: float) -> float:
    rate = LINKS[stage.link].rate
    return wanted / seconds / rate if rate else 0.0


def seconds(key: str, stage: Stage, found: Any) -> dict[str, float]:
    """Return how long it took."""
    return {key: found["seconds"]}


def seconds_and_fullness(key: str, stage: Stage, found: Any) -> dict[str, float]:
    """Return how long it took, and how full the link was with bytes that were wanted."""
    wanted = _bytes_of(found["ranges"])
    return {
        key: found["seconds"],
        f"{key}.full": _fullness(stage, wanted, found["seconds"]),
    }


def latency(key: str, stage: Stage, found: Any) -> dict[str, float]:
    """Return how long each read took in the mean."""
    return {key: found["seconds"] / len(found["ranges"])}
