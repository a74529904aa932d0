"""Runs one soak: archive, server, link, mount and readers, and ends them all whatever happens.

Threading: one thread, beside that of `Trouble`.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.soaking.daemon import Held, about, held_by
from scripts.soaking.judge import Found
from scripts.soaking.readers import KINDS, Counted
from scripts.soaking.served import Scale, Server, make_archive
from scripts.soaking.trouble import LINK, Trouble
from tests.support import tree
from tests.support.mounts import Mount, mounted
from tests.support.slow_link import SlowLink

_CHECKOUT = Path(__file__).resolve().parents[2]
_POLL_S = 1.0
_MINUTE_S = 60.0
# What a read may take: the longest trouble is eight seconds, and some follow one another.
_WAIT_S = 120
_LOOKUP_S = 90
# A busy machine's.
_GRACE_S = 30
_QUIET_DEADLINE_S = 60.0
_MENDING = ("retries", "stalls", "hedges", "bad_responses", "connection_refusals")


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do.

    Attributes:
        seconds: How long the readers run.
        readers: How many there are.
        scale: How much is served.
        cache_size: As `--cache-size` takes it.
        seed: What all that is random follows from.
    """

    seconds: float
    readers: int
    scale: Scale
    cache_size: str
    seed: int


class _Group:
    """One process of readers."""

    def __init__(self, kind: str, threads: int, words: Sequence[str], statistics: Path) -> None:
        self.kind = kind
        self.threads = threads
        self._statistics = statistics
        self._process = subprocess.Popen(
            [sys.executable, "-m", "scripts.soaking.readers", kind, str(threads), *words],
            cwd=_CHECKOUT,
            stdin=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for who started the soak
        )

    @property
    def counted(self) -> Counted:
        """What it has counted up to the last second."""
        return Counted.read(self._statistics)

    @property
    def has_died(self) -> bool:
        """Whether it has ended, without being told to."""
        return self._process.poll() is not None

    def hanging(self) -> list[str]:
        """Return the calls under way that last longer than any may."""
        now_s = time.monotonic()
        counted = self.counted
        return [
            f"{self.kind}: {call} takes {now_s - began_s:.0f} s"
            for call, began_s in zip(counted.calls, counted.began_s, strict=True)
            if began_s and now_s - began_s > _limit_s(call)
        ]

    def tell_to_end(self) -> None:
        """Tell the readers that what they do is their last."""
        assert self._process.stdin is not None
        self._process.stdin.close()

    def ends_within(self, seconds: float) -> bool:
        """Wait for the end, which has been told."""
        try:
            self._process.wait(max(0.0, seconds))
        except subprocess.TimeoutExpired:
            return False
        return True

    def kill(self) -> None:
        """End it at once, if it is still there."""
        if self._process.poll() is None:
            self._process.kill()
        # What hangs in the kernel ends with the mount, and not before.
        self.ends_within(_GRACE_S)
        if self._process.stdin is not None:
            self._process.stdin.close()


def _limit_s(call: str) -> float:
    return (_WAIT_S if call in ("read", "mmap") else _LOOKUP_S) + _GRACE_S


class _Watch:
    """Samples the daemon and looks for readers that hang or died."""

    def __init__(self, pid: int, groups: Sequence[_Group], say: Callable[[str], None]) -> None:
        self.pid = pid
        self._groups = groups
        self._say = say
        self._began_s = time.monotonic()
        self.samples: list[Held] = []
        self.hanging: set[str] = set()
        self.died: set[_Group] = set()

    @property
    def passed_s(self) -> float:
        """Seconds since the readers began."""
        return time.monotonic() - self._began_s

    def until(self, seconds: float) -> None:
        """Watch for so long; less if something hangs, since nothing comes after that."""
        told_s = 0.0
        while self.passed_s < seconds and not self.hanging:
            time.sleep(min(_POLL_S, max(0.0, seconds - self.passed_s)))
            self.samples.append(held_by(self.pid, self.passed_s))
            self.died.update(group for group in self._groups if group.has_died)
            for group in self._groups:
                self.hanging.update(group.hanging())
            if self.passed_s - told_s >= 30:
                told_s = self.passed_s
                self._tell()

    def _tell(self) -> None:
        counts = _sum(self._groups)
        held = self.samples[-1]
        self._say(
            f"{self.passed_s:.0f} s: {counts['reads']:,} reads, {counts['bytes'] / 1e6:,.0f} MB,"
            f" {counts['wrong_bytes']} wrong bytes; {held.memory / 2**20:.0f} MiB,"
            f" {held.threads} threads, {held.descriptors} descriptors"
        )


def run(plan: Plan, say: Callable[[str], None]) -> Found:
    """Run a soak to its end, and return what it found."""
    with ExitStack() as stack:
        say("making what is served")
        root = stack.enter_context(tree.temporary_root())
        make_archive(root, plan.scale)
        server = Server(root, plan.seed)
        stack.callback(server.kill)
        server.start()
        link = stack.enter_context(SlowLink(server.url, LINK))
        options = [f"wait={_WAIT_S}s", f"cache_size={plan.cache_size}"]
        mount = stack.enter_context(mounted(link.url_for(server.url), options=options))
        mount.expect_log("")  # what may not be there is judged with all else
        say(f"{plan.readers} readers for {plan.seconds:.0f} s")
        return _soak(plan, root, mount, Trouble(link, server, plan.seed, _pauses(plan)), say)


def _pauses(plan: Plan) -> tuple[float, float]:
    """Return how long nothing more goes wrong; a short soak has to see it all too."""
    return (1.0, 2.0) if plan.seconds < _MINUTE_S else (3.0, 15.0)


def _soak(
    plan: Plan, root: Path, mount: Mount, trouble: Trouble, say: Callable[[str], None]
) -> Found:
    pid = mount.pid
    start = held_by(pid, 0.0)
    with _reading(plan, mount.path, root) as groups:
        watch = _Watch(pid, groups, say)
        with trouble:
            watch.until(plan.seconds)
        seconds = watch.passed_s
        say("ending the readers")
        hangs = len(watch.hanging) + _end(groups, watch.hanging)
        counted = [group.counted for group in groups]
        counts = _sum(groups)
    say("waiting for the mount to have nothing to do")
    quiet, left = _when_quiet(mount, watch)
    minute_s = min(_MINUTE_S, seconds / 3)
    return Found(
        seconds=seconds,
        readers=plan.readers,
        counts=dict(counts),
        longest_s=_longest(counted),
        met=dict(trouble.met().most_common()),
        hangs=hangs,
        died=len(watch.died),
        start=start,
        minute=about(watch.samples, minute_s),
        end=about(watch.samples, seconds),
        quiet=quiet,
        left=left,
        messages=(
            *sorted(watch.hanging),
            *(message for each in counted for message in each.messages),
        ),
        mending={name: _counters(mount).get(name, 0) for name in _MENDING},
        tracebacks=_tracebacks(mount.log),
    )


@contextmanager
def _reading(plan: Plan, mounted_at: Path, root: Path) -> Iterator[list[_Group]]:
    """Start all readers; none is left at the end."""
    groups: list[_Group] = []
    with tempfile.TemporaryDirectory(prefix="empiarfs-soak-") as folder:
        try:
            for number, (kind, threads) in enumerate(_shares(plan.readers)):
                statistics = Path(folder, f"{number}.json")
                seed = str(plan.seed + 1_000 * number)
                words = [str(mounted_at), str(root), str(statistics), seed]
                groups.append(_Group(kind, threads, words, statistics))
            yield groups
        finally:
            for group in groups:
                group.kill()


def _shares(readers: int) -> list[tuple[str, int]]:
    """Return the kinds, and how many readers of each share a process."""
    count = Counter(KINDS[number % len(KINDS)] for number in range(readers))
    shares = []
    for kind, threads in count.items():
        # A page fault holds Python's global lock, and would keep the others from reading.
        shares += [(kind, 1)] * threads if kind == "mapped" else [(kind, threads)]
    return shares


def _end(groups: Sequence[_Group], hanging: set[str]) -> int:
    """Tell all readers to end; return how many processes of them don't."""
    if hanging:
        return 0  # they are counted already, and wait for what doesn't come
    for group in groups:
        group.tell_to_end()
    end_s = time.monotonic() + _WAIT_S + _GRACE_S
    return sum(not group.ends_within(end_s - time.monotonic()) for group in groups)


def _when_quiet(mount: Mount, watch: _Watch) -> tuple[Held, dict[str, int]]:
    """Wait until the daemon has nothing to do; return what it holds, and what it hangs on to."""
    end_s = time.monotonic() + _QUIET_DEADLINE_S
    left = _left(mount)
    while any(left.values()) and time.monotonic() < end_s:
        time.sleep(_POLL_S)
        left = _left(mount)
    return held_by(watch.pid, watch.passed_s), left


def _left(mount: Mount) -> dict[str, int]:
    status = mount.status()
    fetcher = status["fetcher"]
    return {
        "open files": status["open_files"],
        "connections": status["connections"],
        "pieces in flight": fetcher["pieces_in_flight"],
        "spans waiting": fetcher["spans_waiting"],
    }


def _tracebacks(log: str) -> tuple[str, ...]:
    """Return the tracebacks in a log, each with the line before it."""
    lines = log.split("\n")
    found = []
    for number, line in enumerate(lines):
        if line.startswith("Traceback "):
            rest = lines[number:]
            end = next((i for i, each in enumerate(rest) if i and each[:1] not in " "), 1)
            found.append("\n".join([*lines[max(0, number - 1) : number], *rest[: end + 1]]))
    return tuple(found)


def _counters(mount: Mount) -> dict[str, int]:
    counters: dict[str, Any] = mount.status()["counters"]
    return {name: int(value) for name, value in counters.items()}


def _sum(groups: Sequence[_Group]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for group in groups:
        counts.update(group.counted.counts)
    return counts


def _longest(counted: Sequence[Counted]) -> dict[str, float]:
    longest: dict[str, float] = {}
    for each in counted:
        for call, took_s in each.longest_s.items():
            longest[call] = max(took_s, longest.get(call, 0.0))
    return longest
