"""What is served, and a server of it that does some requests wrong; it can be killed.

By hand, until its input ends: `python -m scripts.soaking.served ROOT PORT SEED`. It prints
its port, and for each line that it reads how often which fault met a request, as JSON.

Threading: `Server` belongs to one thread.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.support import tree
from tests.support.broken_server import BrokenServer, Fault, Request

PREFIX = "/archive/"
MOVIES = "10002/data/movies"
STACKS = "10002/data/stacks"
HEADERS = "10017/data/micrographs"

_CHECKOUT = Path(__file__).resolve().parents[2]
# Each of these meets so many of a thousand requests.
_FAULTS: Mapping[str, tuple[Fault, float]] = {
    "silence": (Fault.silence(), 8),
    "silence in the body": (Fault.silence_in_body(30_000), 3),
    "late": (Fault.delay(0.7), 5),
    "reset before the headers": (Fault.reset("request"), 5),
    "reset in the headers": (Fault.reset("headers"), 5),
    "reset in the body": (Fault.reset("body", 70_000), 5),
    "closed": (Fault.close(), 5),
    "short body": (Fault.short_body(100), 5),
    "server error": (Fault.answer(500), 5),
    "bad gateway": (Fault.html_page(502), 5),
    "busy": (Fault.busy(503, "0"), 0.5),
    # Three of these in a row are an error by design: they have to be rare.
    "html page": (Fault.html_page(), 1),
    "whole file": (Fault.whole_file(), 1),
    "no range": (Fault.content_range(""), 1),
    "packed": (Fault.gzip_body(), 1),
    "garbage": (Fault.garbage(), 1),
    "redirect elsewhere": (Fault.redirect("http://127.0.0.1:9/"), 1),
}


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is served.

    Attributes:
        movies: Files of `movie_size` bytes, give or take some.
        movie_size: In bytes.
        stacks: Files of three times that.
        headers: Small files, of 4 to 40 KB.
    """

    movies: int
    movie_size: int
    stacks: int
    headers: int


FULL = Scale(movies=24, movie_size=5_000_000, stacks=2, headers=1_500)
QUICK = Scale(movies=8, movie_size=3_000_000, stacks=1, headers=150)


def make_archive(root: Path, scale: Scale) -> None:
    """Make what is served; all bytes differ, and follow from names."""
    for number in range(scale.movies):
        _make(root / MOVIES / f"movie_{number:03d}.mrcs", scale.movie_size + 4_099 * number)
    for number in range(scale.stacks):
        _make(root / STACKS / f"stack_{number}.mrcs", 3 * scale.movie_size + 61 * number)
    for number in range(scale.headers):
        _make(root / HEADERS / f"micrograph_{number:04d}.mrc", 4_000 + 977 * number % 36_000)
    tree.set_times(root)


def _make(path: Path, size: int) -> None:
    tree.write_file(path, tree.contents(path.name.encode(), size))


class Server:
    """The server's process; another one takes its place, and its port, after `kill`.

    Args:
        root: What it serves.
        seed: What its faults follow from.
    """

    def __init__(self, root: Path, seed: int) -> None:
        self._root = root
        self._seed = seed
        self._port = 0
        self._process: subprocess.Popen[str] | None = None
        self._met: Counter[str] = Counter()

    @property
    def url(self) -> str:
        """The archive's root."""
        return f"http://127.0.0.1:{self._port}{PREFIX}"

    def start(self) -> None:
        """Start a process, and return once it serves.

        Raises:
            RuntimeError: It doesn't.
        """
        self._seed += 1
        words = [str(self._root), str(self._port), str(self._seed)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "scripts.soaking.served", *words],
            cwd=_CHECKOUT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is for who started the soak
        )
        self._port = int(self._line() or 0)
        if not self._port:
            raise RuntimeError("the server doesn't start")

    def kill(self) -> None:
        """End the process at once, with all that it was sending."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.communicate()

    def count(self) -> None:
        """Ask for the faults met since the last time."""
        process = self._process
        if process is None or process.stdin is None:
            return
        with suppress(OSError, ValueError):
            process.stdin.write("\n")
            process.stdin.flush()
            self._met.update(json.loads(self._line()))

    @property
    def met(self) -> Counter[str]:
        """How often which fault met a request, as far as it was counted."""
        return Counter(self._met)

    def _line(self) -> str:
        assert self._process is not None
        assert self._process.stdout is not None
        return self._process.stdout.readline()


def _serve(root: Path, port: int, seed: int) -> None:
    chance = random.Random(seed)
    server = BrokenServer(prefix=PREFIX, port=port)
    for where, _, names in os.walk(root):
        for name in names:
            path = Path(where, name)
            data, modified_s = path.read_bytes(), int(path.stat().st_mtime)
            server.put(str(path.relative_to(root)), data, modified_s)
    for name, (fault, in_a_thousand) in _FAULTS.items():
        applies = _by_chance(chance, in_a_thousand / 1000)
        server.fault(applies, fault, times=10**9, name=name)
    # Only now does it answer: what isn't there yet would be said to be absent.
    with server:
        print(server.port, flush=True)
        told: Counter[str] = Counter()
        for _ in sys.stdin:
            met = server.faults_met
            print(json.dumps(met - told), flush=True)
            told = met


def _by_chance(chance: random.Random, share: float) -> Callable[[Request], bool]:
    return lambda request: chance.random() < share


if __name__ == "__main__":
    _serve(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
