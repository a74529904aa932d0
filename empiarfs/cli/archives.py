"""Opens what TARGETs name, without a mount: finds the archive, and makes its parts once.

A target is a place in the archive of the settings, or a path in a mount
(`empiarfs.cli.targets`), which is never touched: the same place is read with the same cache
directory and catalog, through the same connection budget. So a mount that hangs holds no
command up.

Threading: used from one thread.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import click

from empiarfs.browse import Browser, Item
from empiarfs.cli.failures import Failures, note
from empiarfs.cli.logged import logged
from empiarfs.cli.options import settings_from
from empiarfs.cli.targets import located, looked_for
from empiarfs.cli.terminal import in_one_line
from empiarfs.config import Config
from empiarfs.core import paths
from empiarfs.core.globs import path_glob
from empiarfs.core.targets import Target, ftp_url
from empiarfs.errors import ConfigError, EmpiarFSError, NoSuchNameError
from empiarfs.mount.composition import Parts, TreeParts, build, build_tree
from empiarfs.mount.places import Place
from empiarfs.patience import Patience

if TYPE_CHECKING:
    from empiarfs.vfs import FileSystem

# When a person in front of a terminal begins to wonder.
_WONDER_S = 5.0


@dataclass(slots=True)
class Archive:
    """One archive by one cache directory, and its parts as far as they are needed.

    Attributes:
        config: Its settings.
        browser: Its names and sizes.
    """

    config: Config
    browser: Browser
    _parts: TreeParts | Parts
    _waiting: Callable[[], bool]

    @property
    def files(self) -> FileSystem:
        """Its files, to be read."""
        return self.parts.files

    @property
    def tree_parts(self) -> TreeParts | Parts:
        """What tells names, sizes and versions."""
        return self._parts

    @property
    def parts(self) -> Parts:
        """What it is made of."""
        if not isinstance(self._parts, Parts):
            raise AssertionError("opened for names only")
        return self._parts

    def url(self, path: str, *, is_directory: bool, ftp: bool = False) -> str:
        """Return the URL of what lies at a path, by HTTPS or by FTP."""
        slash = "/" * (is_directory and bool(path))
        url = f"{self.config.archive_url}{paths.url_path(path)}{slash}"
        return ftp_url(url) if ftp else url

    def reading(self) -> Patience:
        """Return how long one read may wait."""
        return Patience(self.config.wait_s, self._waiting)

    def looking(self) -> Patience:
        """Return how long one look-up may wait."""
        return Patience(self.config.lookup_s, self._waiting)

    def expand(self, target: Target, failures: Failures) -> list[Target]:
        """Return what a target with wildcards matches, by path; nothing if it has none."""
        glob = path_glob(target.path)
        if glob is None or not target.spelt.endswith(glob.pattern):
            return []
        try:
            self.browser.look(target.path)
            return []  # a name with such a character in it
        except NoSuchNameError:
            pass
        except EmpiarFSError:
            return []  # the caller will meet it as well
        skip = len(glob.base) + bool(glob.base)
        found: list[str] = []

        def failed(item: Item, error: EmpiarFSError) -> None:
            # Of where it begins, the caller will say so.
            if item.path != glob.base:
                failures.add(target.at_end(glob.pattern, item.path[skip:]).spelt, error)

        for _, children in self.browser.walk(
            Item(glob.base, True), lambda item: glob.may_lead_to_one(item.path[skip:]), failed
        ):
            below = (item.path[skip:] for item in children)
            found += [path for path in below if glob.matches(path)]
        found.sort(key=lambda path: path.encode("utf-8", "surrogateescape"))
        return [target.at_end(glob.pattern, path) for path in found]

    @property
    def is_stale(self) -> bool:
        """Whether what it told may be out of date, as the archive can't be reached."""
        return bool(self._parts.counters.statistics().counters.get("stale_listings"))

    def close(self) -> None:
        """End all its threads, and write what is to be kept."""
        self._parts.close()


class Archives:
    """The archives that a command's targets lie in; closed by `with`.

    Args:
        settings: The settings on the command line, by name; None for those not given.
        reads: Files are to be read, not only looked at.
        keeps: Keep what is read in the cache.
        written: A directory that the command writes to: what lies there, or around it, is no
            local copy.
        verbose: Let what the parts do be seen on stderr, not only warnings.
        quiet: Say nothing but errors.
    """

    def __init__(
        self,
        settings: Mapping[str, str | None],
        *,
        reads: bool = False,
        keeps: bool = True,
        written: Path | None = None,
        verbose: bool = False,
        quiet: bool = False,
    ) -> None:
        self._config = settings_from(settings)
        if written is not None and self._config.local:
            local = tuple(each for each in self._config.local if not _overlap(each, written))
            self._config = replace(self._config, local=local)
        self._settings = settings
        self._reads = reads
        self._keeps = keeps
        self._quiet = quiet
        self._archives: dict[tuple[str, Path | None], Archive] = {}
        self._began_s = time.monotonic()
        self._told = False
        self._logged = logged(verbose=verbose, quiet=quiet)
        self._stack = ExitStack()

    def __enter__(self) -> Archives:
        self._stack.enter_context(self._logged)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._stack:
            for archive in self._archives.values():
                archive.close()

    @property
    def config(self) -> Config:
        """The settings."""
        return self._config

    def find(self, word: str) -> tuple[Target, Archive]:
        """Return what a word names, and the archive that it lies in.

        Raises:
            ConfigError: It names nothing that could be in an archive.
            MountError: It lies in a mount that doesn't answer.
        """
        return self.at(*located(word, self._config.archive_url))

    def look_for(self, word: str) -> tuple[Target, Archive] | None:
        """Return what `find` does; None if it may be a local path, out of all mounts.

        Raises:
            ConfigError: It is a URL, but of nothing in the archive.
            MountError: It lies in a mount that doesn't answer.
        """
        found = looked_for(word, self._config.archive_url)
        return None if found is None else self.at(*found)

    def at(self, target: Target, place: Place | None) -> tuple[Target, Archive]:
        """Return a target, and the archive that it lies in, as `located` says where."""
        return target, self._archive(
            self._config if place is None else place.settings(self._config, self._settings)
        )

    def find_all(self, words: Sequence[str], failures: Failures) -> list[tuple[Target, Archive]]:
        """Return what words name, those with wildcards expanded as the shell does.

        A name that is there with such characters in it is meant as it is. What matches
        nothing stays as it is, for the caller to fail on.

        Raises:
            ConfigError: One names nothing that could be in an archive.
        """
        places = [self.find(word) for word in words]
        return [
            (each, archive)
            for target, archive in places
            for each in self.expanded(target, archive, failures)
        ]

    def expanded(self, target: Target, archive: Archive, failures: Failures) -> list[Target]:
        """Return what one target names; see `find_all`."""
        try:
            found = [] if target.encoded else archive.expand(target, failures)
        except ValueError as exc:
            raise ConfigError(f"{in_one_line(target.spelt)}: {exc}") from exc
        return found or [target]

    def _archive(self, config: Config) -> Archive:
        key = (config.archive_url, config.cache_dir)
        if key not in self._archives:
            parts = build(config, keeps=self._keeps) if self._reads else build_tree(config)
            browser = Browser(parts.tree, config.lookup_s, self._tell_waiting)
            self._archives[key] = Archive(config, browser, parts, self._tell_waiting)
        return self._archives[key]

    def working(self) -> None:
        """Note that something came, so that nobody wonders yet."""
        self._began_s = time.monotonic()

    def _tell_waiting(self) -> bool:
        """Tell a person, once, that the archive is waited for; never give up."""
        if self._told or self._quiet or time.monotonic() - self._began_s < _WONDER_S:
            return False
        self._told = True
        if sys.stderr.isatty():
            click.echo("empiarfs: waiting for the archive (Ctrl-C ends it)", err=True)
        return False

    def note(self, message: str) -> None:
        """Say on stderr what is no error, unless quiet."""
        if not self._quiet:
            note(message)

    def tell_age(self) -> None:
        """Say how old it is what was told while the archive couldn't be reached."""
        for archive in self._archives.values():
            if archive.is_stale:
                since = time.strftime("%Y-%m-%d %H:%M", time.localtime(archive.browser.oldest_s))
                self.note(f"the archive can't be reached; this is from {since}")


def _overlap(one: Path, other: Path) -> bool:
    """Tell whether one directory is the other, or lies in it."""
    first, second = Path(os.path.realpath(one)), Path(os.path.realpath(other))
    return first == second or first in second.parents or second in first.parents
