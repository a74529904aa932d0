"""The state machine that compares `FileSystem` with the history of what it shows.

Each rule does one thing to the file system, to the archive, to the clock or to the cache, and
compares what it returns with what the archive held. Whatever faults come in between, an
answer is right: only once the archive was out of reach may it be an error, and never is that
error "no such file" for a file that is there.

Rules take plain values, so that a failing run, which hypothesis prints as a program, can be
kept as a test by copying it (test_file_system_model.py).
"""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from empiarfs.errors import (
    EmpiarFSError,
    FileChangedError,
    NoSuchNameError,
    NotFoundError,
    TreeError,
)
from empiarfs.patience import Patience
from empiarfs.vfs import Attributes
from tests.support.broken_server import Fault, Request
from tests.support.campaign import tally
from tests.support.changing import (
    FAULTS,
    RANGE_FAULTS,
    ChangingServer,
    Sight,
    Version,
    is_for_bytes,
    is_for_headers,
)
from tests.support.model_rig import Clock, Rig

# A directory always keeps one file, since an empty one isn't there.
DIRECTORIES = ("10002/data", "10002/data/sub")
KEPT = ("10002/data/keep.star", "10002/data/sub/keep.star")
HIDDEN = ("10002/data/README.txt",)
LATER = ("10002/data/new.eer",)
PATHS = ("10002/data/a.mrc", "10002/data/b.tif", *LATER, *HIDDEN, "10002/data/sub/c.mrcs")
SIZES = (0, 1, 65_535, 65_536, 65_537, 200_000, 2**20 - 1, 2**20 + 1, 2_500_000)

_DAY_S = 86_400.0
# Far longer than some faults in a row take on a busy machine.
_PATIENCE_S = 60.0
# While the archive is out of reach, nobody needs to wait for it.
_BRIEF_S = 0.1
# Three answers in a row that aren't ones make an error, by `RetryPolicy.bad_attempts`.
_FAULTS_AT_ONCE = 2
# So many names confirmed absent make a listing be believed without asking.
_ABSENCES_FOR_BELIEF = 5


def _always(request: Request) -> bool:
    return True


_BREAKABLE: Mapping[str, tuple[Fault, Callable[[Request], bool]]] = {
    **{name: (fault, _always) for name, fault in FAULTS.items()},
    **{name: (fault, is_for_bytes) for name, fault in RANGE_FAULTS.items()},
    # A listing has twelve seconds to its first byte, which a test hasn't.
    "silence for bytes": (Fault.silence(), is_for_bytes),
    "silence for headers": (Fault.silence(), is_for_headers),
}

_paths = st.sampled_from(PATHS)
_directories = st.sampled_from(DIRECTORIES)
_handles = st.integers(0, 7)
_offsets = st.one_of(
    st.sampled_from([0, 1, 65_535, 65_536, 2**20 - 1, 2**20, 2_499_999]),
    st.integers(0, 2_600_000),
)
_lengths = st.one_of(
    st.sampled_from([0, 1, 4096, 65_536, 131_072, 2**20]), st.integers(0, 300_000)
)


@dataclass(slots=True, eq=False)
class OpenFile:
    """A handle, and the version that it shows for good."""

    number: int
    path: str
    version: Version
    is_stale: bool = False


@dataclass(slots=True)
class Outcome:
    """What a read returned or raised."""

    opened: OpenFile
    offset: int
    size: int
    was_stale: bool
    data: bytes = b""
    error: EmpiarFSError | None = None


class FileSystemMachine(RuleBasedStateMachine):
    """Compares a file system with what its archive held; see the module."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="empiarfs-model-"))
        sizes = {path: None if path in LATER else 200_000 for path in (*PATHS, *KEPT)}
        self.server = ChangingServer(sizes, HIDDEN)
        self.server.__enter__()
        self.clock = Clock()
        self.latest_s = 0.0  # how far ahead the clock ever was
        self.rig = Rig(self.server.url, self.folder, self.clock)
        timelines = self.server.timelines
        self.shown = {path: Sight(timeline) for path, timeline in timelines.items()}
        self.shown_listed = {path: Sight(timeline) for path, timeline in timelines.items()}
        self.open_files: list[OpenFile] = []
        self.is_away = False
        self.is_excused = False  # an error is allowed, as the archive was away lately
        self.lost_rows: set[str] = set()  # paths that a listing may lack
        self.listed: set[str] = set()  # paths that were listed and mustn't get lost
        self.absences = 0
        self.has_failed = False
        self.reads = 0
        self.server.fault(lambda request: self.is_away, Fault.reset(), times=10**9)

    def teardown(self) -> None:
        """Compare everything once more, with a new file system on the same cache."""
        try:
            if not self.has_failed:
                self._compare_everything()
        finally:
            self.rig.close()
            self.server.stop()
            shutil.rmtree(self.folder)
        tally.add("reads", "file system model", self.reads)
        for name, count in self.server.met.items():
            tally.add("faults", name, count)

    def _compare_everything(self) -> None:
        self.remount()
        self.day_passes()
        for path in PATHS:
            self.stat(path)
            self.open(path)
        for number in range(len(self.open_files)):
            self.read(number, 0, 3_000_000)
        for directory in DIRECTORIES:
            self.names(directory)

    # -- what programs do ------------------------------------------------------------------

    @rule(path=_paths)
    def open(self, path: str) -> None:
        """Open a file; it must be one of its versions."""
        try:
            number = self.rig.files.open(path, self._patience()).handle
        except EmpiarFSError as exc:
            self._check_failure(path, exc)
            return
        attributes = self.rig.files.attributes_of_handle(number)
        version = self._check_version(path, attributes)
        for other in self._handles_of(path):
            # Two versions are never readable at a time.
            other.is_stale = other.is_stale or other.version is not version
        self.open_files.append(OpenFile(number, path, version))

    @rule(which=_handles)
    def close(self, which: int) -> None:
        """Close a file."""
        if not self.open_files:
            return
        opened = self._opened(which)
        self.open_files.remove(opened)
        self.rig.files.release(opened.number)

    @rule(which=_handles, offset=_offsets, size=_lengths)
    def read(self, which: int, offset: int, size: int) -> None:
        """Read from an open file."""
        self.read_together([(which, offset, size)])

    @rule(wanted=st.lists(st.tuples(_handles, _offsets, _lengths), min_size=2, max_size=8))
    def read_together(self, wanted: list[tuple[int, int, int]]) -> None:
        """Read from several places by several threads at once."""
        if not self.open_files:
            return
        outcomes = []
        for which, offset, size in wanted:
            opened = self._opened(which)
            outcomes.append(Outcome(opened, offset, size, opened.is_stale))
        threads = [threading.Thread(target=self._read, args=(each,)) for each in outcomes[1:]]
        for thread in threads:
            thread.start()
        self._read(outcomes[0])
        for thread in threads:
            thread.join()
        for outcome in outcomes:
            self._check_read(outcome)

    @rule(path=_paths)
    def stat(self, path: str) -> None:
        """Ask for attributes; they must be those of one version."""
        try:
            found = self.rig.files.attributes(path, self._patience())
        except EmpiarFSError as exc:
            self._check_failure(path, exc)
            return
        self._check_version(path, found)

    @rule(path=_paths, offset=_offsets, size=_lengths)
    def look(self, path: str, offset: int, size: int) -> None:
        """Do what a program does with a file."""
        self.stat(path)
        self.open(path)
        if self._handles_of(path):
            self.read(len(self.open_files) - 1, offset, size)

    @rule(directory=_directories, name=st.sampled_from(["x.mrc", "README"]))
    def stat_absent(self, directory: str, name: str) -> None:
        """Ask for what never was."""
        try:
            self.rig.files.attributes(f"{directory}/{name}", self._patience())
        except NoSuchNameError:
            self.absences += 1
        except EmpiarFSError as exc:
            self._demand(self.is_excused, f"{name}: {exc!r}")
        else:
            self._demand(False, f"{name} was never there")

    @rule(directory=_directories)
    def names(self, directory: str) -> None:
        """List a directory, and once more by the same handle."""
        try:
            handle = self.rig.files.open_directory(directory, self._patience())
        except EmpiarFSError as exc:
            self._demand(self.is_excused and not isinstance(exc, TreeError), repr(exc))
            return
        items = self.rig.files.directory_items(handle)
        self._demand(items is self.rig.files.directory_items(handle), "a handle's items moved")
        self.rig.files.close_directory(handle)
        shown = {f"{directory}/{item.name}" for item in items}
        self._demand(len(shown) == len(items), "a name is listed twice")
        for path in self.server.timelines:
            if path.rpartition("/")[0] == directory:
                self._check_listed(path, path in shown)
        known = {*self.server.timelines, *DIRECTORIES}
        self._demand(shown <= known, f"never there: {shown - known}")

    # -- what the archive does -------------------------------------------------------------

    @rule(path=_paths, size=st.sampled_from(SIZES))
    def replace(self, path: str, size: int) -> None:
        """Put a new version in place of a file, or the first one."""
        self.server.replace(path, size)

    @rule(path=_paths)
    def remove(self, path: str) -> None:
        """Take a file away."""
        if self.server.timelines[path].latest is not None:
            self.server.remove(path)
            self.listed.discard(path)

    @rule(name=st.sampled_from(list(_BREAKABLE)), times=st.integers(1, _FAULTS_AT_ONCE))
    def break_next(self, name: str, times: int) -> None:
        """Do the next requests wrong, or the next for bytes or for sizes."""
        if self._may_break:
            fault, applies = _BREAKABLE[name]
            self.server.break_next(name, fault, applies, times)

    @rule(path=_paths)
    def lose_row(self, path: str) -> None:
        """Leave a row out of the next listing of its directory."""
        if not self._may_break:
            return
        self.server.lose_row(path)
        self.lost_rows.add(path)

    @rule(wanted=st.lists(_paths, max_size=2))
    def lose_archive(self, wanted: list[str]) -> None:
        """Do some work while the archive is out of reach."""
        self.is_away = self.is_excused = True
        for path in wanted:
            self.stat(path)
        for number in range(min(3, len(self.open_files))):
            self.read(number, 70_000, 100_000)
        self.is_away = False

    # -- what happens to the machine -------------------------------------------------------

    @rule()
    def day_passes(self) -> None:
        """Let all listings expire: from now on the present must be shown."""
        # After a clock that was set back, the day counts from the youngest listing.
        self.latest_s += _DAY_S + 1
        self.clock.ahead_s = self.latest_s
        for sight in (*self.shown.values(), *self.shown_listed.values()):
            sight.becomes_due()

    @rule(hours=st.integers(1, 48))
    def clock_is_set_back(self, hours: int) -> None:
        """Set the clock back, as a machine with a broken one does when it is corrected."""
        self.clock.ahead_s -= hours * 3_600

    @rule()
    def remount(self) -> None:
        """End the file system and make a new one on the same cache."""
        for opened in self.open_files:
            self.rig.files.release(opened.number)
        self.open_files.clear()
        self.rig.close()
        self.rig = Rig(self.server.url, self.folder, self.clock)
        self.is_excused = False
        self.absences = 0

    @rule(one_in=st.integers(1, 3))
    def evict(self, one_in: int) -> None:
        """Take blocks away from the cache, as another process would."""
        self.rig.fetcher.flush()
        for path in self.rig.stored_files()[::one_in]:
            path.unlink()

    # -- how it is judged ------------------------------------------------------------------

    @property
    def _may_break(self) -> bool:
        return not self.server.faults_pending

    def _patience(self) -> Patience:
        return Patience(_BRIEF_S if self.is_away else _PATIENCE_S)

    def _opened(self, which: int) -> OpenFile:
        return self.open_files[which % len(self.open_files)]

    def _sight(self, path: str, *, listed: bool = False) -> Sight:
        """Return how much of a path was shown, with its floor where it must be by now."""
        sight = (self.shown_listed if listed else self.shown)[path]
        if not self.is_excused:
            sight.has_asked()
        return sight

    def _handles_of(self, path: str) -> list[OpenFile]:
        return [opened for opened in self.open_files if opened.path == path]

    def _demand(self, claim: object, otherwise: str) -> None:
        self.has_failed = self.has_failed or not claim
        assert claim, otherwise

    def _check_version(self, path: str, found: Attributes) -> Version:
        sight = self._sight(path)

        def is_shown(state: Version | None) -> bool:
            return state is not None and (len(state.data), state.modified_s * 10**9) == (
                found.size,
                found.mtime_ns,
            )

        self._demand(sight.saw(is_shown), f"{path} shows {found}, which it isn't any more")
        version = sight.state
        assert version is not None
        return version

    def _check_failure(self, path: str, error: EmpiarFSError) -> None:
        """Check that a path may be absent, or that the archive was away."""
        if isinstance(error, (NoSuchNameError, NotFoundError)):
            self.absences += 1
            is_believed = path in self.lost_rows and self.absences >= _ABSENCES_FOR_BELIEF
            may_be = self._sight(path).saw(lambda state: state is None)
            self._demand(may_be or is_believed, f"{path} is there: {error!r}")
        else:
            self._demand(
                self.is_excused and not isinstance(error, TreeError), f"{path}: {error!r}"
            )

    def _check_listed(self, path: str, is_listed: bool) -> None:
        if path in HIDDEN:
            return
        sight = self._sight(path, listed=True)
        if is_listed:
            self.listed.add(path)
            self._demand(sight.saw(lambda state: state is not None), f"{path} is gone")
        elif not sight.saw(lambda state: state is None):
            is_lost = path in self.lost_rows and path not in self.listed
            self._demand(is_lost, f"{path} was lost from the listing")

    def _read(self, outcome: Outcome) -> None:
        try:
            outcome.data = self.rig.files.read(
                outcome.opened.number, outcome.offset, outcome.size, self._patience()
            )
        except EmpiarFSError as exc:
            outcome.error = exc

    def _check_read(self, outcome: Outcome) -> None:
        opened, error = outcome.opened, outcome.error
        self.reads += 1
        if isinstance(error, FileChangedError):
            self._check_stale(opened)
        elif error is not None:
            self._demand(self.is_excused, f"{opened.path} at {outcome.offset}: {error!r}")
        else:
            stop = outcome.offset + outcome.size
            is_right = outcome.data == opened.version.data[outcome.offset : stop]
            tally.add("wrong_bytes", "file system model", 0 if is_right else 1)
            self._demand(is_right, f"wrong bytes of {opened.path} at {outcome.offset}")
            self._demand(not outcome.was_stale, f"a stale handle to {opened.path} reads on")

    def _check_stale(self, opened: OpenFile) -> None:
        sight = self._sight(opened.path)
        is_old = opened.version is not sight.timeline.latest
        self._demand(opened.is_stale or is_old, f"{opened.path} has not changed")
        if opened.is_stale:
            return
        for other in self._handles_of(opened.path):
            other.is_stale = other.is_stale or other.version is opened.version
        # It was seen to have changed, so whoever asks next gets to know the present.
        sight.becomes_due()
