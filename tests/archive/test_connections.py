"""The connection budget of the machine: several processes, several users."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest

from empiarfs.archive.connections import (
    MAX_SLOTS,
    RESERVED_SLOTS,
    ConnectionBudget,
    Slot,
)
from empiarfs.archive.machine_names import bind_name, is_taken
from empiarfs.archive.opening_pace import NEW_CONNECTIONS_PER_S, RENEWALS_PER_S
from empiarfs.errors import GaveUpError
from empiarfs.patience import Patience
from tests.support.stopwatch import Stopwatch
from tests.support.waiting import wait_until

CHECKOUT = Path(__file__).resolve().parents[2]
NOBODY = 65534


class Worker:
    """Another process with a budget of its own."""

    def __init__(self, prefix: str, limit: int, user_id: int | None = None) -> None:
        arguments = [prefix, str(limit)] + ([] if user_id is None else [str(user_id)])
        script = CHECKOUT / "tests/support/slot_worker.py"
        self.process = subprocess.Popen(
            [sys.executable, str(script), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        )
        assert self._pipe(self.process.stdout).readline() == "ready\n"

    def tell(self, command: str) -> None:
        pipe = self._pipe(self.process.stdin)
        pipe.write(command + "\n")
        pipe.flush()

    def hear(self) -> str:
        return self._pipe(self.process.stdout).readline().strip()

    def ask(self, command: str) -> str:
        self.tell(command)
        return self.hear()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self._pipe(self.process.stdin).close()
        self._pipe(self.process.stdout).close()

    def _pipe(self, pipe: IO[str] | None) -> IO[str]:
        assert pipe is not None
        return pipe


MakeWorker = Callable[..., Worker]


@pytest.fixture
def make_worker(prefix: str) -> Iterator[MakeWorker]:
    workers: list[Worker] = []

    def make(limit: int = 12, user_id: int | None = None) -> Worker:
        workers.append(Worker(prefix, limit, user_id))
        return workers[-1]

    yield make
    for worker in workers:
        worker.kill()


@pytest.fixture
def make_budget(prefix: str) -> Iterator[Callable[[int], ConnectionBudget]]:
    budgets: list[ConnectionBudget] = []

    def make(limit: int) -> ConnectionBudget:
        budgets.append(ConnectionBudget(limit, prefix=prefix))
        return budgets[-1]

    yield make
    for budget in budgets:
        budget.close()


def take_all(budget: ConnectionBudget, *, urgent: bool) -> list[Slot]:
    slots = []
    while (slot := budget.try_acquire(urgent=urgent)) is not None:
        slots.append(slot)
    return slots


def release(slots: list[Slot]) -> None:
    for slot in slots:
        slot.release()


@pytest.mark.parametrize("limit", [0, 21, -1])
def test_a_limit_beyond_what_the_archive_endures_is_refused(limit: int, prefix: str) -> None:
    with pytest.raises(ValueError, match="connections"):
        ConnectionBudget(limit, prefix=prefix)


def test_foreseen_requests_leave_the_reserved_slots(
    make_budget: Callable[[int], ConnectionBudget],
) -> None:
    budget = make_budget(5)
    foreseen = take_all(budget, urgent=False)
    urgent = take_all(budget, urgent=True)

    assert [slot.number for slot in foreseen] == [2, 3, 4]
    assert [slot.number for slot in urgent] == [0, 1]
    assert budget.in_use == 5
    release(foreseen + urgent)
    assert budget.in_use == 0


def test_urgent_requests_use_the_common_slots_first(
    make_budget: Callable[[int], ConnectionBudget],
) -> None:
    slots = take_all(make_budget(4), urgent=True)

    assert [slot.number for slot in slots] == [2, 3, 0, 1]
    release(slots)


@pytest.mark.parametrize(("limit", "foreseen"), [(1, 1), (2, 1), (3, 1), (4, 2)])
def test_a_small_budget_still_foresees(
    make_budget: Callable[[int], ConnectionBudget], limit: int, foreseen: int
) -> None:
    slots = take_all(make_budget(limit), urgent=False)

    assert len(slots) == foreseen
    release(slots)


def test_a_slot_may_cool_down_and_counts_as_long(
    make_budget: Callable[[int], ConnectionBudget],
) -> None:
    budget = make_budget(1)
    slot = budget.try_acquire(urgent=True)
    assert slot is not None
    slot.release(after_s=0.1)
    slot.release()

    assert budget.in_use == 1
    assert budget.try_acquire(urgent=True) is None
    wait_until(lambda: budget.in_use == 0)


def test_a_slot_cools_down_beyond_the_limit_where_there_is_room(
    make_budget: Callable[[int], ConnectionBudget],
) -> None:
    budget = make_budget(3)
    slots = take_all(budget, urgent=True)
    for slot in slots:
        slot.release(after_s=0.2)
    again = take_all(budget, urgent=True)

    # Two thirds of the limit cool down elsewhere; the third keeps its own slot.
    assert len(again) == 2
    assert budget.in_use == 5
    release(again)
    wait_until(lambda: budget.in_use == 0)


def test_connections_that_cool_down_never_make_more_than_twenty(
    make_budget: Callable[[int], ConnectionBudget],
) -> None:
    budget = make_budget(MAX_SLOTS - 2)
    slots = take_all(budget, urgent=True)
    for slot in slots:
        slot.release(after_s=0.2)
    again = take_all(budget, urgent=True)

    assert len(again) == 2
    assert budget.in_use == MAX_SLOTS
    release(again)
    wait_until(lambda: budget.in_use == 0)


def test_a_release_wakes_a_waiter_at_once(
    make_budget: Callable[[int], ConnectionBudget],
) -> None:
    budget = make_budget(1)
    first = budget.try_acquire(urgent=True)
    assert first is not None

    def wait() -> None:
        slot = budget.acquire(urgent=True)
        assert isinstance(slot, Slot)
        slot.release()

    thread = threading.Thread(target=wait)
    thread.start()
    wait_until(lambda: budget.waiting == 1)
    watch = Stopwatch()
    first.release()
    thread.join()

    assert watch.seconds() < 0.1


def test_urgent_waiters_come_before_foreseen_ones(
    make_budget: Callable[[int], ConnectionBudget],
) -> None:
    budget = make_budget(1)
    first = budget.try_acquire(urgent=True)
    assert first is not None
    order: list[str] = []

    def wait(name: str, urgent: bool) -> None:
        slot = budget.acquire(urgent=urgent)
        order.append(name)
        assert isinstance(slot, Slot)
        slot.release()

    threads = []
    for number, (name, urgent) in enumerate([("f", False), ("u1", True), ("u2", True)], 1):
        threads.append(threading.Thread(target=wait, args=(name, urgent)))
        threads[-1].start()
        wait_until(lambda number=number: budget.waiting == number)  # type: ignore[misc]
    first.release()
    for thread in threads:
        thread.join()

    assert order == ["u1", "u2", "f"]


def test_a_waiter_gives_up_when_its_caller_does(
    make_budget: Callable[[int], ConnectionBudget],
) -> None:
    budget = make_budget(1)
    slots = take_all(budget, urgent=True)
    with pytest.raises(GaveUpError):
        budget.acquire(urgent=True, check=Patience(0.05).check)

    assert budget.waiting == 0
    release(slots)


def test_three_processes_never_have_a_slot_twice(make_worker: MakeWorker) -> None:
    workers = [make_worker() for _ in range(3)]
    numbers = [worker.ask("take urgent") for _ in range(5) for worker in workers]

    taken = [number for number in numbers if number != "none"]
    assert len(taken) == 12
    assert len(set(taken)) == 12
    assert numbers[12:] == ["none"] * 3


def test_no_process_uses_slots_beyond_its_own_limit(make_worker: MakeWorker) -> None:
    small, large = make_worker(limit=3), make_worker(limit=MAX_SLOTS)
    assert [small.ask("take urgent") for _ in range(4)] == ["2", "0", "1", "none"]
    numbers = [large.ask("take urgent") for _ in range(18)]

    assert numbers == [*map(str, range(3, 20)), "none"]


def test_a_killed_process_gives_its_slots_back(make_worker: MakeWorker) -> None:
    first, second = make_worker(limit=2), make_worker(limit=2)
    assert [first.ask("take urgent") for _ in range(2)] == ["1", "0"]
    assert second.ask("take urgent") == "none"
    first.process.kill()
    first.process.wait()

    assert [second.ask("wait urgent") for _ in range(2)] == ["1", "0"]


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")
def test_two_users_share_one_budget(make_worker: MakeWorker) -> None:
    root, nobody = make_worker(limit=3), make_worker(limit=3, user_id=NOBODY)
    assert Path(f"/proc/{nobody.process.pid}").stat().st_uid == NOBODY
    numbers = [worker.ask("take urgent") for _ in range(2) for worker in (root, nobody)]

    assert numbers == ["2", "0", "1", "none"]
    assert root.ask("give") == "ok"
    assert nobody.ask("wait urgent") in ("1", "2")


def test_a_waiter_in_another_process_is_noticed_and_let_through(
    make_worker: MakeWorker,
) -> None:
    busy, waiter = make_worker(limit=1), make_worker(limit=1)
    assert busy.ask("take urgent") == "0"
    assert busy.ask("give-way") == "no"
    waiter.tell("wait urgent")
    wait_until(lambda: busy.ask("give-way") == "yes")
    assert busy.ask("give") == "ok"
    # It would take it again at once, but stands back for the other one.
    busy.ask("take urgent")

    assert waiter.hear() == "0"
    assert busy.ask("take urgent") == "none"


def test_a_refusal_slows_every_process_down(make_worker: MakeWorker) -> None:
    refused, other = make_worker(limit=6), make_worker(limit=6)
    assert refused.ask("slow 0.3") == "ok"
    for worker in (refused, other):
        assert worker.ask("refused") == "yes"
        assert worker.ask("take foreseen") == "none"
    assert [other.ask("take urgent") for _ in range(RESERVED_SLOTS + 1)] == ["0", "1", "none"]
    wait_until(lambda: other.ask("refused") == "no")

    assert refused.ask("refused") == "no"
    assert other.ask("take foreseen") == "2"


def test_the_machine_opens_ten_connections_a_second(make_worker: MakeWorker) -> None:
    workers = [make_worker() for _ in range(2)]
    began_s = time.monotonic()
    watch = Stopwatch()
    for _ in range(NEW_CONNECTIONS_PER_S // 2):
        assert [worker.ask("connect urgent") for worker in workers] == ["ok", "ok"]
    free_s = watch.seconds()
    workers[0].ask("connect urgent")

    assert free_s < 0.9
    assert time.monotonic() - began_s > 0.95


def test_two_connections_a_second_are_kept_for_urgent_requests(make_worker: MakeWorker) -> None:
    worker, other = make_worker(), make_worker()
    for _ in range(8):
        assert worker.ask("connect foreseen") == "ok"
    began_s = time.monotonic()
    watch = Stopwatch()
    worker.tell("connect foreseen")
    assert [other.ask("connect urgent") for _ in range(2)] == ["ok", "ok"]
    urgent_s = watch.seconds()
    assert worker.hear() == "ok"

    assert urgent_s < 0.4
    assert time.monotonic() - began_s > 0.6


def test_connections_that_ended_in_order_are_replaced_sooner(make_worker: MakeWorker) -> None:
    worker = make_worker()
    began_s = time.monotonic()
    watch = Stopwatch()
    for _ in range(2 * NEW_CONNECTIONS_PER_S):
        assert worker.ask("ended") == "ok"
        assert worker.ask("connect urgent") == "ok"
    renewed_s = watch.seconds()
    for _ in range(RENEWALS_PER_S):
        worker.ask("ended")
        worker.ask("connect urgent")

    assert renewed_s < 0.9
    assert time.monotonic() - began_s > 0.95


def test_a_slot_to_connect_with_is_given_at_the_machines_pace(
    make_budget: Callable[[int], ConnectionBudget],
) -> None:
    budget = make_budget(MAX_SLOTS)
    slots = []
    while (slot := budget.try_acquire(urgent=True, connecting=True)) is not None:
        slots.append(slot)

    assert len(slots) <= NEW_CONNECTIONS_PER_S
    assert all(slot.may_connect for slot in slots)
    others = take_all(budget, urgent=True)
    assert len(slots) + len(others) == MAX_SLOTS
    release(slots + others)


def test_a_name_is_free_when_its_socket_is_closed(prefix: str) -> None:
    first = bind_name(prefix)
    assert first is not None
    assert bind_name(prefix) is None
    assert is_taken(prefix)
    first.close()
    assert not is_taken(prefix)
    again = bind_name(prefix)
    assert again is not None
    again.close()
