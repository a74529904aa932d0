"""One case of the promise: the n-th request of a visit fails in one way, and then?

    visit      every call brings the right bytes, names and sizes, or an errno that this kind
               of failure may show; none outlasts its wait
    again      with the failure over, all of it is right
    settle     nothing is under way any more, nobody waits
    close      no slot of the machine's budget and no connection is left
    offline    with the server gone, the cache serves everything, rightly
    on disk    each stored piece is what the archive holds

Threading: a case keeps to itself, so that many may run side by side.
"""

from __future__ import annotations

import errno
import shutil
import threading
import time
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from empiarfs.cache.health import RETRY_S
from tests.support.broken_faults import Request
from tests.support.broken_server import BrokenServer
from tests.support.campaign import tally
from tests.support.fault_kinds import KINDS, Asked, FaultKind, asked
from tests.support.stored_blocks import wrong_pieces
from tests.support.tree import contents
from tests.support.trust_rig import TrustRig
from tests.support.visitor import STEP, Visitor
from tests.support.waiting import wait_until

KIB = 1024
MOVIE = "10002/data/a movie.mrc"
SMALL = tuple(f"10002/data/small_{number}.tif" for number in range(4))
README = "10002/data/README"
FILES: Mapping[str, bytes] = {
    path: contents(path.encode(), size)
    for path, size in {
        "10002/10002.xml": 700,
        MOVIE: 1400 * KIB + 17,
        "10002/data/b.tif": 200 * KIB,
        **dict.fromkeys(SMALL, 70 * KIB),
        "10002/data/empty.star": 0,
        README: 300,
        "10017/data/d.mrc": 90 * KIB,
    }.items()
}
DIRECTORIES = ("", "10002", "10002/data", "10017", "10017/data")
HIDDEN = frozenset((README,))

# Long enough that only what lasts is ever shown.
_WAIT_S = 60.0
# What an answer said is believed for half a minute at most.
_MENDED_S = 45.0
_OFFLINE_VISITS = 4


class Nth:
    """A predicate that holds for the n-th and the following requests of a sort.

    Args:
        sort: What the requests ask for.
        number: From which of them it holds, counted from 0.
    """

    def __init__(self, sort: Asked, number: int) -> None:
        self._sort = sort
        self._number = number
        self._lock = threading.Lock()
        self.seen = 0  # guarded by _lock

    def __call__(self, request: Request) -> bool:
        if asked(request) != self._sort:
            return False
        with self._lock:
            self.seen += 1
            return self.seen > self._number


@dataclass(frozen=True, slots=True)
class Case:
    """A kind of failure, the sort and number of the request it meets first, how many follow."""

    kind: FaultKind
    sort: Asked
    number: int
    times: int = 1

    def __str__(self) -> str:
        return f"{self.kind.name}, request {self.number} for {self.sort}, {self.times} times"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a case led to: how many requests failed, and each thing that was wrong."""

    met: int
    problems: tuple[str, ...]


def visit(visitor: Visitor) -> None:
    """Do what programs do: list, stat, read whole, here and there, and side by side."""
    for directory in DIRECTORIES:
        visitor.list_names(directory)
    for path in FILES:
        visitor.stat(path)
    visitor.look_for_nothing("10002/data/nothing.mrc")
    # The first bytes that are asked for have others before and behind them.
    visitor.read_parts(MOVIE, [700 * KIB], 4 * KIB)
    visitor.read_whole("10002/data/b.tif")
    backwards = range(1400 * KIB, -1, -300 * KIB)
    visitor.side_by_side(
        lambda: visitor.read_parts(MOVIE, backwards, 4 * KIB),
        lambda: visitor.read_parts(MOVIE, range(0, 1400 * KIB, STEP), STEP),
        lambda: [visitor.read_whole(path) for path in SMALL],
        lambda: [visitor.read_whole(path) for path in FILES if path not in SMALL],
    )


def run(case: Case, folder: Path) -> Outcome:
    """Run a case with its own server, and a cache in `folder`, which is removed."""
    problems: list[str] = []
    with BrokenServer(FILES) as server:
        server.hidden = HIDDEN
        rig = TrustRig(server.url, folder / "cache")
        server.fault(Nth(case.sort, case.number), case.kind.make(), times=case.times)
        first = _visitor(rig, case.kind.shows, unlisted=case.kind.hides_names)
        visit(first)
        met = sum(server.faults_met.values())
        server.forget_faults()
        problems += _finish(first)
        problems += _again(rig, case)
        problems += rig.settle()
        problems += rig.close()
        if _dropped(rig):
            problems += _filled(server.url, folder / "cache", case)
        problems += _connections_left(server)
        url = server.url
    problems += _offline(url, folder / "cache", case)
    problems += _on_disk(folder / "cache")
    shutil.rmtree(folder, ignore_errors=True)
    tally.add("faults", case.kind.name, met)
    tally.add("leak_checks", "waiters, slots, connections", 3)
    return Outcome(met, tuple(f"{case}: {problem}" for problem in problems))


def cases_for(counts: Mapping[Asked, int]) -> list[Case]:
    """Return all cases, for so many requests of each sort; those of the first one come first.

    Two in a row are tried at every third request.
    """
    first = [Case(kind, sort, 0) for kind in KINDS for sort in kind.on]
    others = [
        Case(kind, sort, number, times)
        for kind in KINDS
        for sort in kind.on
        for number in range(counts[sort])
        for times in (1, 2)
        if (number or times == 2) and (times == 1 or number % 3 == 0)
    ]
    return first + others


def count_requests(folder: Path) -> Counter[Asked]:
    """Return how many requests of which sort a visit takes where nothing fails."""
    with BrokenServer(FILES) as server:
        server.hidden = HIDDEN
        rig = TrustRig(server.url, folder)
        visitor = _visitor(rig, ())
        visit(visitor)
        rig.close()
        assert visitor.problems == []
        return Counter(asked(request) for request in server.requests)


def _visitor(
    rig: TrustRig, shows: Collection[int], *, wait_s: float = _WAIT_S, unlisted: bool = False
) -> Visitor:
    return Visitor(rig.files, FILES, wait_s=wait_s, shows=shows, hidden=HIDDEN, unlisted=unlisted)


def _finish(visitor: Visitor) -> list[str]:
    visitor.report()
    return visitor.problems


def _again(rig: TrustRig, case: Case) -> list[str]:
    """Visit again until all is right; what an answer said is forgotten after a while."""
    until_s = time.monotonic() + (_MENDED_S if case.kind.shows else 0.0)
    while True:
        visitor = _visitor(rig, (), unlisted=case.kind.hides_names)
        visit(visitor)
        wrong = [line for line in visitor.problems if "wrong bytes" in line]
        if not visitor.problems or wrong or time.monotonic() > until_s:
            return [f"again: {line}" for line in _finish(visitor)]
        time.sleep(0.5)


def _dropped(rig: TrustRig) -> int:
    return rig.counters.statistics().counters.get("blocks_dropped", 0)


def _filled(url: str, cache: Path, case: Case) -> list[str]:
    """Store what a disk that took seconds, on a busy machine, was not given the first time."""
    for _ in range(_OFFLINE_VISITS):
        time.sleep(RETRY_S)
        rig = TrustRig(url, cache)
        visitor = _visitor(rig, (), unlisted=case.kind.hides_names)
        visit(visitor)
        problems = [*_finish(visitor), *rig.close()]
        if problems or not _dropped(rig):
            break
    return [f"filled: {line}" for line in problems]


def _connections_left(server: BrokenServer) -> list[str]:
    try:
        wait_until(lambda: not server.open_connections, 30)
    except AssertionError:
        tally.add("leaks", "connections", server.open_connections)
        return [f"{server.open_connections} connections left"]
    return []


def _offline(url: str, cache: Path, case: Case) -> list[str]:
    """Visit with the server gone: what was read stays readable."""
    rig = TrustRig(url, cache)
    try:
        for _ in range(_OFFLINE_VISITS):
            visitor = _visit_offline(rig, case)
            if not visitor.problems or any("wrong bytes" in line for line in visitor.problems):
                break
            # A disk that took seconds, on a busy machine, is left alone for ten.
            time.sleep(RETRY_S)
        # What no listing shows is not remembered: an error, and not "no such file".
        asker = _visitor(rig, (errno.EIO,), wait_s=2.0)
        asker.stat(README)
    finally:
        problems = rig.close()
    return [f"offline: {line}" for line in (*_finish(visitor), *_finish(asker), *problems)]


def _visit_offline(rig: TrustRig, case: Case) -> Visitor:
    visitor = _visitor(rig, (), wait_s=2.0, unlisted=case.kind.hides_names)
    for directory in DIRECTORIES:
        visitor.list_names(directory)
    for path in FILES:
        if path not in HIDDEN and not case.kind.hides_names:
            visitor.read_whole(path)
    return visitor


def _on_disk(cache: Path) -> list[str]:
    count, wrong = wrong_pieces(cache, {path: [data] for path, data in FILES.items()})
    tally.add("reads", "stored pieces", count)
    tally.add("wrong_bytes", "stored pieces", len(wrong))
    return [f"stored: {line}" for line in wrong] if count else ["nothing is stored"]
