"""What reads, lists and probes a mount: programs of their own, run by `scenarios`.

They measure inside themselves, so that neither the start of Python nor the benchmark's own
work is in the figure, and print what they found as JSON. Times are those of
CLOCK_MONOTONIC, which all processes share.

`run` and `started` are the side of the benchmark, the functions in `_PROGRAMS` that of the
programs. Imports nothing but the standard library and xxhash: each start costs time.
"""

from __future__ import annotations

import json
import os
import random
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

READ_SIZE = 2**20
PROBE_INTERVAL_S = 0.01

_SCATTERED_SIZE = 65_536
# A read of the whole file from a client that is fifty times too slow still ends.
_DEADLINE_S = 600.0


def run(program: str, *arguments: str | Path) -> Any:
    """Run one of the programs to its end, and return what it printed.

    Raises:
        RuntimeError: It failed; the message holds the end of what it said.
        subprocess.TimeoutExpired: It took more than ten minutes, and was killed.
    """
    with started(program, *arguments) as process:
        return result_of(process)


def result_of(process: subprocess.Popen[bytes]) -> Any:
    """Close the input of a program, wait for its end, and return what it printed."""
    output, errors = process.communicate(timeout=_DEADLINE_S)
    if process.returncode != 0:
        message = errors.decode(errors="replace").strip()[-1000:]
        raise RuntimeError(f"a reader failed with status {process.returncode}: {message}")
    return json.loads(output)


@contextmanager
def started(program: str, *arguments: str | Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start one of the programs; it is killed at the end if it still runs."""
    process = subprocess.Popen(
        [sys.executable, "-E", __file__, program, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def _read(path: str) -> dict[str, float]:
    """Read a file from its start to its end, as fast as it comes."""
    buffer = bytearray(READ_SIZE)
    size = 0
    begin = time.monotonic()
    with open(path, "rb", buffering=0) as file:
        while count := file.readinto(buffer):
            size += count
    return {"seconds": time.monotonic() - begin, "size": size}


def _digest(path: str) -> dict[str, str]:
    """Return what tells the bytes of a file from others."""
    import xxhash

    digest = xxhash.xxh3_128()
    with open(path, "rb", buffering=0) as file:
        while data := file.read(READ_SIZE):
            digest.update(data)
    return {"digest": digest.hexdigest()}


def _scatter(path: str, seed: str, count: str) -> dict[str, float]:
    """Read at `count` random offsets of a file."""
    chosen = random.Random(int(seed))
    begin = time.monotonic()
    with open(path, "rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        for _ in range(int(count)):
            os.pread(file.fileno(), _SCATTERED_SIZE, chosen.randrange(size))
    return {"seconds": time.monotonic() - begin}


def _probe(path: str) -> list[tuple[float, float]]:
    """List a directory every ten milliseconds until the input ends.

    Returns when each listing began, and how many seconds it took.
    """
    taken: list[tuple[float, float]] = []
    os.listdir(path)
    sys.stderr.write("ready\n")
    sys.stderr.flush()
    due = time.monotonic()
    # Waiting for the input is what spaces the listings.
    while not select.select([sys.stdin], [], [], max(0.0, due - time.monotonic()))[0]:
        begin = time.monotonic()
        os.listdir(path)
        taken.append((begin, time.monotonic() - begin))
        due = max(due + PROBE_INTERVAL_S, time.monotonic())
    return taken


_PROGRAMS: dict[str, Callable[..., object]] = {
    "read": _read,
    "digest": _digest,
    "scatter": _scatter,
    "probe": _probe,
}


def _main(words: Sequence[str]) -> None:
    print(json.dumps(_PROGRAMS[words[0]](*words[1:])))


if __name__ == "__main__":
    _main(sys.argv[1:])
