"""What every test runs under: no unexpected warning, nothing left behind, nothing random.

* A test during which a logger of empiarfs warns fails, unless it says that it expects so
  (tests/support/log_guard.py), and one whose threads end by an exception, by pytest itself.
* A run that leaves threads, sockets, child processes or mounts of its own behind fails.
* Tests that need /dev/fuse or Apache are skipped where there is none, with the reason.
* Examples of hypothesis are the same at each run where `CI` is set.
"""

from __future__ import annotations

import gc
import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from tests.support import apache, mounts, users
from tests.support.log_guard import ExpectLog, LogGuard
from tests.support.network import move_to_an_own_network
from tests.support.own_mounts import move_to_own_mounts

# Two machines' worth of load on one makes any deadline of an example wrong.
hypothesis.settings.register_profile("default", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "default")

_REPORT = pytest.StashKey[list[str]]()
_TRUST = Path(__file__).parent / "trust"


_guard = LogGuard()


def pytest_configure(config: pytest.Config) -> None:
    """Name our marker, listen to the loggers, and keep out of other test processes' way."""
    if hasattr(config, "workerinput"):
        move_to_an_own_network()
        move_to_own_mounts()
    config.addinivalue_line("markers", "expects_warnings: empiarfs may log warnings in this test")
    logging.getLogger("empiarfs").addHandler(_guard)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what a campaign runs; skip what this machine can't run, and the real archive."""
    problems = {
        "fuse": users.fuse_problem(),
        "apache": None if apache.is_installed() else "apache2 is not installed",
        "live": None if "live" in config.option.markexpr else "needs the real archive",
    }
    for item in items:
        if _TRUST in item.path.parents:
            item.add_marker("campaign")
        for marker, problem in problems.items():
            if problem and item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=problem))


@pytest.fixture
def expects_warnings() -> list[logging.LogRecord]:
    """Allow warnings in this test, and return the list to which they are added."""
    return _guard.current()


@pytest.fixture
def expect_log() -> ExpectLog:
    """Return a function that says what this test expects to be logged."""
    return _guard.expect


@pytest.fixture(autouse=True)
def _nothing_unexpected_in_the_log(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    marked = request.node.get_closest_marker("expects_warnings") is not None
    wrong = _guard.take(warnings_allowed=marked or "expects_warnings" in request.fixturenames)
    if wrong:
        pytest.fail("in the log:\n" + "\n".join(wrong), pytrace=False)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the run if it leaves something behind."""
    users.remove_copies()
    left = session.config.stash.setdefault(_REPORT, [])
    left += [*_threads_left(), *_sockets_left(), *_children_left(), *mounts.leftovers()]
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left"] = left
    if left:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over what one of several test processes left behind; xdist's node is untyped."""
    left = getattr(node, "workeroutput", {}).get("left", ["a test process that died"])
    node.config.stash.setdefault(_REPORT, []).extend(left)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say what was left behind."""
    for line in config.stash.get(_REPORT, []):
        terminalreporter.write_line(f"LEFT BEHIND: {line}", red=True)


def _threads_left() -> list[str]:
    ours = [thread for thread in threading.enumerate() if thread.name.startswith("empiarfs")]
    return [f"thread {thread.name}" for thread in ours]


def _sockets_left() -> list[str]:
    gc.collect()
    left = []
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            target = os.readlink(descriptor)
        except OSError:
            continue  # the one by which this directory is read
        if target.startswith("socket:"):
            left.append(f"descriptor {descriptor.name}: {target}")
    return left


def _children_left() -> list[str]:
    """Return the children of this process, but for multiprocessing's own helpers."""
    left = []
    for pid, words in mounts.command_lines():
        try:
            state = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        except OSError:
            continue  # it has ended
        line = b" ".join(words).decode(errors="replace")
        if int(state[1]) == os.getpid() and "multiprocessing" not in line:
            left.append(f"child process {pid}: {line}")
    return left
