"""The promise: whichever request fails in whichever way, what is read is right.

Each case takes a real file system on a server that breaks once (`tests.support.fault_case`
says what is looked at then), and there is one for each kind of failure and each request of a
visit. A whole run takes all of them, else each kind meets the first request of a sort, and
every 40th other case is run.
"""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest

from tests.support import lasting_case, storm
from tests.support.campaign import is_whole, tally
from tests.support.fault_case import cases_for, count_requests, run
from tests.support.fault_kinds import KINDS
from tests.support.waiting import wait_until

T = TypeVar("T")

pytestmark = [pytest.mark.slow, pytest.mark.expects_warnings]

# Cases wait more than they work.
_SIDE_BY_SIDE = 16
_ONE_IN = 40
_ENDED_S = 60.0
_STORMS = 100


@pytest.fixture
def _nothing_leaks() -> Iterator[None]:
    """Fail if threads or descriptors are left at the end."""
    before = _descriptors()
    yield
    try:
        wait_until(lambda: not _threads() and _descriptors() <= before, _ENDED_S)
    except AssertionError:
        threads, more = _threads(), _descriptors() - before
        tally.add("leaks", "threads", len(threads))
        tally.add("leaks", "descriptors", max(0, more))
        pytest.fail(f"{more} descriptors and the threads {threads} are left")
    tally.add("leak_checks", "threads, descriptors", 2)
    tally.add("leaks", "threads, descriptors", 0)


def _threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("empiarfs")]


def _descriptors() -> int:
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.usefixtures("_nothing_leaks")
def test_whichever_request_fails_what_is_read_is_right(tmp_path: Path) -> None:
    counts = count_requests(tmp_path / "count")
    cases = cases_for(counts)
    if not is_whole():
        firsts = [case for case in cases if not case.number and case.times == 1]
        own = [case for case in firsts if case.sort == case.kind.on[0]]
        others = [case for case in cases if case not in own]
        cases = own + others[::_ONE_IN]

    outcomes = side_by_side(
        [partial(run, case, tmp_path / str(i)) for i, case in enumerate(cases)]
    )

    problems = [line for outcome in outcomes for line in outcome.problems]
    assert not problems, "\n".join(problems[:100])
    # Few requests more or less are sent than were counted: nearly all faults were met.
    assert sum(bool(outcome.met) for outcome in outcomes) > 0.9 * len(cases)


@pytest.mark.usefixtures("_nothing_leaks")
def test_what_fails_for_good_is_an_error_when_the_wait_is_over(tmp_path: Path) -> None:
    cases = [(kind, sort) for kind in KINDS for sort in kind.on]
    if not is_whole():
        # What decides is whether the wait ends, and where: one kind of each family will do.
        cases = [(kind, sort) for kind in KINDS[::7] for sort in kind.on]

    found = side_by_side(
        [partial(lasting_case.run, *case, tmp_path / str(i)) for i, case in enumerate(cases)]
    )

    problems = [line for lines in found for line in lines]
    assert not problems, "\n".join(problems[:100])


@pytest.mark.usefixtures("_nothing_leaks")
def test_a_storm_of_failures_changes_no_byte(tmp_path: Path) -> None:
    seeds = range(_STORMS if is_whole() else _STORMS // 25)

    found = side_by_side([partial(storm.rage, seed, tmp_path / str(seed)) for seed in seeds])

    problems = [line for lines in found for line in lines]
    assert not problems, "\n".join(problems[:100])


def side_by_side(works: list[Callable[[], T]]) -> list[T]:
    """Do all works, some at a time, and return their results."""
    with ThreadPoolExecutor(_SIDE_BY_SIDE) as pool:
        return list(pool.map(lambda work: work(), works))
