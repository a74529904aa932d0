"""Opens what TARGETs name, without a mount: finds the archive, and makes its parts once.

A target is a place in the archive of the settings, or a path in a mount
(`empiarfs.cli.targets`), which is never touched: the same place is read with the same cache
directory and catalog, through the same connection budget. So a mount that hangs holds no
command up.

Threading: used from one thread.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import click

from empiarfs.browse import Browser
from empiarfs.cli.failures import note
from empiarfs.cli.logged import logged
from empiarfs.cli.options import settings_from
from empiarfs.cli.targets import located
from empiarfs.config import Config
from empiarfs.core import paths
from empiarfs.core.targets import Target, ftp_url
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
        if not isinstance(self._parts, Parts):
            raise AssertionError("opened for names only")
        return self._parts.files

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
        verbose: Let what the parts do be seen on stderr, not only warnings.
        quiet: Say nothing but errors.
    """

    def __init__(
        self,
        settings: Mapping[str, str | None],
        *,
        reads: bool = False,
        verbose: bool = False,
        quiet: bool = False,
    ) -> None:
        self._config = settings_from(settings)
        self._cache_given = settings.get("cache_dir") is not None
        self._reads = reads
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

    def find(self, word: str) -> tuple[Target, Archive]:
        """Return what a word names, and the archive that it lies in.

        Raises:
            ConfigError: It names nothing that could be in an archive.
            MountError: It lies in a mount that doesn't answer.
        """
        return self.at(*located(word, self._config.archive_url))

    def at(self, target: Target, place: Place | None) -> tuple[Target, Archive]:
        """Return a target, and the archive that it lies in, as `located` says where."""
        return target, self._archive(self._config if place is None else self._config_of(place))

    def _config_of(self, place: Place) -> Config:
        config = replace(self._config, archive_url=place.archive_url)
        if not self._cache_given:
            # It serves that mount, so whatever disk it is on has been accepted.
            config = replace(config, cache_dir=place.cache_dir, force=True)
        return config

    def _archive(self, config: Config) -> Archive:
        key = (config.archive_url, config.cache_dir)
        if key not in self._archives:
            parts = build(config) if self._reads else build_tree(config)
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

    def tell_age(self) -> None:
        """Say how old it is what was told while the archive couldn't be reached."""
        for archive in self._archives.values():
            if archive.is_stale and not self._quiet:
                since = time.strftime("%Y-%m-%d %H:%M", time.localtime(archive.browser.oldest_s))
                note(f"the archive can't be reached; this is from {since}")
