"""What reads, lists and probes a mount: programs of their own, run by `scenarios`.

They measure inside themselves, so that neither the start of Python nor the benchmark's own
work is in the figure, and print what they found as JSON. Times are those of
CLOCK_MONOTONIC, which all processes share.

`run` and `started` are the side of the benchmark, the functions in `_PROGRAMS` that of the
programs. Imports nothing but the standard library and xxhash: each start costs time.
"""

from __future__ import annotations

import json
import mmap
import os
import random
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.support.users import User

READ_SIZE = 2**20
PAGE = 4096
PROBE_INTERVAL_S = 0.01

_SCATTERED_SIZE = 65_536
# A read of the whole file from a client that is fifty times too slow still ends.
_DEADLINE_S = 600.0


def run(program: str, *arguments: str | Path, user: User | None = None) -> Any:
    """Run one of the programs to its end, and return what it printed; as `user` if given.

    Raises:
        RuntimeError: It failed; the message holds the end of what it said.
        subprocess.TimeoutExpired: It took more than ten minutes, and was killed.
    """
    with started(program, *arguments, user=user) as process:
        return result_of(process)


def result_of(process: subprocess.Popen[bytes], deadline_s: float = _DEADLINE_S) -> Any:
    """Close the input of a program, wait for its end, and return what it printed.

    Raises:
        RuntimeError: See `run`.
        subprocess.TimeoutExpired: It isn't at its end after so many seconds, and goes on.
    """
    output, errors = process.communicate(timeout=deadline_s)
    if process.returncode != 0:
        message = errors.decode(errors="replace").strip()[-1000:]
        raise RuntimeError(f"a reader failed with status {process.returncode}: {message}")
    return json.loads(output)


@contextmanager
def started(
    program: str, *arguments: str | Path, user: User | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Start one of the programs; it is killed at the end if it still runs."""
    becoming = () if user is None else ("become", str(user.uid), str(user.gid))
    process = subprocess.Popen(
        [sys.executable, "-E", __file__, *becoming, program, *map(str, arguments)],
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


def _become(uid: int, gid: int) -> None:
    """Be another user from here on.

    Only now: this interpreter and its packages may be out of that user's reach.
    """
    import xxhash  # noqa: F401 - imported again, where it is used

    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)


def _size(path: str) -> dict[str, int]:
    """Say how big a file is."""
    return {"size": os.stat(path).st_size}


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


def _start(path: str, size: str) -> dict[str, Any]:
    """Read the first `size` bytes of a file, as a stream."""
    buffer = memoryview(bytearray(READ_SIZE))
    left = int(size)
    begin = time.monotonic()
    with open(path, "rb", buffering=0) as file:
        while left and (count := file.readinto(buffer[:left])):
            left -= count
    return _told(begin, [(path, 0, int(size) - left)])


def _each(directory: str, count: str, size: str) -> dict[str, Any]:
    """Read the first `size` bytes of the first `count` files of a directory, in order."""
    ranges = []
    begin = time.monotonic()
    for name in sorted(os.listdir(directory))[: int(count)]:
        path = os.path.join(directory, name)
        with open(path, "rb", buffering=0) as file:
            ranges.append((path, 0, len(file.read(int(size)))))
    return _told(begin, ranges)


def _pick(path: str, how: str, count: str) -> dict[str, Any]:
    """Read `count` pages at random places of a file, by `read` or by `mmap`."""
    chosen = random.Random(1)
    begin = time.monotonic()
    with open(path, "rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        places = [chosen.randrange(size // PAGE) * PAGE for _ in range(int(count))]
        opened = time.monotonic()
        if how == "read":
            ends = [(os.pread(file.fileno(), PAGE, n), time.monotonic())[1] for n in places]
        else:
            with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as memory:
                ends = [(memory[n], time.monotonic())[1] for n in places]
    told = _told(begin, [(path, place, PAGE) for place in sorted(set(places))])
    begins = [opened, *ends[:-1]]
    return told | {"each": [end - start for start, end in zip(begins, ends, strict=True)]}


def _turn(directory: str, ordered: str, scattered: str, size: str) -> dict[str, Any]:
    """Read the first `size` bytes of files in order, then of as many as said in no order."""
    ranges = []
    begin = time.monotonic()
    names = sorted(os.listdir(directory))
    rest = names[int(ordered) :]
    picked = random.Random(1).sample(rest, min(int(scattered), len(rest)))
    for name in (*names[: int(ordered)], *picked):
        path = os.path.join(directory, name)
        with open(path, "rb", buffering=0) as file:
            ranges.append((path, 0, len(file.read(int(size)))))
    return _told(begin, ranges)


def _copy(path: str, target: str) -> dict[str, Any]:
    """Copy a file, as `cp` does; name the bytes of the copy."""
    begin = time.monotonic()
    subprocess.run(["/bin/cp", path, target], check=True)
    return _told(begin, [(target, 0, os.stat(target).st_size)])


def _frames(path: str, start: str, size: str, step: str) -> dict[str, Any]:
    """Read each `step`th frame of a stack whose first one starts at `start`."""
    begin = time.monotonic()
    with open(path, "rb", buffering=0) as file:
        end = os.fstat(file.fileno()).st_size
        ranges = [
            (path, place, len(os.pread(file.fileno(), int(size), place)))
            for place in range(int(start), end, int(step) * int(size))
        ]
    return _told(begin, ranges)


def _list_all(path: str) -> dict[str, Any]:
    """Say what `ls -l` of a directory says."""
    environment = {"LC_ALL": "C", "TZ": "UTC"}
    words = ["/bin/ls", "-l", path]
    begin = time.monotonic()
    done = subprocess.run(words, env=environment, capture_output=True, check=False)
    seconds = time.monotonic() - begin
    rows = [line.split() for line in done.stdout.decode().splitlines()[1:]]
    return {
        "seconds": seconds,
        "sizes": {row[-1]: row[4] for row in rows},
        "complaints": done.stderr.decode(errors="replace").splitlines(),
    }


def _differing(ranges: str, mounted: str, served: str) -> list[Any]:
    """Return those of the ranges, as `_told` names them, that differ from what is served."""
    differing = []
    for path, place, size in json.loads(ranges):
        found = []
        for name in (path, os.path.join(served, os.path.relpath(path, mounted))):
            with open(name, "rb", buffering=0) as file:
                file.seek(place)
                found.append(_read_at_most(file, size))
        if len(found[0]) != size or found[0] != found[1]:
            differing.append((path, place, size))
    return differing


def _read_at_most(file: IO[bytes], size: int) -> bytes:
    parts = []
    while size and (data := file.read(min(size, READ_SIZE))):
        parts.append(data)
        size -= len(data)
    return b"".join(parts)


def _told(begin: float, ranges: list[tuple[str, int, int]]) -> dict[str, Any]:
    """Return when it was, and which bytes were read: path, offset and size of each range."""
    return {"begin": begin, "seconds": time.monotonic() - begin, "ranges": ranges}


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
    "size": _size,
    "read": _read,
    "digest": _digest,
    "scatter": _scatter,
    "start": _start,
    "each": _each,
    "pick": _pick,
    "turn": _turn,
    "copy": _copy,
    "frames": _frames,
    "list": _list_all,
    "differing": _differing,
    "probe": _probe,
}


def _main(words: Sequence[str]) -> None:
    if words[0] == "become":
        _become(int(words[1]), int(words[2]))
        words = words[3:]
    print(json.dumps(_PROGRAMS[words[0]](*words[1:])))


if __name__ == "__main__":
    _main(sys.argv[1:])
