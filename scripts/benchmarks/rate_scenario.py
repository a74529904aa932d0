"""The scenario `rate`: how exactly `--limit-rate` is kept, by one process and by several.

Programs receive from the archive for some seconds (`rate_reader`). Measured is what all of
them together have received within ten seconds, from the second second on, as a share of what
the limit allows. A mount is measured by what a program reads from it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from empiarfs.archive.rate_file import machine_file
from scripts.benchmarks.archive import MOVIE, Scale
from scripts.benchmarks.clients import EMPIARFS, Client
from scripts.benchmarks.figures import Figure, Sample, Summary, Unit
from scripts.benchmarks.places import new_place
from scripts.benchmarks.scenario import Scenario
from scripts.benchmarks.stage import Stage, WrongAnswerError

_LIMIT = 10_000_000
_SLOW_LIMIT = 262_144
_WARM_UP_S = 2.0
_WINDOW_S = 10.0
_START_DEADLINE_S = 60.0
_NS = 1_000_000_000
_CHECKOUT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class WithinOf:
    """No further from 1 than so much, in every repetition."""

    most: float

    @property
    def text(self) -> str:
        """The goal in a few words."""
        return f"100 ± {100 * self.most:g} %"

    def is_reached(self, ours: Summary, peer: Summary | None) -> bool | None:
        """Look at the least and the most."""
        return abs(ours.least - 1) <= self.most and abs(ours.most - 1) <= self.most


def _figures(scale: Scale) -> tuple[Figure, ...]:
    limit = f"of {_LIMIT / 1e6:g} MB/s"

    def share(key: str, title: str) -> Figure:
        return Figure(key, title, Unit.PART, (WithinOf(0.05),))

    return (
        share("rate.one", f"{limit} over 10 s, one process"),
        share("rate.two", f"{limit} over 10 s, two processes together"),
        share("rate.mount", f"{limit} over 10 s, a mount"),
        share("rate.both", f"{limit} over 10 s, a mount and a process together"),
        share("rate.slow", f"of {_SLOW_LIMIT // 1024} KiB/s over 10 s, two processes together"),
    )


def _measure(stage: Stage) -> Iterator[Sample]:
    if stage.client is not EMPIARFS:
        return  # nobody else shares a limit
    with _no_file_left():
        yield Sample("rate.one", _share(_processes(stage, 1)))
        yield Sample("rate.two", _share(_processes(stage, 2)))
        limited = _limited(stage.client)
        for name, processes in (("rate.mount", 0), ("rate.both", 1)):
            with new_place(limited, stage.way.url) as place, place.mounted() as mounted:
                readers = [_file_reader(mounted.path / MOVIE), *_processes(stage, processes)]
                yield Sample(name, _share(readers))
        yield Sample("rate.slow", _share(_processes(stage, 2, _SLOW_LIMIT), _SLOW_LIMIT))


def _limited(client: Client) -> Client:
    def command(point: Path, url: str, cache: Path, log: Path) -> list[str]:
        return [*client.command(point, url, cache, log), "--limit-rate", str(_LIMIT)]

    return replace(client, command=command)


def _processes(stage: Stage, count: int, limit: int = _LIMIT) -> list[list[str]]:
    size = stage.archive.scale.movie_size
    return [_words("client", stage.way.url, MOVIE, str(size), str(limit))] * count


def _file_reader(path: Path) -> list[str]:
    return _words("file", str(path))


def _words(*words: str) -> list[str]:
    return [sys.executable, "-m", "scripts.benchmarks.rate_reader", *words]


def _share(commands: Sequence[Sequence[str]], limit: int = _LIMIT) -> float:
    """Run the programs together; return their part of what the limit allows."""
    with ExitStack() as stack:
        outputs = [stack.enter_context(tempfile.TemporaryFile()) for _ in commands]
        readers = [
            stack.enter_context(_started(command, output))
            for command, output in zip(commands, outputs, strict=True)
        ]
        _wait_for_a_line(outputs)
        time.sleep(_WARM_UP_S + _WINDOW_S + 1.0)
        for reader in readers:
            if reader.poll() is not None:
                raise WrongAnswerError(f"a program ended with status {reader.returncode}")
            reader.kill()
            reader.wait()
        told = [_content(output) for output in outputs]
    rows = [[tuple(map(int, line.split())) for line in text.split(b"\n")[:-1]] for text in told]
    if not all(rows):
        raise WrongAnswerError("a program said nothing")
    start_ns = max(lines[0][0] for lines in rows) + int(_WARM_UP_S * _NS)
    end_ns = start_ns + int(_WINDOW_S * _NS)
    if min(lines[-1][0] for lines in rows) < end_ns - _NS:
        raise WrongAnswerError("a program received nothing for a second")
    got = sum(bytes_until(lines, end_ns) - bytes_until(lines, start_ns) for lines in rows)
    return got / (limit * _WINDOW_S)


def bytes_until(lines: Sequence[tuple[int, ...]], moment_ns: int) -> float:
    """Return the bytes at a moment; between two lines they came evenly."""
    before = (lines[0][0], 0)
    for line in lines:
        if line[0] > moment_ns:
            part = (moment_ns - before[0]) / (line[0] - before[0])
            return before[1] + part * (line[1] - before[1])
        before = (line[0], line[1])
    return before[1]


@contextmanager
def _started(command: Sequence[str], output: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    # Into a file: a pipe would be full before the end, and hold the program up.
    process = subprocess.Popen(
        list(command), cwd=_CHECKOUT, stdin=subprocess.DEVNULL, stdout=output
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _wait_for_a_line(outputs: Sequence[IO[bytes]]) -> None:
    """Return once all programs have received something."""
    deadline_s = time.monotonic() + _START_DEADLINE_S
    while not all(os.fstat(output.fileno()).st_size for output in outputs):
        if time.monotonic() > deadline_s:
            raise WrongAnswerError("a program receives nothing")
        time.sleep(0.05)


def _content(output: IO[bytes]) -> bytes:
    output.seek(0)
    return output.read()


@contextmanager
def _no_file_left() -> Iterator[None]:
    """Remove the file that limited processes share, unless it was there before."""
    file = machine_file("empiarfs")
    was_there = file.exists()
    try:
        yield
    finally:
        if not was_there and file.exists():
            os.unlink(file)


RATE_SCENARIOS = (Scenario("rate", "--limit-rate, over ten seconds", _figures, _measure),)
