"""The command `cache`: what the cache directory holds, whether it is sound, less of it.

All of it works while mounts and commands use the cache. With `--json`:

    list    {"directory", "limit", "used" (bytes on disk), "blocks", "pinned" (of the bytes
            used), "entries": [{"entry", "blocks", "size" (bytes on disk), "pinned" (of
            these), "oldest_s", "newest_s" (since 1970)}]}
    verify  {"blocks", "size" (bytes of data), "damaged"}

Keys may be added, and don't change.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from empiarfs.cli.helped import Group
from empiarfs.cli.options import setting_options, settings_from, verbosity

if TYPE_CHECKING:
    from empiarfs.cache.directory import CacheDirectory
    from empiarfs.cache.tending import BlockTender, Checked, Removed

_TOLD_EVERY_S = 5.0


def _options(function: Callable[..., int]) -> Callable[..., int]:
    return setting_options("cache_dir")(verbosity(function))


@click.group("cache", cls=Group, no_args_is_help=False)
def command() -> None:
    """See what the cache holds, check it, change its size, remove parts of it."""


@command.command("dir")
@_options
def directory(*, verbose: bool, quiet: bool, **settings: str | None) -> int:
    """Print where the cache is; with -v also why there, and whether it exists."""
    from empiarfs.cache.directory import choose_directory

    config = settings_from(settings)
    place = choose_directory(config.cache_dir, os.environ, force=config.force)
    click.echo(place.path)
    if verbose:
        click.echo(f"{place.reason}; {'it exists' if place.path.exists() else 'not made yet'}")
    return 0


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@_options
def list_(*, as_json: bool, verbose: bool, quiet: bool, **settings: str | None) -> int:
    """List what is stored of each entry, and since when, the largest first."""
    from empiarfs.cli.knowing import age_words
    from empiarfs.cli.terminal import amount, in_one_line

    with tended(settings, verbose=verbose, quiet=quiet) as (place, tender):
        used, blocks = tender.used()
        entries, pinned = tender.entries(), tender.pinned()
    if as_json:
        found = {
            "directory": str(place.path.parent),
            "limit": place.limit,
            "used": used,
            "blocks": blocks,
            "pinned": pinned,
            "entries": [
                {
                    "entry": each.entry,
                    "blocks": each.blocks,
                    "size": each.size,
                    "pinned": each.pinned,
                    "oldest_s": each.oldest_s,
                    "newest_s": each.newest_s,
                }
                for each in entries
            ],
        }
        click.echo(json.dumps(found, indent=2))
        return 0
    click.echo(f"{'SIZE':>8}  {'PINNED':>8}  {'BLOCKS':>8}  {'STORED':>20}  ENTRY")
    for each in entries:
        age, name = age_words(each.oldest_s), in_one_line(each.entry)
        apart = amount(each.pinned) if each.pinned else "-"
        click.echo(f"{amount(each.size):>8}  {apart:>8}  {each.blocks:>8}  {age:>20}  {name}")
    apart = amount(pinned) if pinned else "-"
    reason = place.limit_reason
    click.echo(f"{amount(used):>8}  {apart:>8}  {blocks:>8}  in all, of {reason}")
    return 0


@command.command("size")
@click.argument("size", metavar="[SIZE]", required=False)
@_options
def size_(*, size: str | None, verbose: bool, quiet: bool, **settings: str | None) -> int:
    """Print how much the cache holds and may hold, or let it hold SIZE, such as 50G.

    Mounts that use it follow within a second; what is too much goes at once.
    """
    from empiarfs.cli.terminal import amount
    from empiarfs.config import parse_size
    from empiarfs.errors import ConfigError

    limit: int | None = None
    if size is not None:
        try:
            limit = parse_size(size, least=1)
        except ValueError as exc:
            raise ConfigError(f"SIZE: {exc}") from exc
    if limit is not None:
        with tended(settings, verbose=verbose, quiet=quiet) as (_, tender):
            _check_pins(tender, limit)
    with tended(settings, verbose=verbose, quiet=quiet, limit=limit) as (place, tender):
        if limit is not None:
            _tell_removed(tender.shrink(limit), quiet=quiet or limit >= tender.used()[0])
        used, _ = tender.used()
        pinned = tender.pinned()
    if not quiet:
        apart = f", {amount(pinned)} of it pinned" if pinned else ""
        click.echo(f"{amount(used)} of {place.limit_reason}{apart}")
    return 0


def _check_pins(tender: BlockTender, limit: int) -> None:
    """Raise if what is pinned doesn't fit under a limit.

    Raises:
        CacheError: It doesn't.
    """
    from empiarfs.cli.terminal import amount
    from empiarfs.errors import CacheError

    reserved = sum(pin.size for pin in tender.pins())
    if reserved > (most := tender.pin_capacity(limit)):
        raise CacheError(
            f"{amount(reserved)} are pinned, and of {amount(limit)} no more than {amount(most)} "
            "may be: `empiarfs unpin` some of it first"
        )


@command.command("verify")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@_options
def verify(*, as_json: bool, verbose: bool, quiet: bool, **settings: str | None) -> int:
    """Read all that is stored and compare every checksum; status 1 if any was wrong.

    A read from a mount does the same for what it reads; so nothing damaged is ever handed
    out. What is damaged is removed, and fetched again when it is wanted.
    """
    from empiarfs.cli.terminal import amount

    with tended(settings, verbose=verbose, quiet=quiet) as (_, tender):
        _, blocks = tender.used()
        with _told(blocks, quiet=quiet or as_json) as told:
            checked = tender.check(told)
    if as_json:
        found = {"blocks": checked.blocks, "size": checked.size, "damaged": checked.damaged}
        click.echo(json.dumps(found))
    elif not quiet:
        good = f"{checked.blocks - checked.damaged} blocks ({amount(checked.size)})"
        wrong = f"{checked.damaged} were damaged and are removed, "
        click.echo(f"{wrong if checked.damaged else ''}{good} are sound")
    return 1 if checked.damaged else 0


@command.command("prune")
@click.option(
    "--older-than", "age", metavar="AGE", help="Stored before that: 30d, 12h, 2026-11-01."
)
@click.option("--entry", "entries", multiple=True, metavar="ENTRY", help="Of this entry only.")
@click.option("--to", "size", metavar="SIZE", help="As many as it takes to be below SIZE.")
@_options
def prune(
    *,
    age: str | None,
    entries: tuple[str, ...],
    size: str | None,
    verbose: bool,
    quiet: bool,
    **settings: str | None,
) -> int:
    """Remove what is old, what is of an entry, or some of all.

    What matches both --older-than and --entry goes, then as much of the rest as --to wants.
    """
    from empiarfs.cli.targets import entry_named
    from empiarfs.cli.times import since_from
    from empiarfs.config import parse_size
    from empiarfs.errors import ConfigError

    if not entries and age is None and size is None:
        raise ConfigError("say what is to go: --older-than, --entry or --to; `cache clean`: all")
    before_s = float("inf") if age is None else since_from(age, time.time(), "--older-than")
    config = settings_from(settings)
    names = {str(entry_named(word, config.archive_url)) for word in entries}
    try:
        limit = None if size is None else parse_size(size, least=0)
    except ValueError as exc:
        raise ConfigError(f"--to: {exc}") from exc
    with tended(settings, verbose=verbose, quiet=quiet) as (_, tender):
        if entries or age is not None:
            removed = tender.remove(
                lambda row: row.stored_s < before_s and (not names or row.entry in names)
            )
            _tell_removed(removed, quiet=quiet)
        if limit is not None:
            _tell_removed(tender.shrink(limit), quiet=quiet)
    return 0


@command.command("evict")
@click.argument("targets", metavar="TARGET...", nargs=-1, required=True)
@_options
def evict(*, targets: tuple[str, ...], verbose: bool, quiet: bool, **settings: str | None) -> int:
    """Remove what is stored of files, or of all that lies below a directory."""
    chosen = urls_of(targets, settings, "cache clean")
    with tended(settings, verbose=verbose, quiet=quiet) as (_, tender):
        for entry in dict.fromkeys(entry for entry, _ in chosen):
            removed = tender.remove_below(entry, [url for each, url in chosen if each == entry])
            _tell_removed(removed, quiet=quiet)
    return 0


def urls_of(
    targets: Sequence[str], settings: Mapping[str, Any], for_all: str
) -> list[tuple[str, str]]:
    """Return the entry's directory and the URL, without escapes, of what words name.

    Args:
        targets: The words.
        settings: The settings on the command line.
        for_all: What does the same to all of the archive, for the error.

    Raises:
        ConfigError: One names nothing, or the whole archive.
    """
    from empiarfs.cli.targets import located
    from empiarfs.core.paths import canonical
    from empiarfs.errors import ConfigError

    config = settings_from(settings)
    chosen: list[tuple[str, str]] = []
    for word in targets:
        target, place = located(word, config.archive_url)
        path = canonical(target.path)
        if not path:
            raise ConfigError(f"TARGET is the whole archive; `empiarfs {for_all}` is for all")
        archive = config.archive_url if place is None else place.archive_url
        chosen.append((path.split("/", 1)[0], f"{archive}{path}"))
    return chosen


@command.command("clean")
@_options
def clean(*, verbose: bool, quiet: bool, **settings: str | None) -> int:
    """Remove all that is stored of files, but what is pinned; names and sizes stay known."""
    with tended(settings, verbose=verbose, quiet=quiet) as (_, tender):
        _tell_removed(tender.remove(lambda row: True), quiet=quiet)
    return 0


@contextlib.contextmanager
def tended(
    settings: Mapping[str, Any], *, verbose: bool, quiet: bool, limit: int | None = None
) -> Iterator[tuple[CacheDirectory, BlockTender]]:
    """Lend the cache directory of these settings, and what looks after its blocks.

    Args:
        settings: The settings on the command line.
        verbose: Let more be seen on stderr.
        quiet: Only errors.
        limit: A new limit in bytes; None to leave it.

    Raises:
        CacheError: It can't be used.
        ConfigError: It isn't ours, or too small.
    """
    from empiarfs.cache.directory import choose_directory, open_cache_directory
    from empiarfs.cache.tending import BlockTender
    from empiarfs.cli.logged import logged
    from empiarfs.errors import CacheError

    config = settings_from(settings)
    place = choose_directory(config.cache_dir, os.environ, force=config.force)
    directory = open_cache_directory(place, limit)
    try:
        with logged(verbose=verbose, quiet=quiet), BlockTender(directory.blocks_path) as tender:
            yield directory, tender
    except OSError as exc:
        raise CacheError(f"the cache in {place.path} can't be used: {exc}") from exc


@contextlib.contextmanager
def _told(blocks: int, *, quiet: bool) -> Iterator[Callable[[Checked], None]]:
    """Lend what shows how far a check is: a bar on a terminal, else a line now and then."""
    if quiet:
        yield lambda _: None
        return
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task("comparing checksums", total=blocks)
            yield lambda checked: progress.update(task, completed=checked.blocks)
        return
    next_s = time.monotonic() + _TOLD_EVERY_S

    def tell(checked: Checked) -> None:
        nonlocal next_s
        if time.monotonic() >= next_s:
            next_s = time.monotonic() + _TOLD_EVERY_S
            click.echo(f"empiarfs: {checked.blocks} of {blocks} blocks", err=True)

    yield tell


def _tell_removed(removed: Removed, *, quiet: bool) -> None:
    from empiarfs.cli.terminal import amount

    if not quiet:
        kept = f"; {removed.pinned} are pinned and stay" if removed.pinned else ""
        blocks = f"{removed.blocks} block{'s' * (removed.blocks != 1)}"
        click.echo(f"removed {blocks}, {amount(removed.size)}{kept}")
