"""What `status --errors` prints: what programs were refused, from the ledger of errors.

The exit status is 0 only if it is known that nothing was refused: somebody answers for all of
the time, and nothing stands in the ledger. With `--json` a mount point is an object

    mount_point, since_s (null for all that is known), is_clean (the status is 0)
    errors    [{path, call, offset, size, errno, cause, kind, at_s, last_s, count, pid, program}]
    problems  other reasons for status 1, in words

and without a mount point `{"mounts": [...]}` holds all that this user had in that time, or has,
on this machine. Times are seconds since 1970. Keys may be added, and don't change.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import click

from empiarfs.cli.times import since_from
from empiarfs.errors import ConfigError, MountError

if TYPE_CHECKING:
    from empiarfs.control import Registered
    from empiarfs.ledger import LedgerFiles, Line, Refusal, Report

# The daemon waits for its disk for a second before it answers.
_ASK_S = 5.0
_CLOCKS_DIFFER_S = 60.0


def _since(text: str) -> float:
    now_s = time.time()
    since_s = since_from(text, now_s)
    # By mistake, or of a machine with another clock: nothing could be refused since.
    if since_s > now_s + _CLOCKS_DIFFER_S:
        raise ConfigError(f"--since: {text} lies in the future")
    return since_s


@dataclass(frozen=True, slots=True)
class _Answer:
    """A report, and what a living daemon doesn't tell."""

    report: Report
    silences: tuple[str, ...]
    lives: bool

    @property
    def problems(self) -> list[str]:
        """Why it isn't sure that nothing was refused, apart from the errors."""
        report = self.report
        found = [
            f"process {session.pid} ended without a word after {_time(session.seen_s)}; "
            "what was refused from then on isn't known"
            for session in report.killed
        ]
        if not report.mounted:
            found.append("nothing was mounted there in that time")
        if report.dropped_s is not None:
            found.append(f"errors before {_time(report.dropped_s)} were too many to be kept")
        if report.lost:
            found.append(f"{report.lost} more errors were too many to be kept")
        return [*found, *self.silences]

    @property
    def is_clean(self) -> bool:
        """Whether it is sure that nothing was refused."""
        return self.report.is_clean and not self.silences

    def to_json(self) -> dict[str, Any]:
        """Return it as the module's docstring says."""
        return {
            "mount_point": self.report.mount_point,
            "since_s": self.report.since_s or None,
            "is_clean": self.is_clean,
            "errors": [asdict(refusal) for refusal in self.report.refusals],
            "problems": self.problems,
        }


def show_errors(mount_point: str | None, since: str | None, *, as_json: bool, quiet: bool) -> int:
    """Print what programs were refused, and return the exit status: 1 if they were.

    Raises:
        MountError: Nothing is known of the mount point.
        ConfigError: `since` is no time.
    """
    since_s = 0.0 if since is None else _since(since)
    found = [_asked(files, since_s) for files in _ledgers(mount_point)]
    if mount_point is None:
        # Where nothing was mounted nothing was refused.
        found = [answer for answer in found if answer.report.mounted]
    if as_json:
        values = [answer.to_json() for answer in found]
        click.echo(json.dumps({"mounts": values} if mount_point is None else values[0], indent=2))
    elif not quiet:
        _print(found, since_s, all_mounts=mount_point is None)
    return 0 if all(answer.is_clean for answer in found) else 1


def _ledgers(mount_point: str | None) -> list[LedgerFiles]:
    from empiarfs.ledger import ledger_of, ledgers_of
    from empiarfs.mount.points import resolve
    from empiarfs.mount.table import mount_at

    if mount_point is None:
        return ledgers_of(os.environ)
    path = resolve(mount_point)
    mounted = mount_at(path)
    owner = mounted.owner if mounted is not None and mounted.is_ours else None
    files = ledger_of(path, os.environ, owner)
    if not files.exist() and not _daemons(path):
        raise MountError(
            f"nothing is known of {path}: no empiarfs of yours was mounted there",
            hint="`empiarfs status --errors` shows all of yours on this machine",
        )
    return [files]


def _asked(files: LedgerFiles, since_s: float) -> _Answer:
    """Return what the files and the daemon, if there is one, know together."""
    from empiarfs.ledger import report_of

    unwritten: list[Line] = []
    silences: list[str] = []
    living: set[int] = set()
    lost = 0
    for item in _daemons(files.mount_point):
        living.add(item.record.pid)
        try:
            lines, count = _unwritten(item)
        except MountError as exc:
            silences.append(f"what it refused lately isn't known: {exc}")
        else:
            unwritten += lines
            lost += count
    # Read only now: the daemon has just written what it had.
    lines = [*files.lines(), *unwritten]
    report = report_of(
        lines, files.mount_point, since_s=since_s, living=frozenset(living), lost=lost
    )
    return _Answer(report, tuple(silences), bool(living))


def _daemons(mount_point: str) -> Sequence[Registered]:
    from empiarfs.control import registered
    from empiarfs.mount.table import mount_at

    mounted = mount_at(mount_point)
    owner = mounted.owner if mounted is not None and mounted.is_ours else None
    found = registered(os.getuid() if owner is None else owner, os.environ)
    return [item for item in found if item.record.mount_point == mount_point]


def _unwritten(item: Registered) -> tuple[list[Line], int]:
    from empiarfs.control import ask
    from empiarfs.ledger import from_values

    answer = ask(item, "errors", timeout_s=_ASK_S)
    values, lost = answer.get("unwritten"), answer.get("lost")
    if not isinstance(values, list) or not isinstance(lost, int):
        raise MountError(f"the daemon of {item.record.mount_point} says what can't be read")
    lines = [line for each in values if (line := from_values(each)) is not None]
    return lines, lost + len(values) - len(lines)


def _print(found: Sequence[_Answer], since_s: float, *, all_mounts: bool) -> None:
    since = f" since {_time(since_s)}" if since_s else ""
    if not found:
        click.echo(f"no errors: nothing was mounted{since}")
        return
    # Mounts of jobs are many, and each is there once: those that are over and had no errors
    # are counted.
    over = 0
    for answer in found:
        where = _printable(answer.report.mount_point)
        for refusal in answer.report.refusals:
            _print_refusal(refusal, where if all_mounts else "")
        for problem in answer.problems:
            click.echo(f"{where}: {_printable(problem)}")
        count = len(answer.report.refusals)
        if answer.is_clean and all_mounts and not answer.lives:
            over += 1
        elif answer.is_clean:
            click.echo(f"no errors on {where}{since}")
        elif count:
            click.echo(f"{count} error{'s' * (count > 1)} on {where}{since}")
    if over:
        click.echo(f"no errors on {over} mount{'s' * (over > 1)} that ended{since}")


def _print_refusal(refusal: Refusal, where: str) -> None:
    path = _printable(f"{where}/{refusal.path}" if where else refusal.path)
    words = [_time(refusal.at_s), refusal.errno, refusal.call, path]
    if refusal.offset is not None:
        words.append(f"offset {refusal.offset}, {refusal.size} bytes")
    if refusal.count > 1:
        words.append(f"{refusal.count} times until {_time(refusal.last_s)}")
    if refusal.program or refusal.pid:
        words.append(f"{_printable(refusal.program) or '?'} ({refusal.pid})")
    click.echo("  ".join(words))
    click.echo(f"    {_printable(refusal.cause)}")


def _time(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(seconds))


def _printable(text: str) -> str:
    """Return a name so that it can't forge a line, nor move the cursor."""
    decoded = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in decoded
    )
