"""The other half of the promise: every request fails in one way, for as long as one waits.

    meanwhile  a read fails with EIO once its wait is over and not before, or at once with what
               the archive answered; a listing and a size fail too, and none is empty or absent
    meanwhile  the archive isn't hammered
    beside it  another file and its directory are read as if nothing were wrong
    afterwards all of it is right

Threading: a case keeps to itself, so that many may run side by side.
"""

from __future__ import annotations

import errno
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

from tests.support.broken_faults import Request
from tests.support.broken_server import BrokenServer
from tests.support.campaign import tally
from tests.support.fault_kinds import Asked, FaultKind, asked
from tests.support.tree import contents
from tests.support.trust_rig import TrustRig
from tests.support.visitor import Visitor

SICK = "10002/data/sick.mrc"
WELL = "10017/data/well.mrc"
FILES = {path: contents(path.encode(), 150_000) for path in (SICK, WELL)}

# Long enough for three answers that don't fit, short enough for a test.
_WAIT_S = 3.0
_PATIENT_S = 60.0
# Waits of 0.2 s and doubled make five requests, and for sizes there are some ways to ask.
_MOST_ASKED = 40
# What was refused is asked for again after half a minute at most.
_MENDED_S = 45.0
# A clock that ticks between a deadline's check and ours.
_TICK_S = 0.1


def run(kind: FaultKind, sort: Asked, folder: Path) -> list[str]:
    """Let all requests of a sort for the sick file fail; return what was wrong."""
    with BrokenServer(FILES) as server:
        rig = TrustRig(server.url, folder / "cache")
        server.fault(_concerns(sort), kind.make(), times=1_000_000, name=kind.name)
        shows = {errno.EIO, *kind.shows}
        sick = Visitor(rig.files, FILES, wait_s=_WAIT_S, shows=shows, unlisted=kind.hides_names)
        well = Visitor(rig.files, FILES, wait_s=_PATIENT_S)
        stop = threading.Event()
        beside = threading.Thread(target=_read_on, args=(well, stop))
        if sort == "bytes":
            # As a file that was opened before everything went wrong.
            sick.list_names("10002/data")
            sick.stat(SICK)
        beside.start()
        problems = _suffer(sick, sort, kind)
        stop.set()
        beside.join()
        met = sum(server.faults_met.values())
        tally.add("faults", kind.name, met)
        if met > _MOST_ASKED:
            problems.append(f"asked {met} times in {_WAIT_S:g} s")
        server.forget_faults()
        problems += _mended(rig, kind)
        problems += rig.settle() + rig.close()
    for visitor in (sick, well):
        visitor.report()
        problems += visitor.problems
    shutil.rmtree(folder, ignore_errors=True)
    return [f"{kind.name}, all requests for {sort}: {line}" for line in problems]


def _concerns(sort: Asked) -> Callable[[Request], bool]:
    return lambda request: request.path.startswith("10002/data") and asked(request) == sort


def _read_on(visitor: Visitor, stop: threading.Event) -> None:
    while not stop.wait(0.2):
        visitor.list_names("10017/data")
        visitor.stat(WELL)
        visitor.read_whole(WELL)


def _suffer(visitor: Visitor, sort: Asked, kind: FaultKind) -> list[str]:
    """Use the sick file; what it may say, the visitor knows."""
    if sort == "listing":
        visitor.list_names("10002/data")
        visitor.stat(SICK)
        return []
    if sort == "headers":
        visitor.list_names("10002/data")
        visitor.stat(SICK)
        return []
    handle = visitor.open(SICK)
    if handle is None:
        return ["a file whose size is known can't be opened"]
    began_s = time.monotonic()
    came = visitor.read(handle, SICK, 70_000, 4096)
    took_s = time.monotonic() - began_s
    visitor.release(handle)
    early = took_s < _WAIT_S - _TICK_S and visitor.refused[errno.EIO]
    if not came and early and not kind.shows:
        return [f"gave up after {took_s:.1f} s of {_WAIT_S:g} s"]
    return []


def _mended(rig: TrustRig, kind: FaultKind) -> list[str]:
    """Read until all is right; what failed is forgotten after a while."""
    until_s = time.monotonic() + _MENDED_S
    while True:
        visitor = Visitor(rig.files, FILES, wait_s=_PATIENT_S, unlisted=kind.hides_names)
        visitor.list_names("10002/data")
        visitor.stat(SICK)
        visitor.read_whole(SICK)
        if not visitor.problems or time.monotonic() > until_s:
            visitor.report()
            return [f"afterwards: {line}" for line in visitor.problems]
        time.sleep(0.5)
