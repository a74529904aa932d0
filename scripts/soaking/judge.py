"""From what was counted to what is wrong. Pure.

Memory is compared only in runs of three minutes and more: before that the daemon still fills
its bounded caches (64 MiB of recent pieces, 48 MiB of foreseen ones).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from scripts.soaking.daemon import Held

MEMORY_GROWTH = 0.10
_LONG_S = 180.0
# The table of open blocks holds up to 256 descriptors; a few come and go with requests.
_DESCRIPTORS = 32
_THREADS = 16


@dataclass(frozen=True, slots=True)
class Found:
    """What a soak has counted.

    Attributes:
        seconds: How long the readers ran.
        readers: How many there were.
        counts: Sums over all readers; see `readers.Counted`.
        longest_s: The longest call of each kind, in seconds.
        met: Faults met, by name.
        hangs: Calls that took longer than any may, and readers that didn't end.
        died: Readers' processes that ended by themselves.
        start: What the daemon held before the readers began.
        minute: After the first minute.
        end: Just before the readers ended.
        quiet: After them, with nothing left to do.
        left: What was still open or under way then, by name.
        messages: What went wrong, some of it.
        mending: The daemon's own counts of what it did about faults.
        tracebacks: What the daemon logged of errors that nobody foresaw.
    """

    seconds: float
    readers: int
    counts: Mapping[str, int]
    longest_s: Mapping[str, float]
    met: Mapping[str, int]
    hangs: int
    died: int
    start: Held
    minute: Held
    end: Held
    quiet: Held
    left: Mapping[str, int]
    messages: tuple[str, ...]
    mending: Mapping[str, int]
    tracebacks: tuple[str, ...] = ()

    @property
    def faults(self) -> int:
        """How many faults were met."""
        return sum(self.met.values())

    @property
    def not_healed(self) -> int:
        """Faults that a program noticed."""
        return self.counts.get("failed_reads", 0) + self.counts.get("failed_lookups", 0)

    @property
    def healed(self) -> int:
        """Faults that no program noticed."""
        return max(0, self.faults - self.not_healed)

    @property
    def memory_growth(self) -> float:
        """By what share the memory at the end differs from that after the first minute."""
        return self.end.memory / self.minute.memory - 1


def leaks(found: Found) -> dict[str, int]:
    """Return what the daemon holds on to, by name, 0 for nothing."""
    return {
        "descriptors": max(0, found.quiet.descriptors - found.minute.descriptors - _DESCRIPTORS),
        "threads": max(0, found.quiet.threads - found.minute.threads - _THREADS),
        **found.left,
    }


def wrong_with(found: Found) -> list[str]:
    """Return what is wrong, a line for each; none if all is well."""
    wrong = [
        f"{name.replace('_', ' ')}: {found.counts[name]:,}"
        for name in ("wrong_bytes", "lost_names", "failed_reads")
        if found.counts.get(name, 0)
    ]
    if found.hangs:
        wrong.append(f"hangs: {found.hangs}")
    if found.tracebacks:
        wrong.append(f"tracebacks in the log: {len(found.tracebacks)}, such as")
        wrong[-1] += "\n" + found.tracebacks[0]
    if found.died:
        wrong.append(f"readers that died, as by SIGBUS: {found.died}")
    wrong += [f"leak: {count} {name}" for name, count in leaks(found).items() if count]
    if found.seconds >= _LONG_S and found.memory_growth > MEMORY_GROWTH:
        wrong.append(
            f"memory grew by {found.memory_growth:.0%} after the first minute,"
            f" at most {MEMORY_GROWTH:.0%} is allowed"
        )
    if not found.counts.get("reads", 0):
        wrong.append("nothing was read")
    return wrong
