"""A storm: a great part of all requests fails, in ways drawn by lot, while many threads read.

Where a case of `tests.support.fault_case` asks what one failure does, a storm asks what
failures do to each other: a retry that fails in another way, a hedge beside a reset, spans
that break off again and again.

Threading: a storm keeps to itself, so that several may rage side by side.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

from empiarfs.core.retry import RetryPolicy
from tests.support.broken_faults import Fault, Request
from tests.support.broken_server import BrokenServer
from tests.support.campaign import tally
from tests.support.fault_kinds import BROKEN, OUT_OF_STEP, WRONG, Asked, FaultKind, asked
from tests.support.stored_blocks import wrong_pieces
from tests.support.tree import contents
from tests.support.trust_rig import TrustRig
from tests.support.visitor import Visitor

BIG = "10002/data/big.mrc"
SMALL = tuple(f"10002/data/small_{number:02}.tif" for number in range(48))
FILES = {
    path: contents(path.encode(), size)
    for path, size in {BIG: 5_000_011, **dict.fromkeys(SMALL, 66_000)}.items()
}
# Those that a program may see nothing of, and that need no patience.
KINDS = tuple(kind for kind in (*BROKEN, *WRONG, *OUT_OF_STEP) if not kind.shows)
_READERS = 8
_WAIT_S = 120.0
# A size or a listing is given up after three answers that make no sense, bytes never.
_SHARES: dict[Asked, float] = {"bytes": 0.5, "headers": 0.05, "listing": 0.05}
_SOON = RetryPolicy(busy_s=0.02, broken_s=0.02, max_broken_s=0.2, bad_attempts=None)


def rage(seed: int, folder: Path) -> list[str]:
    """Read everything through a storm; return what was wrong."""
    with BrokenServer(FILES) as server:
        rig = TrustRig(server.url, folder / "cache", retry=_SOON)
        visitor = Visitor(rig.files, FILES, wait_s=_WAIT_S)
        visitor.list_names("10002/data")
        for path in FILES:
            visitor.stat(path)
        server.choose_faults(_dice(random.Random(seed)))
        works = [partial(_read, visitor, random.Random(f"{seed} {n}")) for n in range(_READERS)]
        visitor.side_by_side(*works)
        met = server.faults_met
        server.forget_faults()
        problems = rig.settle() + rig.close()
    visitor.report()
    count, wrong = wrong_pieces(folder / "cache", {path: [data] for path, data in FILES.items()})
    tally.add("reads", "stored pieces", count)
    tally.add("wrong_bytes", "stored pieces", len(wrong))
    for kind, number in met.items():
        tally.add("faults", kind, number)
    tally.add("leak_checks", "waiters, slots", 2)
    shutil.rmtree(folder, ignore_errors=True)
    return [f"storm {seed}: {line}" for line in (*visitor.problems, *problems, *wrong)]


def _dice(lot: random.Random) -> Callable[[Request], tuple[Fault, str] | None]:
    by_sort: dict[Asked, list[FaultKind]] = {
        sort: [kind for kind in KINDS if sort in kind.on] for sort in _SHARES
    }

    def choose(request: Request) -> tuple[Fault, str] | None:
        sort = asked(request)
        if lot.random() >= _SHARES[sort]:
            return None
        kind = lot.choice(by_sort[sort])
        return kind.make(), kind.name

    return choose


def _read(visitor: Visitor, lot: random.Random) -> None:
    """Read some small files whole, and parts of the big one in no order."""
    for path in lot.sample(SMALL, 10):
        visitor.read_whole(path)
    size = len(FILES[BIG])
    offsets = [lot.randrange(size) for _ in range(10)]
    visitor.read_parts(BIG, offsets, lot.choice((1, 4096, 131_072)))
