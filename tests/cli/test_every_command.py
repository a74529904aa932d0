"""Every command, run as a program: its status and both outputs where it is used wrongly, where
the archive can't be reached, and where somebody presses Ctrl-C while it waits for the archive.

A command that is added has to be put into one of the tables.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from empiarfs.cli.group import headings
from tests.support.users import CHECKOUT

# What each is told, so that it must ask the archive first of all; "{}" is an empty directory.
ASKING = {
    "search": ["ribosome"],
    "info": ["10934"],
    "ls": ["10934"],
    "find": ["10934"],
    "du": ["10934"],
    "tree": ["10934"],
    "cat": ["10934/data/x.mrc"],
    "head": ["10934/data/x.mrc"],
    "preview": ["10934/data/x.mrc", "-o", "{}/x.png"],
    "cite": ["10934"],
    "index": ["10934"],
    "catalog": ["update"],
    "get": ["10934", "{}"],
    "plan": ["10934"],
    "compare": ["{}", "10934"],
    "warm": ["10934"],
    "pin": ["10934"],
    "doctor": [],
}
# What needs no archive, or other things first; `mount`, `run`, `demo` and `diff` have tests of
# their own for all of this.
OTHERS = {
    *("open", "diff", "unpin", "cache", "mount", "umount", "run", "status", "install-helper"),
    *("systemd-unit", "config", "completion", "man", "demo"),
}
EVERY = sorted(ASKING.keys() | OTHERS)
# As diff(1) and cmp(1) have it, 1 means that something differs.
_FAILED = {"compare": 2}
# To tell that is what it is for.
_TELLS = {"doctor"}
_TIMEOUT_S = 90


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """An archive that takes connections, and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        server.settimeout(_TIMEOUT_S)
        yield server


def started(words: list[str], home: Path, port: int) -> subprocess.Popen[str]:
    url = f"http://127.0.0.1:{port}/"
    (home / "empty").mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-m", "empiarfs", *(w.replace("{}", str(home / "empty")) for w in words)],
        cwd=CHECKOUT,
        env={
            **{k: v for k, v in os.environ.items() if not k.startswith("EMPIARFS_")},
            "HOME": str(home),
            "XDG_CONFIG_HOME": str(home / "config"),
            "XDG_STATE_HOME": str(home / "state"),
            "EMPIARFS_CACHE_DIR": str(home / "cache"),
            "EMPIARFS_ARCHIVE_URL": url,
            "EMPIARFS_API_URL": f"{url}api/",
            "EMPIARFS_LOOKUP_WAIT": "3",
            "EMPIARFS_WAIT": "3",
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_tables_have_every_command() -> None:
    assert sorted(name for names in headings().values() for name in names) == EVERY


@pytest.mark.parametrize("command", EVERY)
def test_wrong_use_is_told_on_stderr_with_status_2(command: str, tmp_path: Path) -> None:
    with started([command, "--no-such-option"], tmp_path, 9) as process:
        out, err = process.communicate(timeout=_TIMEOUT_S)

    assert (process.returncode, out) == (2, ""), err
    assert err.startswith("empiarfs: error: no such option: --no-such-option")
    assert list(tmp_path.iterdir()) == [tmp_path / "empty"]


@pytest.mark.parametrize("command", sorted(ASKING))
def test_an_archive_out_of_reach_is_told_on_stderr(command: str, tmp_path: Path) -> None:
    # Nobody listens at port 9.
    with started([command, *ASKING[command]], tmp_path, 9) as process:
        out, err = process.communicate(timeout=_TIMEOUT_S)

    assert process.returncode == _FAILED.get(command, 1), (out, err)
    assert "Traceback" not in err
    assert command in _TELLS or (out == "" and "empiarfs: error: " in err), (out, err)


@pytest.mark.parametrize("command", sorted(ASKING))
def test_ctrl_c_ends_what_waits_for_the_archive(
    command: str, tmp_path: Path, listener: socket.socket
) -> None:
    with started([command, *ASKING[command]], tmp_path, listener.getsockname()[1]) as process:
        connection, _ = listener.accept()
        with contextlib.closing(connection):
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=_TIMEOUT_S)

    assert process.returncode == 130, (out, err)
    assert "Traceback" not in err
    assert err.endswith("empiarfs: interrupted\n")
