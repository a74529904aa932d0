"""Where the cache is, how big it may be, and whether that place can be trusted.

The first of these that is there and on a local disk, unless the user names another:

    when                                  place
    ------------------------------------  -----------------------------------------------
    the user says so                      that one, even if remote when forced
    a service with CacheDirectory=        $CACHE_DIRECTORY, /var/cache/empiarfs as a rule
    in a Slurm job                        $SLURM_TMPDIR/empiarfs, or $TMPDIR/empiarfs
    else                                  ~/.cache/empiarfs ($XDG_CACHE_HOME is honoured)
    if home is remote                     /var/tmp/empiarfs-UID

Below it everything lies in a folder named after the layout's version, which belongs to the
user and has mode 0700:

    v1/
      blocks-1/         see `empiarfs.cache.generations`; holds the limit, too
      catalog-*.db      names and sizes, one for each archive
      entries-*.db      what EMPIAR says of its entries, one for each API
      speed-*           how fast an archive was lately, see `empiarfs.cache.speed_file`

The limit is given when the cache is made, belongs to the directory, and is changed for all
its users by an explicit size.

Threading: no state.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from empiarfs.cache.eviction import MIN_LIMIT
from empiarfs.cache.file_systems import existing_part, file_system_of, is_remote, read_mounts
from empiarfs.cache.limit_file import check_limit, read_limit, write_limit
from empiarfs.core.block_format import FORMAT_VERSION
from empiarfs.errors import ConfigError

LAYOUT = "v1"
_NAME = "empiarfs"
_MAX_DEFAULT = 100 * 1000**3
_DEFAULT_SHARE = 0.20
_GB = 1000**3


@dataclass(frozen=True, slots=True)
class CachePlace:
    """Where the cache is to be.

    Attributes:
        path: An absolute path.
        reason: Place and reason for people, such as "/scratch/job17/empiarfs (SLURM_TMPDIR
            of this job)".
    """

    path: Path
    reason: str


@dataclass(frozen=True, slots=True)
class CacheDirectory:
    """A cache directory that exists and is ours.

    Attributes:
        path: The folder of this layout.
        limit: Bytes that the blocks may take.
        limit_reason: The limit and its reason, for people.
        blocks_path: The folder of the blocks.
    """

    path: Path
    limit: int
    limit_reason: str
    blocks_path: Path

    def catalog_path(self, archive_url: str) -> Path:
        """Return where the catalog of that archive is."""
        return self.path / f"catalog-{_digest(archive_url)}.db"

    def speed_path(self, archive_url: str) -> Path:
        """Return where it stands how fast that archive was lately."""
        return self.path / f"speed-{_digest(archive_url)}"

    def entries_path(self, api_url: str) -> Path:
        """Return where that is which this API said of EMPIAR's entries."""
        return self.path / f"entries-{_digest(api_url)}.db"


def _digest(url: str) -> str:
    return blake2b(url.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()


def choose_directory(
    option: Path | None,
    environ: Mapping[str, str],
    *,
    force: bool = False,
    mounts: bytes | None = None,
    user: int | None = None,
) -> CachePlace:
    """Return where the cache is to be; nothing is made yet.

    Args:
        option: What the user said, by option, environment or configuration file.
        environ: The environment.
        force: Take the user's word even for a remote file system.
        mounts: The text of /proc/self/mountinfo, if not this process's.
        user: The user's number, if not this process's.

    Raises:
        ConfigError: The user's place is relative or on a remote file system, or there is
            none that would do.
    """
    mounts = read_mounts() if mounts is None else mounts
    user = os.geteuid() if user is None else user
    if option is not None:
        return _checked_option(option, mounts, force)
    for path, reason in _candidates(environ, user):
        if path.is_absolute() and not is_remote(file_system_of(path, mounts)):
            return CachePlace(path, f"{path} ({reason})")
    raise ConfigError("no local disk for the cache: name one by --cache-dir")


def default_limit(path: Path) -> tuple[int, str]:
    """Return how many bytes a new cache at `path` may take, and why.

    Raises:
        ConfigError: There is hardly any room.
        OSError: The disk can't be asked.
    """
    status = os.statvfs(existing_part(path))
    free = status.f_bavail * status.f_frsize
    share = int(free * _DEFAULT_SHARE)
    if share >= _MAX_DEFAULT:
        return _MAX_DEFAULT, "100 GB (the default)"
    if share >= MIN_LIMIT:
        return share, f"{_text(share)} (20 % of the {_text(free)} free when it was made)"
    if free >= 2 * MIN_LIMIT:
        return MIN_LIMIT, f"{_text(MIN_LIMIT)} (the least; only {_text(free)} were free)"
    raise ConfigError(
        f"only {_text(free)} free for the cache in {path}: name another place by --cache-dir"
    )


def open_cache_directory(place: CachePlace, size: int | None) -> CacheDirectory:
    """Make the directory if there is none, check whose it is, and settle its limit.

    Args:
        place: Where.
        size: The limit in bytes if the user gave one; it counts for all who use it.

    Raises:
        ConfigError: It can't be made, belongs to somebody else, or is too small.
    """
    if size is not None:
        check_limit(size)
    try:
        make_private(place.path.parent)
        _make_own(place.path, is_final=True)
        layout = place.path / LAYOUT
        _make_own(layout)
        blocks = layout / f"blocks-{FORMAT_VERSION}"
        _make_own(blocks)
        limit, reason = _settle_limit(blocks, size)
    except OSError as exc:
        raise ConfigError(
            f"the cache in {place.path} can't be used ({exc.strerror or exc}):"
            " name another place by --cache-dir"
        ) from exc
    return CacheDirectory(layout, limit, reason, blocks)


def _checked_option(option: Path, mounts: bytes, force: bool) -> CachePlace:
    if not option.is_absolute():
        raise ConfigError(f"--cache-dir must be an absolute path, not {option}")
    file_system = file_system_of(option, mounts)
    if is_remote(file_system) and not force:
        raise ConfigError(
            f"{option} is on {file_system}, where the cache's database doesn't work:"
            " name a local disk by --cache-dir, such as /var/tmp/empiarfs"
        )
    return CachePlace(option, f"{option} (as given)")


def _candidates(environ: Mapping[str, str], user: int) -> list[tuple[Path, str]]:
    found: list[tuple[Path, str]] = []
    # systemd separates several by colons; the first is the one to write to.
    service = environ.get("CACHE_DIRECTORY", "").split(":")[0]
    if service:
        found.append((Path(service), "CacheDirectory= of this service"))
    if environ.get("SLURM_JOB_ID"):
        found += [
            (Path(environ[name]) / _NAME, f"{name} of this job")
            for name in ("SLURM_TMPDIR", "TMPDIR")
            if os.path.isdir(environ.get(name, ""))
        ]
    home = _home_cache(environ)
    if home is not None:
        found.append((home / _NAME, "the default"))
    why_not = "the home directory is not on a local disk" if home else "no home directory"
    found.append((Path(f"/var/tmp/{_NAME}-{user}"), why_not))
    return found


def _home_cache(environ: Mapping[str, str]) -> Path | None:
    cache, home = environ.get("XDG_CACHE_HOME", ""), environ.get("HOME", "")
    if cache.startswith("/"):
        return Path(cache)
    # The home of a service's user may be "/" or "/nonexistent".
    if home.startswith("/") and os.access(home, os.W_OK):
        return Path(home) / ".cache"
    return None


def make_private(path: Path) -> None:
    """Make a directory and what is missing above it, all for their owner only, as XDG has it.

    Raises:
        OSError: It can't be made.
    """
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    for folder in reversed(missing):
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
            folder.chmod(0o700)  # whatever the umask takes away


def _make_own(path: Path, *, is_final: bool = False) -> None:
    """Make a folder, or check that the one that is there is the user's own.

    Args:
        path: The folder.
        is_final: It is the one that the user may have named: it may be a link of the user's
            or of root's, and keeps its mode.
    """
    try:
        path.mkdir(mode=0o700)
        path.chmod(0o700)  # whatever the umask takes away
    except FileExistsError:
        _check_link(path, allowed=is_final)
    status = os.stat(path)
    user = os.geteuid()
    if not stat.S_ISDIR(status.st_mode):
        raise ConfigError(f"{path} is not a directory: name another place by --cache-dir")
    if status.st_uid != user:
        raise ConfigError(
            f"{path} belongs to {_owner(status.st_uid)}: name a directory of your own by"
            f" --cache-dir, such as /var/tmp/{_NAME}-{user}"
        )
    if not is_final and status.st_mode & 0o077:
        path.chmod(0o700)
    if is_final and status.st_mode & (stat.S_IWOTH | stat.S_ISVTX) == stat.S_IWOTH:
        raise ConfigError(
            f"everybody may write to {path}, and could put something else in the place of your"
            f" cache: run `chmod o-w {path}`, or name another directory by --cache-dir"
        )


def _check_link(path: Path, *, allowed: bool) -> None:
    """Raise if the folder is a link that somebody may have laid for us."""
    status = os.lstat(path)
    if not stat.S_ISLNK(status.st_mode):
        return
    if not allowed or status.st_uid not in (0, os.geteuid()):
        raise ConfigError(
            f"{path} is a link made by {_owner(status.st_uid)}:"
            " name the directory itself by --cache-dir"
        )


def _settle_limit(blocks: Path, size: int | None) -> tuple[int, str]:
    if size is None:
        stored = read_limit(blocks)
        if stored is not None:
            return stored
        limit, reason = default_limit(blocks)
    else:
        limit, reason = size, f"{_text(size)} (as given)"
    write_limit(blocks, limit, reason)
    return limit, reason


def _owner(user: int) -> str:
    return "root" if user == 0 else f"user {user}"


def _text(size: int) -> str:
    """Return bytes for people: "12.3 GB", "16.8 MB"."""
    return f"{size / _GB:.1f} GB" if size >= _GB else f"{size / 1000**2:.1f} MB"
