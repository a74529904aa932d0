"""The live screen of `status --watch`: what each mount does, second by second.

What a mount did in the last second is the difference of its counters; a mount that was made
anew meanwhile begins with zeros, and is shown without rates for that second.

Threading: used from one thread.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from empiarfs.cli.progress import span
from empiarfs.cli.terminal import amount, in_one_line

if TYPE_CHECKING:
    from rich.console import Group

Status = Mapping[str, Any]
# Of a mount, as it is identified from one second to the next.
_Key = tuple[object, object]

_EVERY_S = 1.0
_READERS_SHOWN = 3


def hits(counters: Mapping[str, int]) -> str | None:
    """Return where the bytes came from that programs read; None if they read none.

    >>> hits({"read_bytes": 200, "memory_bytes": 100, "disk_bytes": 50})
    '50 % memory, 25 % disk, 25 % archive'
    """
    read = counters.get("read_bytes", 0)
    if read <= 0:
        return None
    memory, disk = (
        min(100, round(100 * counters.get(name, 0) / read))
        for name in ("memory_bytes", "disk_bytes")
    )
    return f"{memory} % memory, {disk} % disk, {max(0, 100 - memory - disk)} % archive"


def lines_of(before: Status | None, now: Status, seconds: float) -> list[tuple[str, str]]:
    """Return what is shown of one mount, as names and values.

    Args:
        before: Its status `seconds` ago; None if it isn't known.
        now: Its status.
        seconds: More than 0.
    """
    lines = [("state", _state(now))]
    cache = now.get("cache", {})
    if cache.get("limit") is not None:
        pinned = f", {amount(cache['pinned'])} pinned" if cache.get("pinned") else ""
        unwell = f"; {cache['unwell']}" if cache.get("unwell") else ""
        used = f"{amount(cache['used'])} of {amount(cache['limit'])}"
        lines.append(("cache", f"{used}{pinned}{unwell}"))
    counters = now.get("counters")
    if counters is None:
        return lines
    done = _done(None if before is None else before.get("counters"), counters)
    if done is not None:

        def rate(name: str) -> str:
            return f"{amount(int(max(0, done[name]) / seconds))}/s"

        lines += [
            ("archive", f"{rate('network_bytes')}, {now.get('connections')} connections"),
            ("read", f"{rate('read_bytes')} ({hits(done) or 'nothing is read'})"),
        ]
    waiting = now.get("fetcher", {}).get("spans_waiting", 0)
    lines += [
        ("in all", f"{amount(counters['read_bytes'])} read ({hits(counters) or '-'}), "
                   f"{amount(counters['network_bytes'])} from the archive"),
        ("now", f"{now.get('open_files')} open files, {waiting} requests waiting"),
        ("trouble", f"{counters['stalls']} stalls passed, {counters['retries']} asked again, "
                    f"{counters['failed_reads']} failed reads, "
                    f"{counters['failed_lookups']} failed look-ups"),
    ]  # fmt: skip
    lines += [("long", long_read_text(each)) for each in now.get("long_reads", ())]
    return lines + _reader_lines(before, now, seconds)


def long_read_text(read: Status) -> str:
    """Return who reads through a directory for how long, and what would be faster.

    Args:
        read: One of `long_reads` of a status.
    """
    low, high = read["left_bytes"], read["left_bytes_at_most"]
    left = amount(low) if amount(low) == amount(high) else f"{amount(low)} to {amount(high)}"
    files = f"{read['left_files']} file{'s' * (read['left_files'] != 1)}"
    globus, where = read["globus"], read["path"]
    return in_one_line(
        f"{read['program'] or 'a program'} (process {read['pid']}) reads through {where} at "
        f"{amount(int(read['bytes_per_s']))}/s: {left} in {files} are left there, "
        f"{span(read['left_s'])} at this speed; `empiarfs plan {where}` says what it takes, "
        f"and Globus is faster: {globus['collection']} ({globus['id']}), {globus['path']}"
    )


def reader_text(reader: Status, rate: str = "") -> str:
    """Return what a program read, in words.

    Args:
        reader: One of `readers` of a status.
        rate: How fast it reads, if that is known.
    """
    now = "ended" if reader["has_ended"] else f"{reader['open_files']} open"
    files = f"{reader['files']} file{'s' * (reader['files'] != 1)}"
    name = reader["program"] or "a program"
    return in_one_line(
        f"{name} (process {reader['pid']}): {rate}{amount(reader['read_bytes'])} of {files}, {now}"
    )


def _reader_lines(before: Status | None, now: Status, seconds: float) -> list[tuple[str, str]]:
    """Return lines of the programs that read most since `before`."""
    if before is None:
        return []
    read = {_reader_key(each): each["read_bytes"] for each in before.get("readers", ())}
    since = [
        (max(0, each["read_bytes"] - read.get(_reader_key(each), 0)), each)
        for each in now.get("readers", ())
    ]
    since.sort(key=lambda pair: -pair[0])
    return [
        ("reader", reader_text(each, f"{amount(int(size / seconds))}/s, "))
        for size, each in since[:_READERS_SHOWN]
        if size or not each["has_ended"]
    ]


def _reader_key(reader: Status) -> tuple[object, object]:
    return reader["pid"], reader["program"]


def _done(before: Mapping[str, int] | None, now: Mapping[str, int]) -> dict[str, int] | None:
    if before is None or now["reads"] < before["reads"]:
        return None
    return {name: now[name] - before.get(name, 0) for name in now}


def _state(status: Status) -> str:
    reachability = status.get("reachability")
    return f"{status['state']}, archive {reachability}" if reachability else str(status["state"])


def job_text(job: Status) -> str:
    """Return how far a job is, in words.

    Args:
        job: One of `jobs` of a status.
    """
    files = (
        f"{job['files']} files"
        if job["files_total"] is None
        else (f"{job['files']} of {job['files_total']} files")
    )
    of = "" if job["bytes_total"] is None else f" of {amount(job['bytes_total'])}"
    words = [files, f"{amount(job['bytes'])}{of}"]
    if job["bytes_per_s"] is not None:
        words.append(f"{amount(int(job['bytes_per_s']))}/s")
    if job["left_s"] is not None:
        # What isn't listed yet comes on top.
        least = "at least " if job["files_total"] is None else ""
        words.append(f"{least}{span(job['left_s'])} left")
    name = f"{job['command']} {job['what']} (process {job['pid']})"
    return in_one_line(f"{name}, {job['doing']}: {', '.join(words)}")


def watch(
    found: Callable[[], Sequence[Status]], jobs: Callable[[], Sequence[Status]] = tuple
) -> int:
    """Show mounts until Ctrl-C, which is how it is meant to end; return the exit status.

    Args:
        found: Returns the status of each.
        jobs: Returns how far each long command is.

    Raises:
        click.UsageError: There is no terminal to show them on.
    """
    if not sys.stdout.isatty():
        raise click.UsageError("--watch needs a terminal; ask `status --json` again and again")
    from rich.live import Live

    before: dict[_Key, Status] = {}
    asked_s = time.monotonic()
    try:
        with Live(auto_refresh=False, screen=True) as live:
            while True:
                now, seconds = found(), max(0.001, time.monotonic() - asked_s)
                asked_s += seconds
                live.update(_screen(before, now, seconds, jobs()), refresh=True)
                before = {_key(each): each for each in now}
                # The screen is drawn once a second, as rates are of the time between two looks;
                # there is nothing to wait for meanwhile but Ctrl-C, which ends this.
                time.sleep(_EVERY_S)
    except KeyboardInterrupt:
        return 0


def _key(status: Status) -> _Key:
    return status["mount_point"], status["pid"]


def _screen(
    before: Mapping[_Key, Status], now: Sequence[Status], seconds: float, jobs: Sequence[Status]
) -> Group:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    parts: list[Text | Table] = [Text(time.strftime("%H:%M:%S  (Ctrl-C ends)"), style="dim")]
    if not now:
        parts.append(Text("nothing is mounted"))
    for status in now:
        where = f"{status['mount_point']}  {status['archive_url']}"
        parts.append(Text(f"\n{in_one_line(where)}", style="bold"))
        table = Table(box=None, show_header=False, padding=(0, 1))
        for name, value in lines_of(before.get(_key(status)), status, seconds):
            table.add_row(Text(name, style="dim"), Text(in_one_line(value)))
        parts.append(table)
    parts += [Text(f"\njob  {job_text(job)}") for job in jobs]
    return Group(*parts)
