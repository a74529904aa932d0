"""The command `index`: learns all names and exact sizes below places of the archive.

With `--json` it prints an object for each TARGET in one array: `target`, `path`, `complete`,
`files`, `directories`, `size` (bytes), `known_before` (files whose size was known already),
`requests`, `seconds`, `refused_names` (names of listings that can't be served), `unknown` (what
couldn't be had: objects with `path` and `why`). Keys may be added, and don't change.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from empiarfs.cli.helped import Command
from empiarfs.cli.options import reading_options
from empiarfs.errors import ConfigError

if TYPE_CHECKING:
    from empiarfs.browse.indexing import Progress
    from empiarfs.cli.archives import Archive
    from empiarfs.cli.failures import Failures
    from empiarfs.core.targets import Target

# As long as a mount believes a listing.
_BELIEVED_S = 86_400.0
_WRITE_S = 60.0


@dataclass(frozen=True, slots=True)
class _Indexed:
    """What came of one target."""

    target: Target
    progress: Progress
    requests: int
    seconds: float

    def to_json(self) -> dict[str, object]:
        """Return it as the module's docstring says."""
        progress = self.progress
        return {
            "target": self.target.spelt,
            "path": self.target.path,
            "complete": progress.is_whole,
            "files": progress.files,
            "directories": progress.directories,
            "size": progress.size,
            "known_before": progress.known_before,
            "requests": self.requests,
            "seconds": round(self.seconds, 3),
            "refused_names": progress.refused,
            "unknown": [{"path": each.path, "why": str(each.error)} for each in progress.unknown],
        }

    @property
    def line(self) -> str:
        """The same for people."""
        from empiarfs.cli.terminal import amount

        progress = self.progress
        parts = [
            f"{_count(progress.files, 'file')} in "
            f"{_count(progress.directories, 'directory', 'directories')}, "
            f"{amount(progress.size)} ({progress.size} bytes)",
            f"{_count(self.requests, 'request')}, {self.seconds:.1f} s",
        ]
        if not progress.is_whole:
            parts.append(f"incomplete, {len(progress.unknown):,} couldn't be had")
        return f"{self.target.spelt}: {'; '.join(parts)}"


@click.command("index", cls=Command)
@click.argument("targets", metavar="[TARGET]...", nargs=-1)
@click.option("--refresh", is_flag=True, help="List everything anew, however fresh it is.")
@click.option(
    "--export",
    "export_to",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Then write it all to FILE.tsv, FILE.tsv.gz or FILE.parquet.",
)
@click.option(
    "--import",
    "import_from",
    metavar="FILE|URL",
    help="First take what such a file says; without TARGET, only that.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@reading_options
def command(
    *,
    targets: tuple[str, ...],
    refresh: bool,
    export_to: Path | None,
    import_from: str | None,
    as_json: bool,
    verbose: bool,
    quiet: bool,
    **settings: str | None,
) -> int:
    """Learn all names, exact sizes and times below TARGET, mostly entries such as EMPIAR-10934.

    They are kept beside the cache, for all mounts and commands: find, du and ls ask for nothing
    then. Ctrl-C ends it, and the next time it goes on where it was.
    """
    from empiarfs.cli.archives import Archives
    from empiarfs.cli.failures import Failures
    from empiarfs.cli.output import Form, Output
    from empiarfs.core.targets import ALL

    if not targets and (import_from is None or export_to is not None):
        raise click.UsageError("nothing to index: name an entry, such as EMPIAR-10934")
    if export_to is not None:
        from empiarfs.browse.table_files import check_format

        check_format(export_to)
    since_s = time.time() - (0.0 if refresh else _BELIEVED_S)
    with Failures() as failures, Archives(settings, verbose=verbose, quiet=quiet) as archives:
        places = [archives.find(word) for word in targets]
        _check(places)
        if import_from is not None:
            said = _imported(archives.find(ALL)[1], import_from)
            if not (quiet or as_json):
                click.echo(said)
        with Output(Form(as_json=as_json)) as output:
            for target, archive in places:
                with failures.caught(target.spelt):
                    indexed = _index(target, archive, since_s, failures, quiet=quiet)
                    if as_json:
                        output.value(indexed.to_json())
                    elif not quiet:
                        output.line(indexed.line)
                    output.flush()
        if export_to is not None:
            said = _exported(places, export_to)
            if not (quiet or as_json):
                click.echo(said)
    return failures.status


def _check(places: list[tuple[Target, Archive]]) -> None:
    """Refuse what can't be done, before anything is asked."""
    for target, archive in places:
        if not target.path:
            raise ConfigError("all of the archive can't be indexed at once: name entries")
        if archive is not places[0][1]:
            raise ConfigError("these lie in several archives, or have several cache directories")


def _imported(archive: Archive, source: str) -> str:
    """Take what a file says, and return how much that is."""
    from empiarfs.browse.table_files import import_index
    from empiarfs.cli.knowing import age_words, downloaded
    from empiarfs.core.secrets import shown_url

    catalog, url = archive.tree_parts.catalog, archive.tree_parts.client.base_url
    if re.match("https?://", source, re.IGNORECASE):
        shown = shown_url(source) if "@" in source else source
        with downloaded(archive.config, source, archive.tree_parts.counters) as file:
            taken = import_index(catalog, url, file, shown)
    else:
        taken = import_index(catalog, url, Path(source))
    age = age_words(taken.oldest_s)
    return (
        f"took {_count(taken.stored, 'directory', 'directories')} of {taken.directories:,}, with "
        f"{_count(taken.files, 'file')} in all; the oldest listing is {age}"
    )


def _exported(places: list[tuple[Target, Archive]], file: Path) -> str:
    """Write what is known of the targets, and return how much that is."""
    from empiarfs.browse.table_files import export_index
    from empiarfs.cli.described import described_here

    archive = places[0][1]
    tops = [target.path for target, _ in places]
    parts = archive.tree_parts
    role = described_here(tops, archive.config).role
    rows = export_index(parts.catalog, parts.client.base_url, tops, file, role)
    return f"wrote {_count(rows, 'row')} to {file}"


def _index(
    target: Target, archive: Archive, since_s: float, failures: Failures, *, quiet: bool
) -> _Indexed:
    """Index one target, and tell what of it couldn't be had."""
    from empiarfs.browse.indexing import IndexConfig, Indexer
    from empiarfs.cli.failures import note
    from empiarfs.cli.index_progress import telling
    from empiarfs.errors import CacheError, NotDirectoryError

    parts = archive.tree_parts
    before, began_s = parts.counters["requests"], time.monotonic()
    if not archive.browser.look(target.path).is_directory:
        raise NotDirectoryError(target.path)
    indexer = Indexer(
        parts.tree,
        IndexConfig(since_s, archive.config.lookup_s, archive.config.wait_s),
        parts.client.wait_until_reachable,
    )
    with telling(target.spelt, quiet=quiet) as tell:
        progress = indexer.run(target.path, tell)
    for each in progress.unknown:
        below = each.path[len(target.path) :].lstrip("/")
        failures.add(target.spell(below, is_directory=each.is_directory), each.error)
    if progress.refused and not quiet:
        note(f"{progress.refused} names can't be served; -v shows them")
    if not parts.catalog.flush(_WRITE_S) or parts.catalog.dropped:
        why = parts.catalog.unwell or "its disk is too slow"
        raise CacheError(f"not all could be written to {parts.catalog.path}: {why}")
    requests = parts.counters["requests"] - before
    return _Indexed(target, progress, requests, time.monotonic() - began_s)


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"
