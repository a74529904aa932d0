"""What sources of images and of tables have in common: a list of files, a partition for each."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Any, TypeVar

from empiarfs.python.file import ArchiveFile
from empiarfs.python.file import open as open_file

File = str | os.PathLike[str] | ArchiveFile
_Self = TypeVar("_Self", bound="FileSource")


class FileSource(ABC):
    """The files of one kind, each of which is a partition.

    Attributes:
        metadata: What was given; nothing is done with it.
    """

    container = "xarray"

    def __init__(
        self, urlpath: File | Iterable[File], metadata: dict[str, Any] | None = None
    ) -> None:
        if isinstance(urlpath, (str, os.PathLike, ArchiveFile)):
            urlpath = [urlpath]
        self._files = list(urlpath)
        self.metadata = dict(metadata or {})
        self._dataset: Any = None
        if not self._files:
            raise ValueError("there is no file to be read")

    @property
    def npartitions(self) -> int:
        """How many files there are."""
        return len(self._files)

    def read_partition(self, i: int) -> Any:
        """Return what is in one file, by its number from 0.

        Raises:
            IndexError: There is none of that number.
            OSError: It can't be had.
            ValueError: It is none that can be read.
            ImportError: A package is missing.
        """
        if not 0 <= i < self.npartitions:
            raise IndexError(f"{i}: there are {self.npartitions} partitions, counted from 0")
        check_packages()
        return self._partition(i)

    @abstractmethod
    def _partition(self, i: int) -> Any: ...

    @abstractmethod
    def to_dask(self) -> Any:
        """Return what is in all files as a Dataset of dask."""

    @abstractmethod
    def read(self) -> Any:
        """Return what is in all files as a Dataset in memory."""

    def close(self) -> None:
        """Let go of what was read."""
        self._dataset = None

    def __enter__(self: _Self) -> _Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def opened(file: File) -> AbstractContextManager[ArchiveFile]:
    """Lend an open file; one that is somebody else's isn't closed."""
    return nullcontext(file) if isinstance(file, ArchiveFile) else open_file(file)


def check_packages() -> None:
    """Raise an ImportError that says what to install, if one of the packages is missing."""
    try:
        import dask.array  # noqa: F401 # told before anything is fetched
        import xarray  # noqa: F401 # which brings pandas
    except ImportError as exc:
        raise ImportError(f"{exc.name} is missing: pip install 'empiarfs[arrays]'") from exc
