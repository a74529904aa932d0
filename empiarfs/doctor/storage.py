"""Whether the cache's place will do: whose it is, its disk's kind, room and speed."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from empiarfs.cache.directory import CachePlace, choose_directory, open_cache_directory
from empiarfs.cache.file_systems import existing_part, file_system_of, is_remote, read_mounts
from empiarfs.config import Config
from empiarfs.doctor.findings import Finding, Verdict
from empiarfs.errors import ConfigError

_GB = 1000**3
_TRIED = 32 * 1024 * 1024
# Below what one connection from near Hinxton brings.
_SLOW = 25e6
_FEW_INODES = 10_000


def storage_findings(config: Config, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Yield what was found of the cache directory."""
    try:
        place = choose_directory(config.cache_dir, environ, force=config.force)
        directory = open_cache_directory(place, None)
    except ConfigError as exc:
        yield Finding("cache", Verdict.BAD, str(exc), "name another place by --cache-dir")
        return
    yield Finding("cache", Verdict.GOOD, f"{place.reason}; {directory.limit_reason}")
    yield from _disk(place, directory.limit, config.min_free)
    yield _speed(directory.path)


def _disk(place: CachePlace, limit: int, min_free: float) -> Iterator[Finding]:
    there = existing_part(place.path)
    kind = file_system_of(there, read_mounts())
    if is_remote(kind):
        yield Finding(
            "file system",
            Verdict.BAD,
            f"{kind}: a database there may be damaged by other machines",
            "name a local disk by --cache-dir, such as /var/tmp/empiarfs",
        )
    status = os.statvfs(there)
    free, size = status.f_bavail * status.f_frsize, status.f_blocks * status.f_frsize
    text = f"{kind}, {free / _GB:.1f} GB of {size / _GB:.1f} GB free"
    if free < min_free * size:
        yield Finding(
            "room",
            Verdict.BAD,
            f"{text}: nothing is kept, since {min_free * 100:.3g} % are to stay free",
            "make room, or name another place by --cache-dir; --min-free says what stays free",
        )
    elif free < limit / 10:
        yield Finding(
            "room", Verdict.WORTH_KNOWING, f"{text}, for a cache of {limit / _GB:.1f} GB"
        )
    else:
        yield Finding("room", Verdict.GOOD, text)
    if status.f_files and status.f_favail < _FEW_INODES:
        yield Finding(
            "inodes",
            Verdict.WORTH_KNOWING,
            f"{status.f_favail} are free, and each MiB that is kept takes one",
            "remove small files, or name another place by --cache-dir",
        )


def _speed(folder: Path) -> Finding:
    data = os.urandom(1024 * 1024)
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".doctor-") as file:
            began_s = time.monotonic()
            for _ in range(_TRIED // len(data)):
                file.write(data)
            file.flush()
            os.fsync(file.fileno())
            wrote_s = time.monotonic() - began_s
            _forget(file.fileno())
            began_s = time.monotonic()
            file.seek(0)
            while file.read(len(data)):
                pass
            read_s = time.monotonic() - began_s
    except OSError as exc:
        return Finding(
            "disk", Verdict.BAD, f"can't be written: {exc.strerror}", "name another by --cache-dir"
        )
    text = f"writes {_TRIED / wrote_s / 1e6:.0f} MB/s, reads {_TRIED / read_s / 1e6:.0f} MB/s"
    if _TRIED / wrote_s < _SLOW:
        return Finding(
            "disk",
            Verdict.WORTH_KNOWING,
            f"{text}: less than a good connection brings",
            "name a faster disk by --cache-dir",
        )
    return Finding("disk", Verdict.GOOD, text)


def _forget(descriptor: int) -> None:
    """Have the kernel let go of a file's pages, so that they are read from the disk."""
    with contextlib.suppress(OSError):
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
