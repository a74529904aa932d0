"""The command `catalog`: completes, writes and reads what is known of EMPIAR's entries."""

from __future__ import annotations

import re

import click

from empiarfs.cli.helped import Group
from empiarfs.cli.options import asking_options, settings_from

_URL = re.compile(r"https?://", re.IGNORECASE)


@click.group("catalog", cls=Group, no_args_is_help=False)
def command() -> None:
    """Share what is known of EMPIAR's entries, so that others needn't ask for it."""


@command.command("update")
@asking_options
def update(*, verbose: bool, quiet: bool, **settings: str | None) -> int:
    """Ask EMPIAR for all entries that aren't known, or haven't been asked for for a week."""
    from empiarfs.cli.knowing import known_entries
    from empiarfs.cli.logged import logged
    from empiarfs.cli.search_results import completed
    from empiarfs.errors import CacheError

    with logged(verbose=verbose, quiet=quiet), known_entries(settings_from(settings)) as entries:
        problem = completed(entries, refresh=False, insist=True, quiet=quiet)
        how_many = entries.how_many()
    if not quiet and (how_many.known or problem is None):
        click.echo(f"{how_many.known} entries are known")
    if problem is not None:
        raise CacheError(f"not all entries could be asked for: {problem}")
    return 0


@command.command("export")
@click.argument("file", metavar="FILE", type=click.Path(dir_okay=False))
@asking_options
def export(*, file: str, verbose: bool, quiet: bool, **settings: str | None) -> int:
    """Write what is known of entries into FILE, packed and with a checksum."""
    from pathlib import Path

    from empiarfs.cli.knowing import entry_store
    from empiarfs.cli.logged import logged
    from empiarfs.entries.sharing import export_entries
    from empiarfs.errors import ConfigError
    from empiarfs.stats import Counters

    packing = re.search(r"\.(zst|zstd|xz|bz2|zip)$", file, re.IGNORECASE)
    if packing:
        raise ConfigError(f"{file}: the file is packed by gzip, not as {packing[0]} says")
    config = settings_from(settings)
    with logged(verbose=verbose, quiet=quiet), entry_store(config, Counters()) as store:
        count = export_entries(store, config.api_url, Path(file))
    if not quiet:
        click.echo(f"wrote {count} entries to {file}")
    return 0


@command.command("import")
@click.argument("source", metavar="FILE|URL")
@asking_options
def import_(*, source: str, verbose: bool, quiet: bool, **settings: str | None) -> int:
    """Take what FILE, or the file at URL, knows of entries, where that is younger."""
    from pathlib import Path

    from empiarfs.cli.knowing import age_words, downloaded, entry_store
    from empiarfs.cli.logged import logged
    from empiarfs.entries.sharing import import_entries
    from empiarfs.stats import Counters

    config = settings_from(settings)
    counters = Counters()
    with logged(verbose=verbose, quiet=quiet), entry_store(config, counters) as store:
        if _URL.match(source):
            with downloaded(config, source, counters) as file:
                imported = import_entries(store, config.api_url, file, name=_shown(source))
        else:
            imported = import_entries(store, config.api_url, Path(source))
    if not quiet:
        age = age_words(imported.written_s)
        click.echo(f"took {imported.stored} of {imported.entries} entries; the file is {age}")
    return 0


def _shown(url: str) -> str:
    """Return what may be shown of a URL: no password."""
    from empiarfs.core.secrets import shown_url

    return shown_url(url) if "@" in url else url
