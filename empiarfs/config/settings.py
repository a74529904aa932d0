"""The settings of `empiarfs mount`: their names, defaults, syntax and meaning.

`SETTINGS` is the one list of them; the command line, the parsers, the documentation's test
and the hints at misspelt names are all made from it.

Threading: values only.
"""

from __future__ import annotations

import grp
import math
import pwd
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from empiarfs.config import values

DEFAULT_ARCHIVE_URL = "https://ftp.ebi.ac.uk/empiar/world_availability/"
DEFAULT_API_URL = "https://www.ebi.ac.uk/empiar/api/"

# EBI blocks an address with more than about 25 connections; 20 leaves room for a browser.
MOST_CONNECTIONS = 20
# Two blocks: with less nothing could be kept at all.
_LEAST_CACHE = 2 * 1024 * 1024
# One piece a second; what is slower would be taken for a stalled request.
_LEAST_RATE = 64 * 1024
_LEAST_WAIT_S = 1.0
# Programs that look something up can be stopped, and people wait in front of them.
_MOST_LOOKUP_S = 90.0
_LEAST_READ_AHEAD = 4096
# What is left of a disk for others may be most of it, but then there is no cache.
_MOST_FREE = 0.95

METADATA = ("visible", "hidden", "off")
"""What stands below `.empiar`: listed in the archive's root, reachable only, or not there."""

LOCAL_VERIFY = ("none", "sample", "full")
"""How far a local copy is compared with the archive's file before its bytes are handed out."""

PREFIX = "EMPIARFS_"
# Rarely needed, or known from other file systems as `-o`.
_UNLISTED = (
    "allow_other", "allow_root", "xattr", "read_ahead", "uid", "gid", "umask", "force",
    "lookup_wait", "metadata", "daemon",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Config:
    """The settings of one mount, checked.

    Attributes:
        archive_url: The archive's root, with a trailing slash and without credentials.
        api_url: The root of EMPIAR's REST API, likewise.
        cache_dir: Absolute; None to choose a place.
        cache_size: Bytes; None for what the directory says, or a share of what is free.
        min_free: The share of the cache's disk that is left free, 0 to 0.95.
        max_connections: To the archive, of all mounts of this machine; 1 to 20.
        limit_rate: Bytes per second from the archive; None for no limit.
        wait_s: How long a read may wait for the archive; infinity for ever.
        lookup_s: How long a look-up may wait for it, 1 to 90 seconds.
        log_file: Absolute; None for the standard error output or the system's log.
        log_level: One of `LOG_LEVELS`.
        metrics: `ADDRESS:PORT` where figures for Prometheus are served; None for nowhere.
        allow_other: Other users may use the mount.
        allow_root: root may use the mount.
        metadata: One of `METADATA`: how what EMPIAR says of entries is shown in the mount.
        xattr: Files have the extended attributes `user.empiar.*`.
        read_ahead: Bytes that the kernel reads ahead; None for the kernel's default.
        local: Directories with local copies of entries, absolute.
        local_verify: One of `LOCAL_VERIFY`.
        uid: Number of the user who owns everything; None for who mounts.
        gid: Number of the group; None for that of who mounts.
        umask: Permission bits that files and directories lack; None for 022.
        force: A cache directory on a network file system is used all the same.
        daemon: Python reads by the daemon of a mount; of a mount: its daemon lets it.
    """

    archive_url: str = DEFAULT_ARCHIVE_URL
    api_url: str = DEFAULT_API_URL
    cache_dir: Path | None = None
    cache_size: int | None = None
    # What ext4 keeps for root by default; a disk that is fuller gets slow, too.
    min_free: float = 0.05
    # Half of what gets an address blocked, and more than fills most links.
    max_connections: int = 12
    limit_rate: int | None = None
    # RELION skips a movie that it can't read, so an early error loses data silently.
    wait_s: float = 900.0
    lookup_s: float = 90.0
    log_file: Path | None = None
    log_level: str = "info"
    metrics: str | None = None
    allow_other: bool = False
    allow_root: bool = False
    metadata: str = "visible"
    xattr: bool = False
    read_ahead: int | None = None
    local: tuple[Path, ...] = ()
    local_verify: str = "none"
    uid: int | None = None
    gid: int | None = None
    umask: int | None = None
    force: bool = False
    daemon: bool = True


@dataclass(frozen=True, slots=True)
class Place:
    """What the meaning of a value depends on besides its text.

    Attributes:
        base: The directory that relative paths start from; None where none may stand.
        home: The user's home directory.
    """

    base: Path | None
    home: Path


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting.

    Attributes:
        name: As in `-o` and in a configuration file.
        parse: Returns the value of a text; ValueError if it has none.
        write: Returns the text of a value other than None, which `parse` reads back.
        metavar: What stands for the value in a synopsis; None for a flag.
        meaning: One line for --help.
        field: Its name in `Config`.
        listed: The command line has an option of its own for it, besides `-o`.
        repeats: Given several times, all count; as one text they are joined by ":".
    """

    name: str
    parse: Callable[[str, Place], object]
    write: Callable[[object], str]
    metavar: str | None
    meaning: str
    field: str
    listed: bool
    repeats: bool = False

    @property
    def argument(self) -> str:
        """The long option of the command line."""
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """The environment variable."""
        return PREFIX + self.name.upper()


def _setting(
    name: str,
    parse: Callable[[str, Place], object],
    metavar: str | None,
    meaning: str,
    *,
    field: str | None = None,
    write: Callable[[object], str] = str,
    repeats: bool = False,
) -> Setting:
    listed = name not in _UNLISTED
    return Setting(name, parse, write, metavar, meaning, field or name, listed, repeats)


def _url(text: str, place: Place) -> str:
    return values.parse_url(text)


def _path(text: str, place: Place) -> Path:
    return values.parse_path(text, base=place.base, home=place.home)


def _paths(text: str, place: Place) -> tuple[Path, ...]:
    return tuple(_path(each, place) for each in values.split_paths(text))


def _write_paths(value: object) -> str:
    if not isinstance(value, tuple):
        raise TypeError(value)
    return values.join_paths(str(each) for each in value)


def _flag(text: str, place: Place) -> bool:
    return values.parse_flag(text)


def _size(least: int) -> Callable[[str, Place], int]:
    return lambda text, place: values.parse_size(text, least=least)


def write_flag(value: object) -> str:
    """Return the text of a flag."""
    return "yes" if value else "no"


def _write_time(value: object) -> str:
    return "forever" if value == math.inf else repr(value)


def _write_share(value: object) -> str:
    return f"{float(str(value)) * 100:.10g}%"


def _write_mask(value: object) -> str:
    return f"{value:03o}"


_ALL = (
    _setting("archive_url", _url, "URL", "The archive's root."),
    _setting("api_url", _url, "URL", "The root of EMPIAR's REST API."),
    _setting("cache_dir", _path, "DIR", "Where to keep what was read."),
    _setting("cache_size", _size(_LEAST_CACHE), "SIZE", "How much to keep, such as 20G."),
    _setting(
        "min_free",
        lambda text, place: values.parse_share(text, most=_MOST_FREE),
        "SHARE",
        "How much of the cache's disk to leave free, such as 5%.",
        write=_write_share,
    ),
    _setting(
        "max_connections",
        lambda text, place: values.parse_count(text, least=1, most=MOST_CONNECTIONS),
        "N",
        "Connections to the archive, of all mounts of this machine.",
    ),
    _setting(
        "limit_rate",
        lambda text, place: values.parse_rate(text, least=_LEAST_RATE),
        "RATE",
        "Bytes per second from the archive, such as 10M.",
    ),
    _setting(
        "wait",
        lambda text, place: values.parse_time(text, least=_LEAST_WAIT_S),
        "TIME",
        "How long a read may wait for the archive: 90s, 15m, forever.",
        field="wait_s",
        write=_write_time,
    ),
    _setting(
        "lookup_wait",
        lambda text, place: values.parse_time(text, least=_LEAST_WAIT_S, most=_MOST_LOOKUP_S),
        "TIME",
        "How long a look-up may wait for the archive, at most 90s.",
        field="lookup_s",
        write=_write_time,
    ),
    _setting("log_file", _path, "FILE", "Where to log."),
    _setting(
        "log_level",
        lambda text, place: values.parse_choice(text, values.LOG_LEVELS),
        "LEVEL",
        f"How much to log: {', '.join(values.LOG_LEVELS)}.",
    ),
    _setting(
        "metrics",
        lambda text, place: values.parse_listener(text),
        "[ADDRESS:]PORT",
        "Where to serve figures for Prometheus, such as 127.0.0.1:9464.",
    ),
    _setting("allow_other", _flag, None, "Other users may use the mount.", write=write_flag),
    _setting("allow_root", _flag, None, "root may use the mount.", write=write_flag),
    _setting(
        "metadata",
        lambda text, place: values.parse_choice(text, METADATA),
        "HOW",
        f"Show what EMPIAR says of entries as .empiar: {', '.join(METADATA)}.",
    ),
    _setting(
        "local",
        _paths,
        "DIR",
        "Read files from local copies in DIR where they fit; may be repeated.",
        write=_write_paths,
        repeats=True,
    ),
    _setting(
        "local_verify",
        lambda text, place: values.parse_choice(text, LOCAL_VERIFY),
        "MODE",
        f"Compare local copies with the archive: {', '.join(LOCAL_VERIFY)}.",
    ),
    _setting("xattr", _flag, None, "Files have attributes user.empiar.*.", write=write_flag),
    _setting(
        "read_ahead", _size(_LEAST_READ_AHEAD), "SIZE", "What the kernel reads ahead; root only."
    ),
    _setting(
        "uid",
        lambda text, place: values.parse_owner(text, lambda name: pwd.getpwnam(name).pw_uid),
        "USER",
        "Who owns everything.",
    ),
    _setting(
        "gid",
        lambda text, place: values.parse_owner(text, lambda name: grp.getgrnam(name).gr_gid),
        "GROUP",
        "The group of everything.",
    ),
    _setting(
        "umask",
        lambda text, place: values.parse_mask(text),
        "MASK",
        "Permission bits to leave out, such as 022.",
        write=_write_mask,
    ),
    _setting(
        "force",
        _flag,
        None,
        "Use a cache directory on a network file system all the same.",
        write=write_flag,
    ),
    _setting("daemon", _flag, None, "Python reads by the mount's daemon.", write=write_flag),
)
SETTINGS: Mapping[str, Setting] = {setting.name: setting for setting in _ALL}
OPTION_NAMES = frozenset(SETTINGS)
