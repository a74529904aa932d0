"""The parts that read the archive in this process, for each set of settings.

They are made when they are first needed, so that nobody who imports this has a thread or a
socket, and they are those of a mount: the same cache directory, catalog and connection budget.

Before a fork all of them are closed: a child inherits no connection, no slot of the budget, no
lock of the cache directory, no database and no thread that holds a lock. Parent and child each
make their own again when they need them; open files go on, as they know which version of which
file they are. Processes that are started otherwise (`subprocess`, spawn) inherit nothing.

Threading: safe from any thread. `_lock` guards the table of sessions and what they hold; it is
held while parts are made or closed, which asks the disk and never the archive, and over a fork.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar, cast

from empiarfs.browse import Browser
from empiarfs.config import SETTINGS, Config, config_files, load
from empiarfs.config.settings import Place, write_flag
from empiarfs.config.sources import home_directory
from empiarfs.config.values import join_paths, nearest
from empiarfs.errors import ConfigError, EmpiarFSError, InterruptedCallError
from empiarfs.mount.composition import Parts, build
from empiarfs.patience import Patience
from empiarfs.python.daemon import Daemon
from empiarfs.python.failures import as_python_error

logger = logging.getLogger(__name__)

Settings = tuple[tuple[str, str], ...]
"""Names and texts of settings, by name; they go along with what is pickled."""

# What says something about mounts, or about how the daemon logs.
_OF_MOUNTS = frozenset(
    ("log_file", "log_level", "allow_other", "allow_root", "xattr", "read_ahead", "uid", "gid",
     "umask")
)  # fmt: skip
# They are told at once, and wait for nothing but a processor.
_LONGEST_END_S = 2.0
_LOOK_S = 0.001
_Answer = TypeVar("_Answer")


class _Closable(Protocol):
    def close(self) -> None: ...


_Part = TypeVar("_Part", bound=_Closable)


class Live:
    """The parts of a session from their making to their end.

    Attributes:
        config: The settings.
        parts: As a mount has them.
        daemon: The daemon of a mount that reads for us, where one runs.
        is_closed: They are ended, or about to be.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.parts: Parts = build(config)
        self.daemon = Daemon(config, self.parts.client.base_url, self.parts.place.path)
        self.is_closed = False
        # Of files that were forgotten without being closed: their end may come while this
        # very thread holds any lock. Appending to a deque takes none.
        self.forgotten: deque[int] = deque()
        self._owned: dict[object, _Closable] = {}  # guarded by the module's _lock

    @property
    def browser(self) -> Browser:
        """Names and sizes."""
        return Browser(self.parts.tree, self.config.lookup_s)

    def looking(self) -> Patience:
        """Return how long one look-up may wait."""
        return Patience(self.config.lookup_s)

    def reading(self) -> Patience:
        """Return how long one read may wait."""
        return Patience(self.config.wait_s)

    def release_forgotten(self) -> None:
        """Close the handles of files that nobody has any more."""
        while self.forgotten:
            try:
                handle = self.forgotten.popleft()
            except IndexError:
                return  # another thread was faster
            self.parts.files.release(handle)

    def own(self, make: Callable[[Live], _Part]) -> _Part:
        """Return what `make` makes of these parts, once; it is closed after them.

        Raises:
            InterruptedCallError: They are closed.
        """
        with _lock:
            if self.is_closed:
                raise InterruptedCallError("closed")
            if make not in self._owned:
                self._owned[make] = make(self)
            return cast(_Part, self._owned[make])

    def close(self) -> None:
        """Fail all who wait, write what is to be kept, end all threads."""
        self.is_closed = True
        # Who waits for the archive would hold up the others, so that goes first.
        first: tuple[_Closable, ...] = (self.daemon, self.parts)
        for part in (*first, *self._owned.values()):
            part.close()
        self._wait_for_connections()

    def _wait_for_connections(self) -> None:
        """Wait until the threads that were told to stop have closed what they held.

        A child that is forked before that would keep their connections, and their slots of the
        machine's budget, for as long as it lives.
        """
        client, end_s = self.parts.client, time.monotonic() + _LONGEST_END_S
        while client.connections_in_use and time.monotonic() < end_s:
            time.sleep(_LOOK_S)
        client.close()  # for what was given back meanwhile


class Session:
    """Reads the archive with some settings; there is one for each set of them in a process.

    Pickled, it is the session of the same settings there.

    Attributes:
        settings: What was set besides environment and configuration files.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._live: Live | None = None  # guarded by _lock
        self._config: Config | None = None  # guarded by _lock

    def __reduce__(self) -> tuple[Callable[[Settings], Session], tuple[Settings]]:
        return session_of, (self.settings,)

    @property
    def config(self) -> Config:
        """The settings, checked.

        Raises:
            ConfigError: Something is misspelt or can't be.
        """
        with _lock:
            if self._config is None:
                self._config = _loaded(self.settings)
            return self._config

    def live(self) -> Live:
        """Return the parts, made if there are none.

        Raises:
            ConfigError: The settings can't work here.
            InterruptedCallError: The process is ending.
        """
        live = self._live
        if live is not None and not live.is_closed:
            return live
        with _lock:
            if _is_ending:
                raise InterruptedCallError("the process ends")
            if self._live is None:
                self._live = Live(self.config)
                _close_at_end()
            return self._live

    def ask(self, path: str, question: Callable[[Live], _Answer]) -> _Answer:
        """Return the answer of the parts to a question about `path`.

        If they are closed meanwhile, since this process forks or by `close`, the question is
        put to those that come after them.

        Raises:
            OSError: See `empiarfs.python.failures`.
            ConfigError: The settings can't work here.
        """
        while True:
            live: Live | None = None
            try:
                live = self.live()
                live.release_forgotten()
                return question(live)
            except EmpiarFSError as exc:
                if live is None or not live.is_closed:
                    raise as_python_error(exc, path) from exc

    def end(self) -> None:
        """Close the parts, if there are any; the caller holds `_lock`."""
        if self._live is not None:
            self._live.close()
        self._live = self._config = None


_lock = threading.RLock()
_sessions: dict[Settings, Session] = {}  # guarded by _lock
_default: Settings = ()  # guarded by _lock
_is_ending = False
_ends_with: int | None = None  # the process whose end closes everything; guarded by _lock


def session_of(settings: Settings) -> Session:
    """Return the session of these settings."""
    with _lock:
        return _sessions.setdefault(settings, Session(settings))


def default_session() -> Session:
    """Return the session of the settings of `configure`."""
    return session_of(_default)


def configure(**settings: object) -> None:
    """Set what the environment and the configuration files would set, for this process.

    The names are those of docs/configuration.md, such as `archive_url`, `cache_dir`,
    `cache_size`, `limit_rate`, `wait`. None takes one back. What isn't named stays as it is, and
    so do files that are open.

    Raises:
        ConfigError: There is no such setting, or it can't have that value.
    """
    global _default
    with _lock:
        chosen = with_settings(_default, settings)
        _loaded(chosen)
        _default = chosen


def with_settings(before: Settings, changes: dict[str, object]) -> Settings:
    """Return settings with changes as `configure` takes them.

    Raises:
        ConfigError: There is no such setting, or it can't have that value.
    """
    texts = dict(before)
    for name, value in changes.items():
        if name not in SETTINGS or name in _OF_MOUNTS:
            known = SETTINGS.keys() - _OF_MOUNTS
            why = "belongs to mounts" if name in _OF_MOUNTS else "is no setting"
            raise ConfigError(f"{name} {why}{nearest(name, known)}")
        if value is None:
            texts.pop(name, None)
        else:
            texts[name] = _text(name, value)
    return tuple(sorted(texts.items()))


def close() -> None:
    """Write what is to be kept and end all threads; the next use begins anew.

    That happens by itself when the process ends, and before it forks.
    """
    with _lock:
        for session in _sessions.values():
            session.end()


def _text(name: str, value: object) -> str:
    """Return the text of a setting that means the same wherever it is read."""
    setting = SETTINGS[name]
    if isinstance(value, bool):
        text = write_flag(value)
    elif setting.repeats and isinstance(value, (list, tuple)):
        text = join_paths(map(str, value))
    else:
        text = str(value)
    try:
        place = Place(Path.cwd(), home_directory(os.environ))
        return setting.write(setting.parse(text, place))
    except ValueError as exc:
        raise ConfigError(f"{name}={value!r}: {exc}") from exc


def _loaded(settings: Settings) -> Config:
    return load({}, os.environ, config_files(os.environ), arguments=dict(settings)).config


# -- the end of a process, and forks ---------------------------------------------------------


def _close_at_end() -> None:
    """See to it that the parts are closed when this process ends."""
    global _ends_with
    if _ends_with == os.getpid():
        return
    if _ends_with is None:
        atexit.register(_end)
    _ends_with = os.getpid()
    # multiprocessing ends its processes without calling what atexit knows.
    util = sys.modules.get("multiprocessing.util")
    process = sys.modules.get("multiprocessing.process")
    if util is not None and process is not None and process.parent_process() is not None:
        util.Finalize(None, _end, exitpriority=10)


def _end() -> None:
    global _is_ending
    with _lock:
        _is_ending = True
    close()


def _before_fork() -> None:
    _lock.acquire()
    try:
        close()
    except Exception:
        # Whoever forks goes on in any case.
        logger.exception("closing before a fork failed")


def _after_fork_here() -> None:
    _lock.release()


def _after_fork_in_child() -> None:
    global _lock
    _lock = threading.RLock()


os.register_at_fork(
    before=_before_fork, after_in_parent=_after_fork_here, after_in_child=_after_fork_in_child
)
