"""Files with an index in them: `.tsv`, `.tsv.gz` and `.parquet`.

In TSV a line is a row, the first one names the columns; `empiarfs.core.index_table` says what
they are. `role` stands before the last one, and isn't taken back. In Parquet `size` is a number
and `modified` a time, and the last column is called `listed_s`; what would be its name is
`empiarfs` in the metadata of the file. Parquet needs pyarrow, which comes with
`empiarfs[parquet]`.

A file that is read may be anything: lines and rows are bounded, nothing of it is unpickled.

Threading: one thread at a time.
"""

from __future__ import annotations

import gzip
import itertools
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from empiarfs.browse.tables import Taken, read, table_rows, take
from empiarfs.catalog import Catalog
from empiarfs.core.index_table import (
    CHECK,
    COLUMNS,
    Fields,
    IndexedDirectory,
    TableReader,
    TableWriter,
    UnreadableTableError,
    seconds_of,
    time_text,
    unescaped,
)
from empiarfs.entries.sharing import replacing
from empiarfs.errors import CacheError, ConfigError

_LONGEST_LINE = 32 * 1024
_ROWS_AT_ONCE = 10_000
_GZIP = b"\x1f\x8b"
_PARQUET = b"PAR1"
_LISTED = "listed_s"
_ROLE = "role"
_METADATA = b"empiarfs"


def check_format(file: Path) -> None:
    """Find out whether an index can be written to a file of this name.

    Raises:
        ConfigError: It can't; the message says what would do.
    """
    name = file.name.lower()
    if not name.endswith((".tsv", ".tsv.gz", ".parquet")):
        raise ConfigError(f"{file}: the name of an index ends in .tsv, .tsv.gz or .parquet")
    if file.is_dir() or not file.absolute().parent.is_dir():
        raise ConfigError(f"{file} is no place for a file")
    if name.endswith(".parquet"):
        _arrow()


def export_index(
    catalog: Catalog,
    archive_url: str,
    tops: Sequence[str],
    file: Path,
    role: Callable[[str], str],
) -> int:
    """Write all that is known below some directories; return how many rows that are.

    The file takes its place once it is whole.

    Args:
        catalog: What is known.
        archive_url: The archive's URL, with a slash at its end.
        tops: Paths of the directories.
        file: Where to.
        role: Returns the role of the file at a path.

    Raises:
        CacheError: It can't be written, or nothing is known of one of the directories.
        ConfigError: Its name is that of another format.
    """
    check_format(file)
    writer = TableWriter(archive_url)
    rows = (_with_role(row, role) for row in table_rows(catalog, tops, writer))
    try:
        with replacing(file) as raw:
            if file.name.lower().endswith(".parquet"):
                return _write_parquet(rows, writer, raw)
            if file.name.lower().endswith(".gz"):
                with gzip.GzipFile("", "wb", 6, raw, mtime=0) as packed:
                    return _write_tsv(rows, writer, packed)
            return _write_tsv(rows, writer, raw)
    except OSError as exc:
        raise CacheError(f"{file} can't be written: {exc.strerror or exc}") from exc


def import_index(catalog: Catalog, archive_url: str, file: Path, name: str | None = None) -> Taken:
    """Store what an index in a file says, as far as nothing younger is known.

    Args:
        catalog: Where to store it.
        archive_url: The archive that it must be of.
        file: The file.
        name: What it is called in messages; by default as the file.

    Raises:
        CacheError: It is no index of this archive, or damaged; nothing of it was stored. Or
            what it says can't be stored.
    """
    now_s = time.time()

    def directories() -> Iterator[IndexedDirectory]:
        with file.open("rb") as raw:
            start = raw.read(4)
            raw.seek(0)
            reader = TableReader(archive_url, now_s)
            if start == _PARQUET:
                yield from read(reader, *_read_parquet(raw))
            elif start[:2] == _GZIP:
                yield from read(reader, *_read_tsv(gzip.GzipFile(fileobj=raw, mode="rb")))
            else:
                yield from read(reader, *_read_tsv(raw))

    try:
        return take(catalog, directories)
    except (UnreadableTableError, EOFError, zlib.error, gzip.BadGzipFile) as exc:
        raise CacheError(f"{name or file} is not imported: {exc}") from exc
    except OSError as exc:
        raise CacheError(f"{name or file} can't be read: {exc.strerror or exc}") from exc


# -- TSV -----------------------------------------------------------------------------------


def _write_tsv(
    rows: Iterator[Sequence[str]], writer: TableWriter, out: IO[bytes] | gzip.GzipFile
) -> int:
    # The first line has the checksum of those behind it.
    with tempfile.TemporaryFile() as body:
        count = 0
        for fields in rows:
            body.write(_line(fields))
            count += 1
        body.seek(0)
        out.write(_line((*COLUMNS, _ROLE, writer.check)))
        while part := body.read(1024 * 1024):
            out.write(part)
    return count


def _line(fields: Sequence[str]) -> bytes:
    return ("\t".join(fields) + "\n").encode("utf-8")


def _read_tsv(raw: IO[bytes] | gzip.GzipFile) -> tuple[Iterator[Sequence[str]], str]:
    """Return the rows, the columns in our order, and the last column's name."""
    lines = _lines(raw)
    names = next(lines, [])
    check = names[-1] if names else ""
    if not check.startswith(CHECK) or not set(COLUMNS) <= set(names):
        raise UnreadableTableError("it is no index of empiarfs")
    places = [names.index(name) for name in (*COLUMNS, check)]

    def rows() -> Iterator[Sequence[str]]:
        for fields in lines:
            if len(fields) != len(names):
                raise UnreadableTableError(f"a row of {len(fields)} fields, not {len(names)}")
            yield [fields[place] for place in places]

    return rows(), check


def _lines(raw: IO[bytes] | gzip.GzipFile) -> Iterator[list[str]]:
    while line := raw.readline(_LONGEST_LINE + 1):
        if len(line) > _LONGEST_LINE or not line.endswith(b"\n"):
            raise UnreadableTableError("a line is too long, or the last one is cut off")
        try:
            yield line[:-1].decode("utf-8").split("\t")
        except UnicodeDecodeError as exc:
            raise UnreadableTableError("it is no text") from exc


# -- Parquet -------------------------------------------------------------------------------


def _arrow() -> Any:
    """Return pyarrow.

    Raises:
        ConfigError: It isn't installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as exc:
        raise ConfigError(
            "Parquet needs pyarrow: install empiarfs[parquet], or write .tsv"
        ) from exc
    return pyarrow


def _schema(arrow: Any) -> Any:
    # Parquet has no seconds.
    types = {"size": arrow.int64(), "modified": arrow.timestamp("ms", tz="UTC")}
    columns = [(name, types.get(name, arrow.string())) for name in COLUMNS]
    return arrow.schema([*columns, (_LISTED, arrow.string())])


def _with_role(fields: Fields, role: Callable[[str], str]) -> Sequence[str]:
    """Return a row as it is written, with the file's role before the last column."""
    is_file = not fields[0].endswith("/")
    return (*fields[:-1], role(unescaped(fields[0])) if is_file else "", fields[-1])


def _write_parquet(rows: Iterator[Sequence[str]], writer: TableWriter, out: IO[bytes]) -> int:
    arrow = _arrow()
    schema, count = _schema(arrow), 0
    schema = schema.insert(len(COLUMNS), arrow.field(_ROLE, arrow.string()))
    with arrow.parquet.ParquetWriter(out, schema, compression="zstd") as file:
        while batch := list(itertools.islice(rows, _ROWS_AT_ONCE)):
            count += len(batch)
            columns: list[Sequence[object]] = list(zip(*batch, strict=True))
            columns[1] = [int(fields[1]) if fields[1] else None for fields in batch]
            columns[2] = [_ms(fields[2]) for fields in batch]
            arrays = [
                arrow.array(column, type=field.type)
                for column, field in zip(columns, schema, strict=True)
            ]
            file.write_batch(arrow.record_batch(arrays, schema=schema))
        file.add_key_value_metadata({_METADATA: writer.check.encode("ascii")})
    return count


def _read_parquet(raw: IO[bytes]) -> tuple[Iterator[Sequence[str]], str]:
    """Return the rows, the columns in our order, and what would be the last one's name."""
    arrow = _arrow()
    try:
        file = arrow.parquet.ParquetFile(raw)
        check = (file.metadata.metadata or {}).get(_METADATA, b"").decode("ascii", "replace")
        types = {field.name: field.type for field in file.schema_arrow}
        if not check or any(types.get(each.name) != each.type for each in _schema(arrow)):
            raise UnreadableTableError("it is no index of empiarfs")
    except arrow.ArrowException as exc:
        raise UnreadableTableError(str(exc).splitlines()[0]) from exc

    def rows() -> Iterator[Sequence[str]]:
        try:
            for batch in file.iter_batches(_ROWS_AT_ONCE, columns=[*COLUMNS, _LISTED]):
                times = batch.column("modified").cast(arrow.int64()).to_pylist()
                columns = [batch.column(name).to_pylist() for name in (*COLUMNS, _LISTED)]
                columns[1] = ["" if size is None else str(size) for size in columns[1]]
                columns[2] = [time_text(ms if ms is None else ms // 1000) for ms in times]
                yield from zip(*([text or "" for text in each] for each in columns), strict=True)
        except arrow.ArrowException as exc:
            raise UnreadableTableError(str(exc).splitlines()[0]) from exc

    return rows(), check


def _ms(text: str) -> int | None:
    return 1000 * seconds_of(text) if text else None
