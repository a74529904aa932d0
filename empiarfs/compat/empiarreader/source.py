"""The files in a directory of an entry, by EMPIARreader's `EmpiarSource`."""

from __future__ import annotations

import errno
import fnmatch
import posixpath
import re
from collections.abc import Callable
from types import TracebackType
from typing import Any

from empiarfs.compat.empiarreader.files import FileSource
from empiarfs.compat.empiarreader.images import MrcSource
from empiarfs.compat.empiarreader.metadata import image_sets_of
from empiarfs.compat.empiarreader.stars import StarSource
from empiarfs.core import paths
from empiarfs.core.entries import tidy
from empiarfs.python.arrays import plain_name
from empiarfs.python.entry import entry
from empiarfs.python.places import located
from empiarfs.python.session import Live, Session

Driver = Callable[..., Any]
_DRIVERS: dict[str, type[FileSource]] = {"mrc": MrcSource, "mrcs": MrcSource, "star": StarSource}


class EmpiarSource:
    """The files directly in a directory of an entry, each of which is a partition.

    Nothing is asked for before an answer is needed. Files are in the order of the listing.

    Args:
        empiar_index: The entry: 10934, "EMPIAR-10934", its DOI.
        directory: Below the entry's own, such as "data/movies".
        driver: What reads the files: "mrc", "star", or a class that is called with the files as
            `urlpath`, such as one of intake's; they are `empiar://` URLs for fsspec. By default
            what the name of the first file says: STAR files are tables, all others images.
        filename: A pattern for the file's URL, so that one for names begins with "*"; all files
            if it is None.
        regexp: It is a regular expression, which has to match from the URL's start, and need
            not reach to its end.
        imageset_metadata: What EMPIAR says of the image set; looked up if it is None.
        metadata: Kept as it is.

    Attributes:
        empiar_index: As given.
        directory: As given.
        metadata: As given.
        image_url_regexp: The pattern as a regular expression; None if there is none.

    Raises:
        ConfigError: It names no entry.
        ValueError: It is no driver.
        re.error: It is no regular expression.
    """

    name = "empiar"
    container = "xarray"

    def __init__(
        self,
        empiar_index: int | str,
        directory: str,
        driver: str | Driver | None = None,
        filename: str | None = None,
        regexp: bool = False,
        imageset_metadata: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        if isinstance(driver, str) and driver.lower() not in _DRIVERS:
            raise ValueError(f"{driver!r} is no driver: mrc, mrcs, star, or a class")
        self.empiar_index = empiar_index
        self.directory = directory
        self.metadata = dict(metadata or {})
        self.image_url_regexp: re.Pattern[str] | None = None
        if filename:
            self.image_url_regexp = re.compile(filename if regexp else fnmatch.translate(filename))
        self._driver = _DRIVERS[driver.lower()] if isinstance(driver, str) else driver
        self._image_set = imageset_metadata
        self._number = entry(empiar_index).number
        self._found: tuple[str, ...] | None = None
        self._source: Any = None

    def __repr__(self) -> str:
        return f"<EmpiarSource EMPIAR-{self._number}: {self.directory}>"

    @property
    def data_directory_url(self) -> str:
        """Where the archive has the directory."""
        session, path = self._place()
        return session.config.archive_url + paths.url_path(path)

    @property
    def imageset_metadata(self) -> dict[str, Any]:
        """What EMPIAR says of the image set in this directory, by its own names; {} if nothing.

        Raises:
            OSError: There is no such entry, or it can't be had.
        """
        if self._image_set is None:
            here = self.directory.strip("/")
            sets = image_sets_of(self._number).values()
            same = (each for each in sets if tidy.directory_of(each.get("directory")) == here)
            self._image_set = next(same, {})
        return self._image_set

    @property
    def files(self) -> tuple[str, ...]:
        """Paths of the files below the archive's root, as `empiarfs.open` takes them.

        Raises:
            OSError: There is no such directory, or it can't be had.
        """
        if self._found is None:
            session, path = self._place()

            def ask(live: Live) -> tuple[str, ...]:
                items = live.browser.children(live.browser.look(path))
                return tuple(item.path for item in items if not item.is_directory)

            root = session.config.archive_url
            self._found = tuple(
                each for each in session.ask(path, ask) if self._is_meant(root, each)
            )
        return self._found

    @property
    def npartitions(self) -> int:
        """How many files there are."""
        return len(self.files)

    def read_partition(self, i: int) -> Any:
        """Return what is in one file, by its number from 0; see `MrcSource`, `StarSource`.

        Raises:
            IndexError: There is none of that number.
            OSError: It can't be had, or no file is meant at all.
            ValueError: It is none that can be read.
            ImportError: A package is missing.
        """
        return self._opened().read_partition(i)

    def read(self) -> Any:
        """Return what is in all files, in memory; see `read_partition` for errors."""
        return self._opened().read()

    def to_dask(self) -> Any:
        """Return the same, of dask; see `read_partition` for errors."""
        return self._opened().to_dask()

    def close(self) -> None:
        """Let go of what was read, and look for the files anew."""
        if self._source is not None:
            self._source.close()
        self._source = self._found = None

    def __enter__(self) -> EmpiarSource:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _place(self) -> tuple[Session, str]:
        return located(posixpath.join(f"empiar:{self._number}", self.directory.strip("/")))

    def _is_meant(self, root: str, path: str) -> bool:
        """Tell whether a file's URL matches, as it is sent or as it is read."""
        pattern = self.image_url_regexp
        return pattern is None or any(
            pattern.match(root + spelt) for spelt in (paths.url_path(path), path)
        )

    def _opened(self) -> Any:
        if self._source is None:
            if not self.files:
                raise FileNotFoundError(
                    errno.ENOENT, "none of its files is meant", self.data_directory_url
                )
            driver = self._driver or _driver_for(self.files[0])
            self._source = driver(urlpath=[f"empiar://{path}" for path in self.files])
        return self._source


def _driver_for(path: str) -> type[FileSource]:
    return StarSource if plain_name(path).lower().endswith(".star") else MrcSource
