"""Tables of the archive as Python has them: STAR files, and SerialEM's mdoc files.

    STAR   by starfile, as pandas.DataFrame: `pip install 'empiarfs[arrays]'`
    mdoc   by a parser of our own (`empiarfs.formats.mdoc`)

Either may be packed by bzip2 or gzip. A table is read as a whole.

Threading: no state; a file may be read by several threads.
"""

from __future__ import annotations

import io
import os
import tempfile
from contextlib import nullcontext
from typing import IO, TYPE_CHECKING, Any

from empiarfs.formats import FormatError, Window
from empiarfs.formats.mdoc import Mdoc, all_of_mdoc
from empiarfs.formats.star import StarFile, parse_star
from empiarfs.python.file import ArchiveFile
from empiarfs.python.file import open as open_file
from empiarfs.python.unpacked import plain

if TYPE_CHECKING:
    from pandas import DataFrame

# A table of three million particles; pandas takes several times as much memory.
_MOST_BYTES = 1024**3
_MOST_MDOC = 16 * 1024**2
_STEP = 1024 * 1024
# What starfile raises of broken files has no class of its own.
_BROKEN = (ValueError, TypeError, LookupError, AttributeError, SyntaxError)


def read_star(file: str | os.PathLike[str] | ArchiveFile) -> dict[str, DataFrame | dict[str, Any]]:
    """Return the blocks of a STAR file by name, as starfile reads them.

    A loop is a pandas.DataFrame, and pairs of name and value are a dict.

    Args:
        file: As `empiarfs.open` takes it, or what that returned.

    Raises:
        OSError: It isn't there, or can't be had.
        ValueError: It is no STAR file, or longer than 1 GiB.
        ImportError: starfile is missing.
    """
    try:
        import starfile
    except ImportError as exc:
        raise ImportError(f"{exc.name} is missing: pip install 'empiarfs[arrays]'") from exc
    # starfile takes the name of a local file only.
    with tempfile.NamedTemporaryFile(prefix="empiarfs-", suffix=".star") as copy:
        with nullcontext(file) if isinstance(file, ArchiveFile) else open_file(file) as opened:
            path = opened.path
            size = _copied(path, plain(opened), copy)
        try:
            blocks: dict[str, Any] = starfile.read(copy.name, always_dict=True)
            _check(blocks, parse_star(_window(copy, size)))
        except (*_BROKEN, FormatError) as exc:
            raise ValueError(f"{path}: no STAR file that can be read: {exc}") from exc
    return blocks


def read_mdoc(file: str | os.PathLike[str] | ArchiveFile) -> Mdoc:
    """Return what an mdoc file says of a tilt series or a movie.

    Args:
        file: As `empiarfs.open` takes it, or what that returned.

    Raises:
        OSError: It isn't there, or can't be had.
        ValueError: It is no mdoc file, or longer than 16 MiB.
    """
    with nullcontext(file) if isinstance(file, ArchiveFile) else open_file(file) as opened:
        path, text = opened.path, plain(opened)
        # One byte more tells that there is more.
        raw = text.read(_MOST_MDOC + 1) or b""
    try:
        window = Window(len(raw), lambda offset, size: raw[offset : offset + size], len(raw))
        return all_of_mdoc(window)
    except FormatError as exc:
        raise ValueError(f"{path}: {exc}") from exc


def _copied(path: str, table: io.RawIOBase, copy: IO[bytes]) -> int:
    """Copy a table into a local file, and return how many bytes those are."""
    size = 0
    while data := table.read(_STEP):
        size += len(data)
        if size > _MOST_BYTES:
            raise ValueError(f"{path}: a table of more than {_MOST_BYTES} bytes")
        copy.write(data)
    copy.flush()
    return size


def _window(copy: IO[bytes], size: int) -> Window:
    def read(offset: int, size: int) -> bytes:
        copy.seek(offset)
        return copy.read(size)

    return Window(size, read, size)


def _check(blocks: dict[str, Any], found: StarFile) -> None:
    """Refuse what was read in part: starfile says nothing of bytes that aren't UTF-8, for one."""
    rows = {block.name: block.rows for block in found.blocks}
    if not rows:
        raise FormatError("it has no block")
    if len(rows) < len(found.blocks):
        raise FormatError("two blocks have one name")
    for name, count in rows.items():
        block = blocks.get(name)
        if block is None:
            raise FormatError(f"block {name!r} isn't text in UTF-8, or has another form")
        if not isinstance(block, dict) and len(block) < count:
            raise FormatError(f"only {len(block)} of the {count} rows of block {name!r} are read")
