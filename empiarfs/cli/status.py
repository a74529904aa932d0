"""The command `status`: what is mounted, as a table or as JSON.

With `--json` each mount is an object with at least these keys:

    mount_point, archive_url, pid, since_s (seconds since 1970), version, log_file
    state          "mounted", "does not answer", or "dead" for one without a process
    cache          directory, and of one that answers used, pinned (of these), limit (bytes),
                   blocks, unwell (what is wrong with the disk, or null), disk_free and
                   min_free (bytes that are free, and to stay free), place_reason,
                   limit_reason

and of one that answers also `root`, `libfuse`, `reachability` ("online", "suspect",
"offline"), `connections` (to the archive, now), `oldest_request_s` (how long the oldest request
has been under way, or null), `limit_rate` (bytes a second, or null),
`metrics` (where they are served, or null), `open_files`, `catalog` (`unwell`, and `rebuilt`:
what was set aside, and why), `counters`,
`local` (null without local copies; else `verify` and `directories`, for each `directory`,
`unwell`: why nothing is read from it, or null, `refused`: how many copies weren't read, by
kind of reason, and `names` with `path` and `reason` of the first 20),
`crawls` (programs that go, or went, through all of the archive: `pid`, `program`, `began_s`,
`last_s`, `entries`, `directories`, `at`: the directory opened last, `has_ended`), `readers`
(the ten processes that read most: `pid`, `program`, `read_bytes`, `files` that it opened,
`open_files` now, `began_s`, `last_s`, `has_ended`), `long_reads` (programs that read through a
directory, file by file, for hours to come: `pid`, `program`, `path` of the directory, `entry`,
`began_s`, `last_s`, `files` and `read_bytes` so far, `bytes_per_s`, `left_files`, `left_bytes`
at least and `left_bytes_at_most`, `left_s`, and `globus`: `collection`, `id`, `path`).
With a mount point it is that object, without one `{"mounts": [...], "jobs": [...]}`. A job is a
command that fetches, indexes or compares: `command`, `what` (its targets), `doing`, `pid`,
`since_s`, `told_s` (when it told this), `files`, `files_total`, `bytes`, `bytes_total`,
`bytes_per_s`, `left_s`; totals, speed and time are null where they aren't known. Keys may be
added, and don't change.

`--errors` is another question; `empiarfs.cli.refusals` answers it. So is PATH, for
`empiarfs.cli.path_status`.
"""

from __future__ import annotations

import json
import os
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from empiarfs.cli.helped import Command
from empiarfs.cli.options import verbosity
from empiarfs.cli.terminal import amount, in_one_line
from empiarfs.cli.watching import hits, job_text, long_read_text, reader_text
from empiarfs.errors import MountError

if TYPE_CHECKING:
    from empiarfs.control import Registered
    from empiarfs.mount.table import MountedFileSystem

Status = dict[str, Any]

_NO_LIMIT = 10_000
_MOUNTED, _SILENT, _DEAD = "mounted", "does not answer", "dead"


@click.command("status", cls=Command)
@click.argument("mount_point", metavar="[MOUNTPOINT|PATH]", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--watch", is_flag=True, help="Show what they do, second by second, till Ctrl-C.")
@click.option("--errors", is_flag=True, help="List what programs were refused; status 1 if any.")
@click.option(
    "--since",
    metavar="TIME",
    help="With --errors: from when on, as 2h, 2026-11-21T14:30, @SECONDS.",
)
@verbosity
def command(
    *,
    mount_point: str | None,
    as_json: bool,
    watch: bool,
    errors: bool,
    since: str | None,
    verbose: bool,
    quiet: bool,
) -> int:
    """Show the mounts of this user, or the one on MOUNTPOINT.

    With the PATH of a file or a directory in a mount it tells why the last reads there were
    slow or failed, and what helps.
    """
    if errors and watch:
        raise click.UsageError("--watch and --errors don't go together")
    if errors:
        from empiarfs.cli.refusals import show_errors

        return show_errors(mount_point, since, as_json=as_json, quiet=quiet)
    if since is not None:
        raise click.UsageError("--since goes with --errors only")
    if mount_point is not None:
        from empiarfs.cli.path_status import below_a_mount, show_path

        found_below = below_a_mount(mount_point)
        if found_below is not None:
            if watch:
                raise click.UsageError("--watch shows mounts, and this is a path in one")
            return show_path(*found_below, as_json=as_json, quiet=quiet)
    if watch:
        from empiarfs.cli import watching

        if as_json:
            raise click.UsageError("--watch and --json don't go together")
        if mount_point is None:
            return watching.watch(every_mount, every_job)
        return watching.watch(partial(_only, mount_point))
    found = every_mount() if mount_point is None else [_one(mount_point)]
    jobs = every_job() if mount_point is None else []
    if as_json:
        every = {"mounts": found, "jobs": jobs}
        click.echo(json.dumps(every if mount_point is None else found[0], indent=2))
    elif not quiet:
        _print(found, verbose=verbose or mount_point is not None)
        for job in jobs:
            click.echo(f"job: {job_text(job)}")
    failed = mount_point is not None and found[0]["state"] != _MOUNTED
    return 1 if failed else 0


def every_mount() -> list[Status]:
    """Return the state of each mount of this user; of all of the machine for root."""
    from empiarfs.control import registered
    from empiarfs.mount.table import our_mounts

    mounted = our_mounts()
    owners = {os.getuid() if mount.owner is None else mount.owner for mount in mounted}
    known = {
        item.record.mount_point: item
        for owner in sorted(owners | {os.getuid()})
        for item in registered(owner, os.environ)
    }
    return [_status(mount, known.get(mount.path)) for mount in mounted]


def every_job() -> list[Status]:
    """Return how far each long command of this user is; of all of the machine for root."""
    from empiarfs.control import jobs

    return [each.to_json() for each in jobs(os.environ)]


def _one(mount_point: str) -> Status:
    from empiarfs.control import registered
    from empiarfs.mount.points import resolve
    from empiarfs.mount.table import mount_at

    path = resolve(mount_point)
    mounted = mount_at(path)
    if mounted is None or not mounted.is_ours:
        raise MountError(
            f"no empiarfs of yours is mounted on {path}",
            hint="`empiarfs status` lists those that are; a PATH must lie in one",
        )
    owner = os.getuid() if mounted.owner is None else mounted.owner
    found = [item for item in registered(owner, os.environ) if item.record.mount_point == path]
    return _status(mounted, found[-1] if found else None)


def _only(mount_point: str) -> list[Status]:
    return [_one(mount_point)]


def _status(mounted: MountedFileSystem, item: Registered | None) -> Status:
    from empiarfs.control import ask
    from empiarfs.mount.probe import is_dead

    if item is None:
        state = _DEAD if is_dead(mounted.path, 2.0) else _SILENT
        return {
            "mount_point": mounted.path,
            "state": state,
            "archive_url": mounted.source,
            "pid": None,
            "since_s": None,
            "version": None,
            "log_file": None,
            "cache": {"directory": None},
        }
    record = item.record
    try:
        return {"state": _MOUNTED, **ask(item, "status")}
    except MountError:
        return {
            "mount_point": record.mount_point,
            "state": _SILENT,
            "archive_url": record.archive_url,
            "pid": record.pid,
            "since_s": record.since_s,
            "version": record.version,
            "log_file": record.log_file,
            "cache": {"directory": record.cache_dir},
        }


def _print(found: list[Status], *, verbose: bool) -> None:
    from rich.console import Console
    from rich.table import Table

    # A path that is cut or folded can't be copied: what is too long for the terminal may
    # go on in its next line.
    console = Console(highlight=False, markup=False, emoji=False, width=_NO_LIMIT)
    if not found:
        click.echo("nothing is mounted")
        return
    if verbose:
        for status in found:
            _print_details(status)
        return
    table = Table(box=None, header_style="bold")
    for title in ("MOUNT POINT", "STATE", "ARCHIVE", "PID", "SINCE", "CACHE", "CONNECTIONS"):
        table.add_column(title, no_wrap=True)
    for status in found:
        table.add_row(*_row(status))
    console.print(table)
    for status in found:
        point = _text(status["mount_point"])
        for crawl in status.get("crawls", ()):
            if not crawl["has_ended"]:
                click.echo(f"crawl on {point}: {_crawl(crawl)}")
        for read in status.get("long_reads", ()):
            click.echo(f"long read on {point}: {long_read_text(read)}")


def _row(status: Status) -> list[str]:
    return [
        _text(status["mount_point"]),
        _state(status),
        _text(status["archive_url"]),
        _text(status["pid"]),
        _since(status["since_s"]),
        _cache(status["cache"]),
        _text(status.get("connections")),
    ]


def _print_details(status: Status) -> None:
    lines = [
        ("mount point", status["mount_point"]),
        ("state", _state(status)),
        ("archive", status["archive_url"]),
        ("process", status["pid"]),
        ("since", _since(status["since_s"])),
        ("cache", status["cache"].get("place_reason") or status["cache"].get("directory")),
        ("cache size", _cache(status["cache"])),
        ("connections", status.get("connections")),
        ("oldest request", _age(status.get("oldest_request_s"))),
        ("rate limit", _rate(status.get("limit_rate"))),
        ("metrics", status.get("metrics")),
        ("open files", status.get("open_files")),
        ("log", status["log_file"]),
    ]
    counters = status.get("counters", {})
    lines.append(("bytes read", hits(counters)))
    if status["cache"].get("unwell"):
        lines.append(("cache disk", status["cache"]["unwell"]))
    lines += [("reader", reader_text(each)) for each in status.get("readers", ())]
    lines += _local(status)
    lines += [("crawl", _crawl(crawl)) for crawl in status.get("crawls", ())]
    lines += [("long read", long_read_text(each)) for each in status.get("long_reads", ())]
    catalog = status.get("catalog", {})
    lines += [(f"catalog {name}", catalog[name]) for name in catalog if catalog[name]]
    lines += [(name, count) for name, count in counters.items() if count]
    for name, value in lines:
        click.echo(f"{name.replace('_', ' ') + ':':<24}{_text(value)}")


def _state(status: Status) -> str:
    reachability = status.get("reachability")
    if status["state"] != _MOUNTED or reachability in (None, "online"):
        return str(status["state"])
    return f"{status['state']}, archive {reachability}"


def _since(since_s: float | None) -> str:
    if since_s is None:
        return "-"
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(since_s))


def _cache(cache: Status) -> str:
    if cache.get("limit") is None:
        return "-"
    return f"{amount(cache['used'])} of {amount(cache['limit'])}"


def _local(status: Status) -> list[tuple[str, str]]:
    """Return what is read from local copies, and what isn't."""
    local = status.get("local")
    if not local:
        return []
    counters = status["counters"]
    read = f"{counters['local_files']} files, {amount(counters['local_bytes'])} read"
    lines = [("local copies", f"{read} (verify: {local['verify']})")]
    for each in local["directories"]:
        refused = ", ".join(f"{count} {kind}" for kind, count in each["refused"].items())
        problem = each["unwell"] or (f"not used: {refused}" if refused else "in use")
        lines.append((f"local {each['directory']}", problem))
        lines += [
            ("not used", in_one_line(f"{_text(name['path'])}: {name['reason']}"))
            for name in each["names"]
        ]
    return lines


def _crawl(crawl: Status) -> str:
    """Return who goes through all of the archive, and how far it came."""
    where = "ended" if crawl["has_ended"] else f"at {_text(crawl['at'])}"
    return in_one_line(
        f"{_text(crawl['program'])} (process {crawl['pid']}) since {_since(crawl['began_s'])}, "
        f"{crawl['entries']} entries, {crawl['directories']} directories, {where}"
    )


def _age(seconds: float | None) -> str:
    return "-" if seconds is None else f"under way for {seconds:.1f} s"


def _rate(limit: int | None) -> str:
    return "-" if limit is None else f"{amount(limit)}/s, of all limited ones together"


def _text(value: object) -> str:
    if value is None or value == "":
        return "-"
    return str(value).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
