"""`status PATH`: why the last reads of a file, or below a directory, were slow or failed.

With `--json` it is an object:

    mount_point, path (below it), archive_path (below the archive's root)
    is_directory, size (bytes), cached_bytes, is_pinned, local_copy (its path)
               null where it isn't known or doesn't apply; `trouble` says why nothing is known
    reachability, limit_rate, cache_unwell, archive_is_refusing
               of the mount now; the first three as in `status --json`
    reads      null if nothing was read lately, else `files`, `first_s`, `last_s` (since 1970),
               `count`, `failed`, `slow` (that took a second or more), `seconds` (all together),
               `longest_s`, and bytes that came from memory, the cache directory, local copies
               and the archive: `memory_bytes`, `disk_bytes`, `local_bytes`, `archive_bytes`
    under_way  reads that wait now: `call` ("read"), `path`, `offset`, `size`, `pid`, `program`,
               `took_s` so far, `waits_for`, `waited`, `faults`, `hedges`
    slow_reads the last that were slow or failed: the same without `waits_for`, and `at_s`, the
               bytes as above, `errno`, `error` and its `kind` (null for none). Look-ups on the
               way there are among them, with their `call` ("stat", "open", "opendir") and
               without offset and size
    reasons    why, what weighs most first: `name`, `reads`, `seconds`, `text`, `remedy`

`waited` has seconds for each that was waited for: `connection` (of the budget), `connecting`,
`first_byte`, `bytes`, `limit_rate`, `pause` (before asking again), `offline`, `refused`,
`cache_disk`, `local_copy`, `names` (of a look-up). `faults` has how often requests failed
meanwhile, by kind, `hedges` how often one was sent a second time. Keys may be added, and don't
change.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from empiarfs.cli.progress import span
from empiarfs.cli.reasons import reasons_of, waited
from empiarfs.cli.terminal import amount, in_one_line
from empiarfs.errors import MountError

if TYPE_CHECKING:
    from empiarfs.mount.table import MountedFileSystem

Found = dict[str, Any]

# What isn't known yet is asked of the archive for some seconds.
_ASK_S = 10.0
_SHOWN = 5
_WORDS = {
    "connection": "a connection",
    "connecting": "connecting",
    "first_byte": "first byte",
    "bytes": "bytes",
    "limit_rate": "--limit-rate",
    "pause": "pause after a failure",
    "offline": "archive out of reach",
    "refused": "archive refusing",
    "cache_disk": "cache's disk",
    "local_copy": "local copy's disk",
    "names": "names and sizes",
    "other": "this machine",
}


def below_a_mount(path: str) -> tuple[MountedFileSystem, str] | None:
    """Return the mount of this user that a path lies in, and the path below; None if none.

    A path that is a mount point itself isn't below one. Nothing in a mount is touched.
    """
    from empiarfs.mount.places import split_at_mount
    from empiarfs.mount.table import our_mounts

    mounted = {mount.path: mount for mount in our_mounts()}
    found = split_at_mount(path, mounted)
    return None if found is None or not found[1] else (mounted[found[0]], found[1])


def show_path(mounted: MountedFileSystem, below: str, *, as_json: bool, quiet: bool) -> int:
    """Print what is known of a path in a mount; return the exit status.

    Raises:
        MountError: There is nothing at the path, or the mount doesn't answer.
    """
    found = _asked(mounted, below)
    if as_json:
        click.echo(json.dumps(found, indent=2))
    elif not quiet:
        for line in _lines(found):
            click.echo(in_one_line(line))
    return 0


def _asked(mounted: MountedFileSystem, below: str) -> Found:
    from empiarfs.control import ask, registered

    owner = os.getuid() if mounted.owner is None else mounted.owner
    items = [
        each for each in registered(owner, os.environ) if each.record.mount_point == mounted.path
    ]
    if not items:
        raise MountError(f"the mount on {mounted.path} does not answer")
    status = ask(items[-1], "status")
    found = ask(items[-1], "path", _ASK_S, path=below)
    if found["is_missing"] and found["reads"] is None:
        raise MountError(f"the archive has nothing at {mounted.path}/{below}")
    return {
        "mount_point": mounted.path,
        **found,
        "reachability": status["reachability"],
        "limit_rate": status["limit_rate"],
        "cache_unwell": status["cache"].get("unwell"),
        "reasons": [each.to_json() for each in reasons_of(found["slow_reads"])],
    }


def _lines(found: Found) -> Iterator[str]:
    yield f"{found['path']} in {found['mount_point']}"
    yield f"  {_what(found)}"
    yield from (f"  {line}" for line in _state(found))
    yield f"  {_read(found)}"
    for each in found["under_way"][:_SHOWN]:
        yield f"  now: {_under_way(each)}"
    for reason in found["reasons"]:
        count = f"{reason['reads']} time{'s' * (reason['reads'] != 1)}"
        yield f"why: {reason['text']} ({count}, {reason['seconds']:.1f} s)"
        if reason["remedy"]:
            yield f"  what helps: {reason['remedy']}"
    slow = found["slow_reads"][-_SHOWN:]
    if slow:
        yield "the last that were slow or failed:"
    for each in slow:
        yield f"  {_slow(each)}"


def _what(found: Found) -> str:
    if found["trouble"] is not None:
        return f"what there is isn't known now: {found['trouble']}"
    if found["is_missing"]:
        return "the archive hasn't got it any more"
    if found["is_directory"]:
        return "a directory: what follows is of all files below"
    words = [amount(found["size"])]
    if found["cached_bytes"] is not None:
        words.append(f"{amount(found['cached_bytes'])} of it cached")
    words += ["pinned"] * bool(found["is_pinned"])
    if found["local_copy"] is not None:
        words.append(f"with a local copy: {found['local_copy']}")
    return ", ".join(words)


def _state(found: Found) -> Iterator[str]:
    """Yield what is wrong with the mount now."""
    if found["reachability"] != "online":
        yield f"now: the archive is {found['reachability']}"
    if found["archive_is_refusing"]:
        yield "now: the archive asks this address for fewer requests"
    if found["cache_unwell"]:
        yield f"now: the cache can't be used: {found['cache_unwell']}"
    if found["limit_rate"] is not None:
        yield f"no more than {amount(found['limit_rate'])}/s are fetched (--limit-rate)"


def _read(found: Found) -> str:
    reads = found["reads"]
    if reads is None:
        return f"no read of it {'has ended yet' if found['under_way'] else 'is remembered'}"
    size = sum(reads[f"{place}_bytes"] for place in ("memory", "disk", "local", "archive"))
    of = f" of {reads['files']} files" if reads["files"] > 1 else ""
    words = [f"{reads['count']} read{'s' * (reads['count'] != 1)}{of}, {amount(size)}"]
    words[0] += f", {_clock(reads['first_s'])} to {_clock(reads['last_s'])}"
    if size:
        words.append(_places(reads, size))
    words.append(_troubles(reads))
    return "; ".join(words)


def _troubles(reads: Mapping[str, Any]) -> str:
    words = []
    if reads["slow"]:
        words.append(f"{reads['slow']} took over 1 s, the longest {reads['longest_s']:.1f} s")
    if reads["failed"]:
        words.append(f"{reads['failed']} failed")
    return ", ".join(words) or "none was slow, none failed"


def _places(reads: Mapping[str, Any], size: int) -> str:
    names = {"memory": "memory", "disk": "the cache", "local": "local copies",
             "archive": "the archive"}  # fmt: skip
    return ", ".join(
        f"{round(100 * reads[f'{place}_bytes'] / size)} % from {name}"
        for place, name in names.items()
        if reads[f"{place}_bytes"]
    )


def _under_way(read: Mapping[str, Any]) -> str:
    waits = _WORDS.get(str(read["waits_for"]), "")
    return f"{_who(read)} has waited for {_where(read)} for {span(read['took_s'])}" + (
        f"; at present for: {waits}" if waits else ""
    )


def _slow(read: Mapping[str, Any]) -> str:
    parts = sorted(waited(read).items(), key=lambda pair: -pair[1])
    times = ", ".join(f"{_WORDS.get(name, name)} {s:.1f} s" for name, s in parts if s >= 0.05)
    line = f"{_clock(read['at_s'])}  {read['took_s']:.1f} s  {_who(read)}  {_where(read)}"
    if times:
        line += f"  ({times})"
    return line if read["errno"] is None else f"{line}  {read['errno']}: {read['error']}"


def _where(read: Mapping[str, Any]) -> str:
    name = read["path"].rpartition("/")[2]
    if read["call"] != "read":
        return f"{read['call']} of {name or 'the root'}"
    return f"{read['size']} bytes at {read['offset']} of {name}"


def _who(read: Mapping[str, Any]) -> str:
    # 0 is one of another PID namespace, such as a container's.
    process = f" (process {read['pid']})" if read["pid"] else ""
    return f"{read['program'] or 'a program'}{process}"


def _clock(seconds: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(seconds))
