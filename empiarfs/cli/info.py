"""The command `info`: what an entry is, or where a file is and what is in it.

With `--json` each TARGET is an object, and several, or what a pattern matches, are an array of
them. The key `type` says which keys there are beside `target`, which is TARGET as it was given:

    "entry"  the fields of `empiarfs.core.entries.Entry` by their names, and
             accession, url (of its page), source ("api" or "xml"), fetched_s (seconds since
             1970), problem (why it is no younger, or null), and acquisitions, of the maps
             of EMDB that it names: emdb, voltage (kV), spherical_aberration (mm), dose
             (e/Å²), microscope, detector
    "file"   path, url, size (bytes), modified_s (seconds since 1970, or null), validator,
             cached (bytes in the cache directory), format (in words), problem (or null),
             contents (what the file says of itself, or null), bytes_read (to find that out)

Keys may be added, and don't change.

Threading: used from one thread.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Protocol

import click

from empiarfs.cli.helped import Command
from empiarfs.cli.options import information_options, settings_from
from empiarfs.core.globs import path_glob
from empiarfs.core.targets import Target, entry_number

if TYPE_CHECKING:
    from empiarfs.cli.archives import Archives
    from empiarfs.cli.entry_info import Age
    from empiarfs.cli.failures import Failures
    from empiarfs.cli.output import Output
    from empiarfs.config import Config
    from empiarfs.mount.places import Place


class Told(Protocol):
    """What is known of an entry, or of a file."""

    def to_json(self) -> dict[str, Any]:
        """Return it as values that JSON can hold."""
        ...

    def lines(self, *, verbose: bool) -> Iterator[str]:
        """Yield it for people; each line is safe to print."""
        ...


@click.command("info", cls=Command)
@click.argument("words", metavar="TARGET...", nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--offline", is_flag=True, help="Of entries: ask nobody, say what is known here.")
@click.option("--refresh", is_flag=True, help="Of entries: ask, however young what is known is.")
@information_options
def command(
    *,
    words: tuple[str, ...],
    as_json: bool,
    offline: bool,
    refresh: bool,
    verbose: bool,
    quiet: bool,
    **settings: str | None,
) -> int:
    """Tell what each entry TARGET is, or what is in each file TARGET.

    Of an entry: who made it, how big it is, what its image sets hold. Of a file: where it is,
    how big, and what it says of itself; as little of it as will do is read.
    """
    from empiarfs.cli.entry_info import Age
    from empiarfs.cli.failures import Failures
    from empiarfs.cli.logged import logged
    from empiarfs.cli.output import Form, Output
    from empiarfs.cli.targets import located

    if offline and refresh:
        raise click.UsageError("--offline and --refresh contradict each other")
    config = settings_from(settings)
    places = [located(word, config.archive_url) for word in words]
    file = next((target for target, _ in places if _entry_in(target) is None), None)
    if file is not None and (offline or refresh):
        raise click.UsageError(
            f"--offline and --refresh are for entries, and {file.spelt} is none"
        )
    age = Age(offline=offline, refresh=refresh)
    with (
        logged(verbose=verbose, quiet=quiet),
        Failures() as failures,
        _Teller(config, settings, age, verbose, quiet) as teller,
    ):
        found = teller.expanded(places, failures)
        # One word that is a pattern may match one file or many.
        is_alone = len(words) == 1 and [target for target, _ in found] == [places[0][0]]
        with Output(Form(as_json=as_json and not is_alone)) as output:
            for number, (target, place) in enumerate(found):
                with failures.caught(target.spelt):
                    told = teller.told(target, place)
                    if as_json:
                        _print_json(told, output, is_alone=is_alone)
                    else:
                        _print_lines(told, output, verbose=verbose, is_first=not number)
                # Before the next one's failure is told on stderr.
                output.flush()
        teller.tell_age()
    return failures.status


def _entry_in(target: Target) -> int | None:
    """Return the number of the entry that a target is; None if it lies in one, or in none."""
    return None if "/" in target.path else entry_number(target.path)


class _Teller:
    """Finds out about targets; what it takes is made when it is first needed.

    An entry that is known takes no longer than Python, click and SQLite do.
    """

    def __init__(
        self,
        config: Config,
        settings: Mapping[str, str | None],
        age: Age,
        verbose: bool,
        quiet: bool,
    ) -> None:
        self._config = config
        self._settings = settings
        self._age = age
        self._verbose = verbose
        self._quiet = quiet
        self._archives: Archives | None = None
        self._stack = ExitStack()

    def __enter__(self) -> _Teller:
        return self

    def __exit__(self, *details: object) -> None:
        self._stack.close()

    def expanded(
        self, places: Sequence[tuple[Target, Place | None]], failures: Failures
    ) -> list[tuple[Target, Place | None]]:
        """Return what the targets name, those with wildcards expanded."""
        found: list[tuple[Target, Place | None]] = []
        for target, place in places:
            names = [target]
            if path_glob(target.path) is not None:
                names = self._opened().expanded(*self._opened().at(target, place), failures)
            found += [(name, place) for name in names]
        return found

    def told(self, target: Target, place: Place | None) -> Told:
        """Return what is known of a target.

        Raises:
            EmpiarFSError: It isn't there, or nothing can be known of it.
        """
        number = _entry_in(target)
        if number is None:
            from empiarfs.cli.file_info import file_info

            return file_info(*self._opened().at(target, place))
        from empiarfs.cli.entry_info import entry_info

        config = self._config
        if place is not None:
            config = place.settings(config, self._settings)
        return entry_info(config, number, self._age, target=target.spelt, quiet=self._quiet)

    def tell_age(self) -> None:
        """Say how old it is what was told of files while the archive couldn't be reached."""
        if self._archives is not None:
            self._archives.tell_age()

    def _opened(self) -> Archives:
        if self._archives is None:
            from empiarfs.cli.archives import Archives

            archives = Archives(
                self._settings, reads=True, verbose=self._verbose, quiet=self._quiet
            )
            self._archives = self._stack.enter_context(archives)
        return self._archives


def _print_json(told: Told, output: Output, *, is_alone: bool) -> None:
    if is_alone:
        output.line(json.dumps(told.to_json(), indent=2))
    else:
        output.value(told.to_json())


def _print_lines(told: Told, output: Output, *, verbose: bool, is_first: bool) -> None:
    if not is_first:
        output.line("")
    for line in told.lines(verbose=verbose):
        output.line(line)
