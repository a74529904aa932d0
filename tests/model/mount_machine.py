"""The state machine that does the same to a mount and to a local copy, and compares.

The operations are system calls (`tests.support.operations`), done on the mount by a process
of its own and on a copy of the same version by this one: reads and seeks by the file's own
position, at an offset, through a mapping, by several threads; directories read, sought and
rewound; attributes. In between the archive changes and errs, the kernel forgets its pages,
blocks are taken from the cache, days pass, and the mount ends and is made anew.

One mount serves many examples, as making one takes half a second; each has an entry of the
archive for itself.

    what                  may be shown
    --------------------  ------------------------------------------------------------------
    an open handle        the version that it was opened on, or ESTALE once there is another
    an open               nothing older than what was shown before; the present after a day
    a path's attributes   likewise, but for the hour that the kernel keeps them unasked
    absence               only of what was absent since; for 30 s also of what came meanwhile
"""

from __future__ import annotations

import errno
import itertools
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from tests.support import operations
from tests.support.broken_server import Fault, Request
from tests.support.campaign import tally
from tests.support.changing import (
    FAULTS,
    RANGE_FAULTS,
    ChangingServer,
    Sight,
    Version,
    is_for_bytes,
)
from tests.support.clocks import MovedClock
from tests.support.mounts import Mount, mounted
from tests.support.operations import Actor

NAMES = ("a.mrc", "b.tif", "new.eer", "README.txt", "sub/c.mrcs")
HIDDEN = ("README.txt",)
LATER = ("new.eer",)
_KEPT = ("keep.star", "sub/keep.star")
SIZES = (0, 1, 4095, 65_537, 200_000, 2**20 + 1, 2_500_000)
_DAY_S = 86_400.0
# How long the kernel and the daemon believe that a name is absent, and a little more.
_ABSENT_S = 35.0
_FAULTS_AT_ONCE = 2

_numbers = itertools.count(10_001)
_names = st.sampled_from(NAMES)
_handles = st.integers(0, 7)
_offsets = st.one_of(
    st.sampled_from([0, 1, 4095, 4096, 65_536, 2**20 - 1, 2**20, 2_499_999]),
    st.integers(0, 2_600_000),
)
_sizes = st.one_of(st.sampled_from([0, 1, 4096, 65_536, 131_073, 2**20]), st.integers(0, 300_000))


def _always(request: Request) -> bool:
    return True


_BREAKABLE: Mapping[str, tuple[Fault, Callable[[Request], bool]]] = {
    **{name: (fault, _always) for name, fault in FAULTS.items()},
    **{name: (fault, is_for_bytes) for name, fault in RANGE_FAULTS.items()},
}


class Stage:
    """A mount, its archive, its clock, and who does the operations; for many examples."""

    def __init__(
        self, server: ChangingServer, mount: Mount, clock: MovedClock, copies: Path
    ) -> None:
        self.server = server
        self.mount = mount
        self.clock = clock
        self.copies = copies
        self.latest_s = 0.0

    def stored_files(self) -> list[Path]:
        """Return the files of stored blocks."""
        return sorted(self.mount.cache_dir.glob("v1/blocks-1/*/*/*"))


@contextmanager
def made_stage() -> Iterator[Stage]:
    """Make the mount of an empty archive, with the smallest cache."""
    with ExitStack() as stack:
        server = ChangingServer({})
        stack.enter_context(server)
        clock = stack.enter_context(MovedClock())
        copies = Path(stack.enter_context(TemporaryDirectory(prefix="empiarfs-copies-")))
        options = ["cache_size=16M", "wait=120s"]
        mount = stack.enter_context(mounted(server.url, options=options, env=clock.environment))
        mount.warnings_expected = True
        yield Stage(server, mount, clock, copies)


@dataclass(slots=True, eq=False)
class OpenFile:
    """A file open on the mount, and the copy of its version."""

    descriptor: int
    copy: int
    path: str
    version: Version


class MountMachine(RuleBasedStateMachine):
    """Compares a mount with local copies; see the module."""

    stage: ClassVar[Stage]

    def __init__(self) -> None:
        super().__init__()
        self.server = self.stage.server
        self.entry = f"{next(_numbers)}"
        self.has_failed = False
        self.reads = 0
        self.open_files: list[OpenFile] = []
        self.shown: dict[str, Sight] = {}
        self.shown_listed: dict[str, Sight] = {}
        self.absent_until_s: dict[str, float] = {}
        self.actor = Actor()
        for name in (*_KEPT, *NAMES):
            path = f"{self.entry}/{name}"
            self.server.begin(path, None if name in LATER else 200_000, name in HIDDEN)
            self.shown[path] = Sight(self.server.timelines[path])
            self.shown_listed[path] = Sight(self.server.timelines[path])
        # So that the root's listing, as old as the mount, is asked for anew.
        self.day_passes()

    def teardown(self) -> None:
        """Compare everything once more, through a new mount on the same cache."""
        try:
            if not self.has_failed:
                self.server.forget_faults()
                self.remount()
                self.day_passes()
                for name in NAMES:
                    self.open(name)
                for number in range(len(self.open_files)):
                    self.pread(number, 0, 3_000_000)
                for directory in ("", "sub"):
                    self.names(directory, [0, 1])
        finally:
            self.server.forget_faults()
            self._close_all()
            self.actor.__exit__()
        tally.add("reads", "mount model", self.reads)

    # -- what programs do ------------------------------------------------------------------

    @rule(name=_names)
    def open(self, name: str) -> None:
        """Open a file, which shows the present after a day."""
        path = f"{self.entry}/{name}"
        self.shown[path].has_asked()
        try:
            descriptor = self.actor.do("open_file", self._mounted(path))
        except OSError as exc:
            self._check_failure(path, exc)
            return
        found = self.actor.do("file_attributes", descriptor)
        version = self._check_version(path, found)
        copy = os.open(self._copy_of(version), os.O_RDONLY)
        self.open_files.append(OpenFile(descriptor, copy, path, version))

    @rule(which=_handles)
    def close(self, which: int) -> None:
        """Close a file."""
        if self.open_files:
            opened = self._opened(which)
            self.open_files.remove(opened)
            self._close(opened)

    @rule(which=_handles, size=_sizes)
    def read(self, which: int, size: int) -> None:
        """Read at the file's own position."""
        if self.open_files:
            opened = self._opened(which)
            before = operations.seek(opened.copy, 0, os.SEEK_CUR)
            if not self._compare(opened, "read", size):
                for descriptor in (opened.copy, opened.descriptor):
                    self._do(descriptor, opened, "seek", before, os.SEEK_SET)

    @rule(which=_handles, offset=_offsets, size=_sizes)
    def pread(self, which: int, offset: int, size: int) -> None:
        """Read at an offset."""
        if self.open_files:
            self._compare(self._opened(which), "pread", size, offset)

    @rule(which=_handles, offset=_offsets, size=_sizes)
    def mapped(self, which: int, offset: int, size: int) -> None:
        """Read through a mapping."""
        if self.open_files:
            opened = self._opened(which)
            # By the file's size as the mount shows it, which is a newer version's for a
            # handle that is stale.
            if self._is_current(opened):
                self._compare(opened, "mapped", size, offset)

    @rule(
        which=_handles,
        offset=st.integers(-3, 2_600_000),
        whence=st.sampled_from([os.SEEK_SET, os.SEEK_CUR, os.SEEK_DATA, os.SEEK_HOLE]),
    )
    def seek(self, which: int, offset: int, whence: int) -> None:
        """Move the file's position."""
        if self.open_files:
            opened = self._opened(which)
            if self._is_current(opened):
                self._compare(opened, "seek", offset, whence)

    @rule(wanted=st.lists(st.tuples(_handles, _sizes, _offsets), min_size=2, max_size=8))
    def pread_together(self, wanted: list[tuple[int, int, int]]) -> None:
        """Read from several places at once."""
        if not self.open_files:
            return
        opened = [self._opened(which) for which, _, _ in wanted]
        there = [
            (each.descriptor, size, at) for each, (_, size, at) in zip(opened, wanted, strict=True)
        ]
        here = [(each.copy, size, at) for each, (_, size, at) in zip(opened, wanted, strict=True)]
        found = self.actor.do("pread_together", there)
        expected = operations.pread_together(here)
        for each, one, other in zip(opened, found, expected, strict=True):
            self._judge(each, one, other, "pread_together")

    @rule(which=_handles)
    def forget_pages(self, which: int) -> None:
        """Make the kernel ask for the file's pages again."""
        if self.open_files:
            self.actor.do("forget_pages", self._opened(which).descriptor)

    @rule(name=_names)
    def stat(self, name: str) -> None:
        """Ask for a path's attributes."""
        path = f"{self.entry}/{name}"
        try:
            found = self.actor.do("attributes", self._mounted(path))
        except OSError as exc:
            self._check_failure(path, exc)
            return
        self._check_version(path, found)

    @rule(directory=st.sampled_from(["", "sub"]), places=st.lists(st.integers(0, 9), max_size=3))
    def names(self, directory: str, places: list[int]) -> None:
        """List a directory, seek in it, and rewind."""
        where = f"{self.entry}/{directory}".rstrip("/")
        lists = self.actor.do("list_and_seek", self._mounted(where), places)
        whole = lists[0]
        for place, rest in zip(places, lists[1:-1], strict=True):
            self._demand(rest == whole[place % (len(whole) + 1) :], f"seekdir in {where}")
        self._demand(lists[-1] == whole, f"rewinddir in {where}")
        shown = [name.decode() for name in whole if name not in (b".", b"..")]
        self._demand(len(set(shown)) == len(shown), f"a name twice in {where}")
        for path, sight in self.shown_listed.items():
            if path.rpartition("/")[0] == where:
                self._check_listed(path, sight, os.path.basename(path) in shown)

    # -- what the archive does -------------------------------------------------------------

    @rule(name=_names, size=st.sampled_from(SIZES))
    def replace(self, name: str, size: int) -> None:
        """Put a new version in place of a file, or the first one."""
        self.server.replace(f"{self.entry}/{name}", size)

    @rule(name=_names)
    def remove(self, name: str) -> None:
        """Take a file away."""
        path = f"{self.entry}/{name}"
        if self.server.timelines[path].latest is not None:
            self.server.remove(path)

    @rule(name=st.sampled_from(list(_BREAKABLE)), times=st.integers(1, _FAULTS_AT_ONCE))
    def break_next(self, name: str, times: int) -> None:
        """Do the next requests wrong."""
        if not self.server.faults_pending:
            fault, applies = _BREAKABLE[name]
            self.server.break_next(name, fault, applies, times)

    # -- what happens to the machine -------------------------------------------------------

    @rule()
    def day_passes(self) -> None:
        """Let all listings expire."""
        stage = self.stage
        stage.latest_s += _DAY_S + 1
        stage.clock.move(stage.latest_s - stage.clock.ahead_s)
        for sight in (*self.shown.values(), *self.shown_listed.values()):
            sight.becomes_due()

    @rule(hours=st.integers(1, 48))
    def clock_is_set_back(self, hours: int) -> None:
        """Set the clock back."""
        self.stage.clock.move(-3_600.0 * hours)

    @rule()
    def remount(self) -> None:
        """End the mount and make it anew on the same cache."""
        self._close_all()
        self.stage.mount.remount()

    @rule(one_in=st.integers(1, 3))
    def evict(self, one_in: int) -> None:
        """Take blocks away from the cache, as another process would."""
        for path in self.stage.stored_files()[::one_in]:
            path.unlink(missing_ok=True)

    # -- how it is judged ------------------------------------------------------------------

    def _mounted(self, path: str) -> str:
        return f"{self.stage.mount.path}/{path}"

    def _copy_of(self, version: Version) -> Path:
        path = self.stage.copies / str(version.modified_s)
        if not path.exists():
            path.write_bytes(version.data)
        return path

    def _opened(self, which: int) -> OpenFile:
        return self.open_files[which % len(self.open_files)]

    def _is_current(self, opened: OpenFile) -> bool:
        """Tell whether the archive still holds the version that was opened."""
        return self.server.timelines[opened.path].latest is opened.version

    def _close(self, opened: OpenFile) -> None:
        self.actor.do("close", opened.descriptor)
        os.close(opened.copy)

    def _close_all(self) -> None:
        for opened in self.open_files:
            self._close(opened)
        self.open_files.clear()

    def _do(self, descriptor: int, opened: OpenFile, operation: str, *arguments: int) -> Any:
        """Do an operation on the copy or on the mount; an OSError becomes its number."""
        try:
            if descriptor == opened.copy:
                return getattr(operations, operation)(descriptor, *arguments)
            return self.actor.do(operation, descriptor, *arguments)
        except OSError as exc:
            return OSError(exc.errno)

    def _compare(self, opened: OpenFile, operation: str, *arguments: int) -> bool:
        """Do the same on the mount and on the copy; tell whether it came out the same."""
        found = self._do(opened.descriptor, opened, operation, *arguments)
        expected = self._do(opened.copy, opened, operation, *arguments)
        return self._judge(opened, found, expected, operation)

    def _judge(self, opened: OpenFile, found: Any, expected: Any, what: str) -> bool:
        self.reads += 1
        if isinstance(found, OSError):
            found = found.errno
        if isinstance(expected, OSError):
            expected = expected.errno
        if found == expected:
            tally.add("wrong_bytes", "mount model", 0)
            return True
        is_partial = (
            isinstance(found, bytes) and isinstance(expected, bytes) and expected.startswith(found)
        )
        is_excused = found in (errno.ESTALE, "SIGBUS") or is_partial
        if not (is_excused and not self._is_current(opened)):
            tally.add("wrong_bytes", "mount model", 1)
            shown = f"{len(found)} bytes" if isinstance(found, bytes) else repr(found)
            self._demand(False, f"{what} of {opened.path}: {shown}")
        self.shown[opened.path].becomes_due()
        return False

    def _check_version(self, path: str, found: operations.Attributes) -> Version:
        sight = self.shown[path]

        def fits(state: Version | None) -> bool:
            return state is not None and found == (False, len(state.data), state.modified_s)

        self._demand(sight.saw(fits), f"{path} shows {found}, which it isn't any more")
        version = sight.state
        assert version is not None
        return version

    def _check_failure(self, path: str, error: OSError) -> None:
        self._demand(error.errno == errno.ENOENT, f"{path}: {error!r}")
        now_s = time.monotonic()
        if self.shown[path].saw(lambda state: state is None):
            self.absent_until_s[path] = now_s + _ABSENT_S
        else:
            self._demand(now_s < self.absent_until_s.get(path, 0.0), f"{path} is there")

    def _check_listed(self, path: str, sight: Sight, is_listed: bool) -> None:
        if path.removeprefix(f"{self.entry}/") in HIDDEN:
            return
        sight.has_asked()
        fits = (lambda state: state is not None) if is_listed else (lambda state: state is None)
        self._demand(sight.saw(fits), f"{path} is {'listed' if is_listed else 'not listed'}")

    def _demand(self, claim: object, otherwise: str) -> None:
        self.has_failed = self.has_failed or not claim
        assert claim, otherwise
