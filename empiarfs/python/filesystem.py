"""The archive for fsspec: `fsspec.filesystem("empiar")`, `fsspec.open("empiar://10934/…")`.

Everything that reads by fsspec (pandas, dask, zarr, xarray, pyarrow) reads by this. Names come
from the listings, sizes are exact and are asked for where they are part of the answer only:
`ls`, `find` and `glob` without `detail` cost listings, with it the sizes of what they return.

A path may name the version of a file that is meant (`empiarfs.python.versioned`): its bytes are
of that version then, or can't be had. Names are found as without it.

Unlike fsspec's own file systems, a directory that can't be listed makes a search fail, unless
`on_error` says otherwise: an answer that lacks names looks like a complete one.

Needs fsspec, as `pip install 'empiarfs[fsspec]'` brings it.

Threading: safe from any thread.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from typing import Any, NoReturn

try:
    from fsspec.spec import AbstractFileSystem
except ImportError as exc:
    raise ImportError("fsspec is missing: pip install 'empiarfs[fsspec]'") from exc

from empiarfs.browse import Exact, Item
from empiarfs.core import paths
from empiarfs.core.ranges import ByteRange
from empiarfs.errors import ReadOnlyError
from empiarfs.python.buffered import BUFFER, BufferedFile
from empiarfs.python.failures import as_python_error
from empiarfs.python.file import ArchiveFile, opened_file
from empiarfs.python.hints import hint
from empiarfs.python.session import (
    Live,
    Session,
    Settings,
    default_session,
    session_of,
    with_settings,
)
from empiarfs.python.versioned import check_version, split_version, with_version

_PREFIX = "empiar:"

Info = dict[str, Any]


class EmpiarFileSystem(AbstractFileSystem):
    """EMPIAR's archive, read-only; paths are `10934/data/x.mrc`, also behind `empiar://`.

    Args:
        settings: As `empiarfs.configure` takes them, such as `archive_url`; those that were
            configured count where there is none.
        options: Those of fsspec.
    """

    protocol = "empiar"
    root_marker = ""
    # Listings are kept by the parts below, and by no rule of fsspec.
    use_listings_cache = False

    def __init__(self, *, skip_instance_cache: bool = False, **settings: Any) -> None:
        super().__init__(skip_instance_cache=skip_instance_cache, **settings)
        for name in ("asynchronous", "loop", "batch_size", "use_listings_cache"):
            settings.pop(name, None)
        with_settings((), settings)
        self._given = settings

    @property
    def _session(self) -> Session:
        # Not made once: fsspec hands the same object out for the same arguments, whatever
        # `configure` said meanwhile.
        default = default_session()
        if not self._given:
            return default
        return session_of(with_settings(default.settings, self._given))

    def __reduce__(self) -> tuple[object, ...]:
        return _made, (type(self), self._session.settings)

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(each) for each in path]
        text = str(path)
        if text[: len(_PREFIX)].lower() == _PREFIX:
            text = text[len(_PREFIX) :]
        version, path = split_version("/".join(name for name in text.split("/") if name))
        return with_version(version, paths.canonical(path))

    @classmethod
    def _split(cls, path: Any) -> tuple[str | None, str]:
        """Return which version of a file is meant, or None, and its path."""
        return split_version(cls._strip_protocol(path))

    @classmethod
    def _parent(cls, path: str) -> str:
        return paths.split(cls._split(path)[1])[0]

    # -- names -----------------------------------------------------------------------------

    def ls(self, path: str, detail: bool = True, *, sizes: bool = True, **kwargs: Any) -> Any:
        """Return what is in a directory; of a file, itself.

        Args:
            path: The directory.
            detail: Return dictionaries as `info` does, not names.
            sizes: With `detail`, ask for exact sizes; without them `size` is None.
            kwargs: Nothing.

        Raises:
            OSError: It isn't there, or can't be listed; or a size can't be had.
        """
        path = self._split(path)[1]
        return self._session.ask(path, lambda live: _listed(live, path, detail, sizes))

    def info(self, path: str, **kwargs: Any) -> Info:
        """Return what is known of a file or directory.

        `name`; `type`, "file" or "directory"; `size`, in bytes; for a file also `mtime`, in
        seconds since 1970, and `version`, which differs for different versions.

        Raises:
            OSError: It isn't there, can't be had, or is of another version than the path names.
        """
        version, path = self._split(path)

        def ask(live: Live) -> Info:
            [exact] = live.browser.exact([live.browser.look(path)])
            return _info(exact)

        info = self._session.ask(path, ask)
        check_version(info.get("version"), version, path, self.url(path))
        return info

    def exists(self, path: str, **kwargs: Any) -> bool:
        """Tell whether there is something; raise OSError if that can't be told."""
        return self._look(path) is not None

    def isdir(self, path: str) -> bool:
        """Tell whether there is a directory; raise OSError if that can't be told."""
        found = self._look(path)
        return found is not None and found.is_directory

    def isfile(self, path: str) -> bool:
        """Tell whether there is a file; raise OSError if that can't be told."""
        found = self._look(path)
        return found is not None and not found.is_directory

    def _look(self, path: str) -> Item | None:
        path = self._split(path)[1]
        try:
            return self._session.ask(path, lambda live: live.browser.look(path))
        except FileNotFoundError:
            return None

    def walk(
        self,
        path: str,
        maxdepth: int | None = None,
        topdown: bool = True,
        on_error: str | Callable[[OSError], object] = "raise",
        **kwargs: Any,
    ) -> Iterator[tuple[str, Any, Any]]:
        """Yield a directory and those below it, as fsspec does; see the module for errors."""
        if maxdepth is not None and maxdepth < 1:
            raise ValueError("maxdepth has to be at least 1")
        detail, sizes = kwargs.get("detail", False), kwargs.get("sizes", True)
        path = self._split(path)[1]
        try:
            found = self.ls(path, detail=True, sizes=detail and sizes)
        except FileNotFoundError:
            return  # as of a directory that is empty; fsspec's own do so as well
        except OSError as exc:
            if on_error == "raise":
                raise
            if callable(on_error):
                on_error(exc)
            return
        folders = {_name(info): info for info in found if info["type"] == "directory"}
        # A file is found in itself, without a name.
        files = {
            "" if info["name"] == path else _name(info): info
            for info in found
            if info["type"] == "file"
        }
        row = (path, folders, files) if detail else (path, list(folders), list(files))
        if topdown:
            yield row
        if maxdepth is None or maxdepth > 1:
            deeper = None if maxdepth is None else maxdepth - 1
            for name in list(row[1]):
                below = paths.join(path, name)
                yield from self.walk(below, deeper, topdown, on_error, detail=detail, sizes=sizes)
        if not topdown:
            yield row

    def find(
        self,
        path: str,
        maxdepth: int | None = None,
        withdirs: bool = False,
        detail: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Return all files below a directory, sorted; with `detail` as `info` has them."""
        kwargs["sizes"] = kwargs.get("sizes", True) and detail
        return super().find(path, maxdepth, withdirs, detail, **kwargs)

    def glob(self, path: str, maxdepth: int | None = None, **kwargs: Any) -> Any:
        """Return what matches a pattern, sorted; see fsspec's for patterns."""
        kwargs.setdefault("sizes", kwargs.get("detail", False))
        return super().glob(path, maxdepth, **kwargs)

    def url(self, path: str) -> str:
        """Return where the archive has it."""
        return self._session.config.archive_url + paths.url_path(self._split(path)[1])

    def modified(self, path: str) -> datetime.datetime:
        """Return when a file was changed last.

        Raises:
            OSError: It isn't there, can't be had, or the archive doesn't tell.
        """
        seconds = self.info(path).get("mtime")
        if seconds is None:
            raise FileNotFoundError(f"the archive doesn't tell when {path!r} was changed")
        return datetime.datetime.fromtimestamp(seconds, tz=datetime.timezone.utc)

    # -- bytes -----------------------------------------------------------------------------

    def _open(
        self, path: str, mode: str = "rb", block_size: int | None = None, **kwargs: Any
    ) -> BufferedFile:
        if mode not in ("rb", "r"):
            self._refuse(path)
        size = block_size if isinstance(block_size, int) and block_size > 0 else BUFFER
        return BufferedFile(self._opened(path), size)

    def cat_file(
        self, path: str, start: int | None = None, end: int | None = None, **kwargs: Any
    ) -> bytes:
        """Return bytes of a file: from `start` up to `end`, either counted from its end if < 0.

        Raises:
            OSError: They can't be had.
        """
        with self._opened(path) as file:
            return _slice(file, start, end)

    def _opened(self, path: str) -> ArchiveFile:
        version, name = self._split(path)
        file = opened_file(self._session, name)
        try:
            check_version(str(file.version), version, name, file.url)
        except OSError:
            file.close()
            raise
        return file

    def cat_ranges(
        self,
        paths: list[str],
        starts: int | list[int] | None,
        ends: int | list[int] | None,
        max_gap: int | None = None,
        on_error: str = "return",
        **kwargs: Any,
    ) -> list[Any]:
        """Return many ranges, which are fetched side by side.

        Args:
            paths: The file of each.
            starts: Offset of the first byte of each, or one for all.
            ends: Offset behind the last byte of each, or one for all.
            max_gap: Nothing; what lies side by side is fetched together in any case.
            on_error: "return" puts the exception in the place of the bytes; "raise" raises it.
            kwargs: Nothing.
        """
        first = starts if isinstance(starts, Iterable) else [starts] * len(paths)
        last = ends if isinstance(ends, Iterable) else [ends] * len(paths)
        wanted = list(zip(paths, first, last, strict=True))
        known = [
            (self._split(path)[1], ByteRange(start or 0, stop))
            for path, start, stop in wanted
            if stop is not None and 0 <= (start or 0) <= stop
        ]
        hint(self._session, known)
        with ExitStack() as stack:
            files: dict[str, ArchiveFile] = {}
            return [self._range_of(stack, files, *each, on_error) for each in wanted]

    def _range_of(
        self,
        stack: ExitStack,
        files: dict[str, ArchiveFile],
        path: str,
        start: int | None,
        stop: int | None,
        on_error: str,
    ) -> bytes | OSError:
        """Return a range; a file stays open for the next of its ranges."""
        name = self._strip_protocol(path)
        try:
            if name not in files:
                files[name] = stack.enter_context(self._opened(name))
            return _slice(files[name], start, stop)
        except OSError as exc:
            if on_error != "return":
                raise
            return exc

    # -- what would write ------------------------------------------------------------------

    def _refuse(self, path: object = "", *args: Any, **kwargs: Any) -> NoReturn:
        error = ReadOnlyError("read-only")
        raise as_python_error(error, str(path)) from error

    mkdir = makedirs = rmdir = rm = rm_file = _rm = mv = cp_file = copy = _refuse
    pipe_file = pipe = put_file = put = touch = write_text = _refuse


def _listed(live: Live, path: str, detail: bool, sizes: bool) -> list[Any]:
    browser = live.browser
    start = browser.look(path)
    items = browser.children(start) if start.is_directory else [start]
    if not detail:
        return [item.path for item in items]
    found = browser.exact(items) if sizes else (Exact(item) for item in items)
    return [_info(exact) for exact in found]


def _info(exact: Exact) -> Info:
    if exact.error is not None:
        raise exact.error
    item, version = exact.item, exact.version
    if item.is_directory:
        return {"name": item.path, "size": 0, "type": "directory"}
    if version is None:
        return {"name": item.path, "size": None, "type": "file"}
    known = {"name": item.path, "size": version.size, "type": "file"}
    return known | {"mtime": version.modified_s, "version": str(version)}


def _name(info: Info) -> str:
    return str(info["name"]).rpartition("/")[2]


def _slice(file: ArchiveFile, start: int | None, end: int | None) -> bytes:
    """Return the bytes that Python's slice of the file would have; nothing else is fetched."""
    first, last, _ = slice(start, end).indices(file.size)
    size = max(0, last - first)
    # Up to the end of the file there is nothing else, and its reads prepare for a stream.
    ahead = last == file.size
    return file.pread(size, first) if ahead else b"".join(file.read_ranges([(first, size)]))


def _made(cls: type[EmpiarFileSystem], settings: Settings) -> EmpiarFileSystem:
    given: dict[str, Any] = dict(settings)
    return cls(**given)
