"""A process that takes and gives back connection slots as it is told; run by tests.

    python slot_worker.py PREFIX LIMIT [USER-ID]

Reads a command a line and answers each with a line:

    take urgent|foreseen     number of the slot, or "none"
    wait urgent|foreseen     the same, once there is one
    give                     gives the one taken last back: "ok"
    give-way                 "yes" or "no"
    refused                  "yes" or "no"
    slow SECONDS             "ok"
    connect urgent|foreseen  "ok" once a connection may be opened
    ended                    the archive ended a connection in order: "ok"
"""

from __future__ import annotations

import os
import sys

from empiarfs.archive.connections import ConnectionBudget, Slot


def main() -> None:
    prefix, limit, *user = sys.argv[1:]
    if user:
        os.setgroups([])
        os.setgid(int(user[0]))
        os.setuid(int(user[0]))
    budget = ConnectionBudget(int(limit), prefix=prefix)
    slots: list[Slot] = []
    say("ready")
    for line in sys.stdin:
        say(answer(budget, slots, *line.split()))


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def answer(budget: ConnectionBudget, slots: list[Slot], command: str, *words: str) -> str:
    urgent = "urgent" in words
    if command in ("take", "wait"):
        slot = budget.try_acquire(urgent=urgent) if command == "take" else None
        if command == "wait":
            waited = budget.acquire(urgent=urgent)
            assert isinstance(waited, Slot)
            slot = waited
        if slot is None:
            return "none"
        slots.append(slot)
        return str(slot.number)
    if command == "give":
        slots.pop().release()
    elif command == "give-way":
        return "yes" if budget.should_give_way() else "no"
    elif command == "refused":
        return "yes" if budget.refused else "no"
    elif command == "slow":
        budget.slow_down(float(words[0]))
    elif command == "ended":
        budget.note_ended()
    elif command == "connect":
        budget.wait_to_connect(urgent=urgent)
    return "ok"


if __name__ == "__main__":
    main()
