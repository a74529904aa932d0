"""The commands `pin` and `unpin`: which files of the cache are never evicted.

With `--json` `pin` prints what `warm` does (`empiarfs.cli.warm`). `pin --list --json` prints
an array of objects: `url`, `size` (bytes on disk that are reserved for it), `since_s` (since
1970). Keys may be added, and don't change.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from empiarfs.cli.helped import Command
from empiarfs.cli.options import reading_options, setting_options, verbosity
from empiarfs.cli.selecting import SelectingCommand, chosen_by, depth_option, selecting_options
from empiarfs.cli.selectors import limit_options, selectors_of, table_options

if TYPE_CHECKING:
    from empiarfs.cache.pins import Pin
    from empiarfs.cli.archives import Archive
    from empiarfs.downloads import Wanted


@click.command("pin", cls=SelectingCommand)
@click.argument("targets", metavar="TARGET...", nargs=-1)
@click.option("--list", "lists", is_flag=True, help="List what is pinned, and pin nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@selecting_options
@table_options
@limit_options
@depth_option
@reading_options
def command(
    *,
    targets: tuple[str, ...],
    lists: bool,
    as_json: bool,
    verbose: bool,
    quiet: bool,
    **settings: Any,
) -> int:
    """Fetch files into the cache as `warm` does, and never evict them.

    It holds for all mounts and commands that use the cache, at once and until `unpin`. No
    more than nine tenths of the cache can be pinned.
    """
    from empiarfs.cli.archives import Archives
    from empiarfs.cli.failures import Failures
    from empiarfs.cli.wanted import one_archive, wanted_files
    from empiarfs.cli.warming import tell_warmed, warm_files

    choice = chosen_by(settings, selectors_of(settings))
    if lists:
        if targets:
            raise click.UsageError("--list lists all that is pinned; it takes no TARGET")
        return _list(settings, as_json=as_json, verbose=verbose, quiet=quiet)
    if not targets:
        raise click.UsageError("missing argument 'TARGET...'")
    silent = quiet or as_json
    with (
        Failures() as failures,
        Archives(settings, reads=True, verbose=verbose, quiet=quiet) as archives,
    ):
        found = archives.find_all(targets, failures)
        archive = one_archive(found)
        wanted = wanted_files(found, choice, archives, failures, quiet=silent)
        if failures.status and not wanted and not as_json:
            return failures.status
        # First: what is fetched then is pinned as it is stored.
        _pin(archive, wanted)
        warmed = warm_files(
            archive,
            wanted,
            failures,
            # A copy may be gone when what is pinned has to be there.
            spares_copies=False,
            most=None,
            check=lambda _: None,
            silent=silent,
            quiet=quiet,
        )
    tell_warmed(warmed, len(wanted), "pinned", as_json=as_json, quiet=quiet)
    return failures.status


@click.command("unpin", cls=Command)
@click.argument("targets", metavar="[TARGET...]", nargs=-1)
@click.option("--all", "every", is_flag=True, help="All that is pinned.")
@click.option(
    "--name",
    "globs",
    metavar="GLOB",
    multiple=True,
    help="Of these, names that match; with a slash, paths below TARGET.",
)
@setting_options("cache_dir")
@verbosity
def unpin_command(
    *,
    targets: tuple[str, ...],
    every: bool,
    globs: tuple[str, ...],
    verbose: bool,
    quiet: bool,
    **settings: str | None,
) -> int:
    """Let pinned files, or all that lie below directories, be evicted again.

    They stay in the cache until others need the room. No network is needed.
    """
    from empiarfs.cli.cache import tended, urls_of
    from empiarfs.cli.options import settings_from
    from empiarfs.cli.terminal import amount
    from empiarfs.core.selection import Selection, sorted_globs

    if every == bool(targets):
        raise click.UsageError("say what is to be unpinned: TARGETs, or --all")
    try:
        of_names, of_paths = sorted_globs(globs, ignore_case=False)
    except ValueError as exc:
        raise click.UsageError(f"--name: {exc}") from exc
    selection = Selection(globs=of_names, path_globs=of_paths)
    urls = [url for _, url in urls_of(targets, settings, "unpin --all")]
    archive = settings_from(settings).archive_url.rstrip("/")

    def is_chosen(pin: Pin) -> bool:
        below = [_below(pin.url, url) for url in ([archive] if every else urls)]
        if every and not any(below):
            below = [pin.url]  # of another archive
        return any(selection.names(path, is_directory=False) for path in below if path)

    with tended(settings, verbose=verbose, quiet=quiet) as (_, tender):
        gone = tender.unpin(is_chosen)
    if not quiet:
        files = f"{len(gone)} file{'s' * (len(gone) != 1)}"
        click.echo(f"unpinned {files}, {amount(sum(pin.size for pin in gone))}")
    return 0


def _below(url: str, directory: str) -> str:
    """Return a URL's path below a directory, its name for the directory itself, else nothing.

    >>> _below("https://host/1/a/b", "https://host/1"), _below("https://host/1", "https://host/1")
    ('a/b', '1')
    """
    if url == directory:
        return url.rpartition("/")[2]
    return url[len(directory) + 1 :] if url.startswith(f"{directory}/") else ""


def _pin(archive: Archive, wanted: list[Wanted]) -> None:
    """Pin files, fetched or not.

    Raises:
        CacheError: They don't fit.
    """
    from empiarfs.cache.pins import TooMuchError
    from empiarfs.cache.tending import BlockTender
    from empiarfs.cli.terminal import amount
    from empiarfs.core.files import RemoteFile
    from empiarfs.errors import CacheError

    base_url, directory = archive.parts.client.base_url, archive.parts.directory
    files = [RemoteFile(base_url, each.path, each.version) for each in wanted]
    try:
        with BlockTender(directory.blocks_path) as tender:
            tender.pin(files)
    except TooMuchError as exc:
        raise CacheError(
            f"{amount(exc.needed)} would be pinned, and of a cache of {amount(directory.limit)} "
            f"no more than {amount(exc.most)} may be; nothing was pinned: choose less (--first, "
            "--role), `empiarfs unpin` others, or `empiarfs cache size` lets it hold more"
        ) from exc
    except OSError as exc:
        raise CacheError(f"the cache in {directory.path} can't be used: {exc}") from exc


def _list(settings: dict[str, Any], *, as_json: bool, verbose: bool, quiet: bool) -> int:
    from empiarfs.cli.cache import tended
    from empiarfs.cli.terminal import amount, in_one_line

    with tended(settings, verbose=verbose, quiet=quiet) as (_, tender):
        pins = sorted(tender.pins(), key=lambda pin: pin.name)
    if as_json:
        found = [{"url": p.url, "size": p.size, "since_s": p.since_s} for p in pins]
        click.echo(json.dumps(found, indent=2))
        return 0
    for pin in pins:
        click.echo(f"{amount(pin.size):>8}  {in_one_line(pin.url)}")
    return 0
