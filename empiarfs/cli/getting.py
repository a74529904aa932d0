"""What `get` does: chooses files, says how much that is, copies or compares them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import click

from empiarfs.cli.archives import Archive, Archives
from empiarfs.cli.failures import Failures, note
from empiarfs.cli.planning import (
    Figures,
    Planned,
    figures_of,
    files_text,
    lines_of,
    much_lines,
    outlook,
    values_of,
    with_cached,
)
from empiarfs.cli.progress import progress
from empiarfs.cli.selecting import Chosen
from empiarfs.cli.terminal import amount, in_one_line
from empiarfs.cli.wanted import one_archive, wanted_files
from empiarfs.core.targets import Target, parse_target
from empiarfs.downloads import Downloads, Progress, Wanted
from empiarfs.errors import ConfigError, DownloadError


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked of `get`.

    Attributes:
        words: TARGETs, and DEST as the last.
        choice: Which files of them.
        dry_run: Say what would be copied.
        overwrite: Replace local files that differ.
        verify: Compare what is there.
        on_done: What the shell is to run at the end.
        as_json: Print figures as JSON.
        verbose: Say more.
        quiet: Say nothing but errors.
    """

    words: tuple[str, ...]
    choice: Chosen
    dry_run: bool
    overwrite: bool
    verify: bool
    on_done: str | None
    as_json: bool
    verbose: bool
    quiet: bool

    @property
    def is_silent(self) -> bool:
        """Whether nothing is said on the way."""
        return self.quiet or self.as_json


@dataclass(frozen=True, slots=True)
class _Plan:
    """Files to be copied, with what of them is there already."""

    wanted: list[Wanted]
    there: list[Wanted]

    @property
    def size(self) -> int:
        return sum(each.version.size for each in self.wanted)

    @property
    def there_size(self) -> int:
        return sum(each.version.size for each in self.there)


def get(order: Order, settings: dict[str, str | None]) -> int:
    """Do what is asked for; return the exit status.

    Raises:
        EmpiarFSError: It can't be done at all.
    """
    *words, last = order.words
    if not words:
        raise ConfigError(f"DEST is missing: empiarfs get {in_one_line(last)} DIRECTORY")
    began_s = time.monotonic()
    with (
        Failures() as failures,
        Archives(
            settings,
            reads=True,
            keeps=False,
            # Or what is to be replaced would be replaced by itself.
            written=Path(last),
            verbose=order.verbose,
            quiet=order.quiet,
        ) as archives,
    ):
        targets = archives.find_all(words, failures)
        destination = _destination(last, targets)
        if not targets:
            return failures.status
        archive = one_archive(targets)
        downloads = Downloads(
            archive.files,
            destination,
            wait_s=archive.config.wait_s,
            overwrite=order.overwrite,
            failed=failures.add,
            makes=not (order.dry_run or order.verify),
        )
        wanted = wanted_files(targets, order.choice, archives, failures, quiet=order.is_silent)
        plan = _Plan(wanted, [each for each in wanted if downloads.is_there(each)])
        if order.verify:
            return max(failures.status, _verify(order, plan, downloads, failures))
        # "0 files" would be no answer where nothing could be asked.
        says = bool(wanted) or order.as_json or not failures.status
        if order.dry_run:
            if says:
                _tell_plan(order, plan, archive, destination)
            return failures.status
        _check_room(plan, destination)
        found = outlook(_figures(plan, archive), archive, destination, caches=False)
        if found.is_much and not order.quiet:
            for line in much_lines(found.figures):
                note(line)
            note("what is here stays here if you end it (Ctrl-C)")
        done = _copy(order, plan, downloads)
        if says:
            _tell_done(order, done, destination, time.monotonic() - began_s)
        status = 1 if done.failed else failures.status
    return _run_on_done(order.on_done, destination, done, status)


def _destination(word: str, targets: list[tuple[Target, Archive]]) -> Path:
    url = targets[0][1].config.archive_url if targets else "https://archive.invalid/"
    try:
        looks_remote = parse_target(word, url) is not None
    except ConfigError:
        looks_remote = True
    if looks_remote:
        shown = in_one_line(word)
        raise ConfigError(
            f"DEST, the last word, is {shown!r}, which is a place in the archive; "
            f"write ./{shown} for a directory of that name"
        )
    return Path(word).absolute()


def _check_room(plan: _Plan, destination: Path) -> None:
    """Raise if the disk has no room for what is missing.

    Raises:
        DownloadError: It hasn't.
    """
    needed = plan.size - plan.there_size
    free = shutil.disk_usage(destination).free
    if needed <= free:
        return
    # What an earlier run has begun takes room already.
    begun = sum(path.stat().st_blocks * 512 for path in destination.rglob(".*.empiarfs-*"))
    if needed - begun > free:
        raise DownloadError(
            f"{amount(needed)} are to be fetched and {destination} has room for {amount(free)}: "
            "choose less (--first, --role, --size), or another DEST"
        )


def _tell_plan(order: Order, plan: _Plan, archive: Archive, destination: Path) -> None:
    have = {each.path for each in plan.there}
    found = outlook(_figures(plan, archive), archive, destination, caches=False)
    if order.as_json:
        click.echo(json.dumps(values_of(found)))
        return
    if order.verbose:
        for each in plan.wanted:
            mark = "there" if each.path in have else "fetch"
            click.echo(f"{mark}  {each.version.size:>16}  {in_one_line(each.path)}")
    for line in lines_of(found):
        click.echo(line)


def _figures(plan: _Plan, archive: Archive) -> Figures:
    have = {each.path for each in plan.there}
    planned = (
        Planned(each.path, each.version.size, each.version.size, each.path in have, each.version)
        for each in plan.wanted
    )
    return figures_of(with_cached(planned, archive))


def _copy(order: Order, plan: _Plan, downloads: Downloads) -> Progress:
    with progress("copying", len(plan.wanted), plan.size, quiet=order.is_silent) as told:

        def tell(done: Progress) -> None:
            told(done.files + done.there, done.size + done.there_size, done.size - done.resumed)

        try:
            return downloads.run(plan.wanted, tell)
        except KeyboardInterrupt:
            done = downloads.progress
            if not order.quiet:
                note(
                    f"stopped with {done.files + done.there} of {len(plan.wanted)} files; "
                    "the same command goes on from here"
                )
            raise


def _tell_done(order: Order, done: Progress, destination: Path, seconds: float) -> None:
    fetched = done.size - done.resumed
    if order.as_json:
        found = {
            "files": done.files,
            "bytes": fetched,
            "resumed_bytes": done.resumed,
            "there_files": done.there,
            "there_bytes": done.there_size,
            "failed": done.failed,
            "seconds": round(seconds, 1),
        }
        click.echo(json.dumps(found))
    elif not order.quiet:
        there = f", {files_text(done.there)} were there" if done.there else ""
        resumed = f", {amount(done.resumed)} had come before" if done.resumed else ""
        failed = f", {files_text(done.failed)} FAILED" if done.failed else ""
        speed = f" ({amount(int(fetched / seconds))}/s)" if fetched else ""
        click.echo(
            f"{files_text(done.files)}, {amount(done.size)} in {destination}{speed}"
            f"{resumed}{there}{failed}"
        )


def _verify(order: Order, plan: _Plan, downloads: Downloads, failures: Failures) -> int:
    """Compare what is there with the archive and with the checksums; return the status."""
    sound = unknown = 0
    size = 0
    have = {each.path for each in plan.there}
    with progress("comparing", len(plan.wanted), plan.size, quiet=order.is_silent) as told:
        for number, each in enumerate(plan.wanted):
            size += each.version.size
            told(number + 1, size)
            name = in_one_line(each.path)
            if each.path not in have:
                failures.say(f"{name}: missing, or differs from the archive in size or time")
                continue
            try:
                is_sound = downloads.is_sound(each)
            except OSError as exc:
                failures.say(f"{name}: can't be read: {exc.strerror}")
                continue
            if is_sound is False:
                failures.say(f"{name}: its bytes aren't those that were written")
            sound += is_sound is True
            unknown += is_sound is None
    wrong = len(plan.wanted) - sound - unknown
    if order.as_json:
        found = {"files": len(plan.wanted), "bytes": plan.size, "sound": sound,
                 "unknown": unknown, "wrong": wrong}  # fmt: skip
        click.echo(json.dumps(found))
    elif not order.quiet:
        more = f", {unknown} have the right size and time and no checksum" if unknown else ""
        bad = f", {wrong} are missing or wrong" if wrong else ""
        verb = "is" if sound == 1 else "are"
        click.echo(f"{sound} of {files_text(len(plan.wanted))} {verb} whole{more}{bad}")
    return 1 if wrong else 0


def _run_on_done(command: str | None, destination: Path, done: Progress, status: int) -> int:
    """Run what is to be run at the end; return the worse of both statuses."""
    if command is None:
        return status
    environment = {
        "EMPIARFS_GET_DEST": os.fspath(destination),
        "EMPIARFS_GET_FILES": str(done.files),
        "EMPIARFS_GET_BYTES": str(done.size - done.resumed),
        "EMPIARFS_GET_FAILED": str(done.failed),
        "EMPIARFS_GET_STATUS": str(status),
    }
    sys.stdout.flush()
    ended = subprocess.run(["/bin/sh", "-c", command], env={**os.environ, **environment},
                           check=False)  # fmt: skip
    if ended.returncode:
        raise DownloadError(f"--on-done ended with status {ended.returncode}: {command}")
    return status
