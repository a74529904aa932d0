"""How the rows of a directory are packed into checksummed pages. Pure.

The rows are sorted by name and cut into pages of up to `ROWS_PER_PAGE`. Each page is
stored as two blobs: *items* (names, size and time texts, which never change for one
listing) and *versions* (which are learnt later, a few at a time). Values of one kind lie
together, repeated texts are stored once, numbers are split into planes of equal
significance, and zlib does the rest.

    items     count, 4 section lengths (u32) · names · distinct size texts · distinct time
              texts (each joined by NUL) · is-directory (u8) · index of size text (u16 in
              planes) · index of time text · place in the listing (u32, only if the
              listing isn't in the order of its names)
    versions  kind (u8) · size (u64 in planes) · Last-Modified (i64 in planes) · ETags

A blob is sealed: an xxh3 over its context (which listing, which page, which kind) and its
compressed bytes stands in front. So a flipped bit, a page of another directory and a page
of an older listing are all told from what was written.

Measured with 20,000 names of 65 bytes, with sizes and times all different: 36 bytes a file
on disk, name included, where one SQLite row for each takes 104 and has no checksum. Such
a directory is written in 100 ms and read in 50 ms, of which SQLite, checksums and zlib
take 7 and making the objects the rest; 16 versions are added in 0.9 ms, 4,096 in 7 ms.
Pages of 128 rows take 46 bytes a file, of 1,024 rows 34. Level 6 of zlib is worth its 1 µs
a row for items (29 → 26 bytes), and not for versions (6.6 → 6.6).

Threading: pure functions. Each call into C handles one page, so that other threads run.
"""

from __future__ import annotations

import heapq
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from operator import itemgetter, lt

import xxhash

from empiarfs.core.files import FileVersion
from empiarfs.core.listing import ListingItem
from empiarfs.core.paths import LONGEST_NAME

ROWS_PER_PAGE = 512

ITEMS = b"items"
VERSIONS = b"versions"

# A page of 512 names of 255 bytes with long texts unpacks to less; a larger one isn't ours.
_MAX_UNPACKED = 1024 * 1024
# Sorting 4,096 names takes a millisecond, during which no other thread can run.
_SORT_SLICE = 4096

_ITEMS_HEADER = struct.Struct("<5I")
_CHECKSUM = struct.Struct("<Q")
_NUL = "\0"

_NOTHING, _BY_TIME, _BY_ETAG, _BY_SIZE = range(4)


class DamagedPageError(Exception):
    """A blob isn't what was written; never leaves the catalog."""


def name_bytes(name: str) -> bytes:
    """Return the bytes of a name or path."""
    return name.encode("utf-8", "surrogateescape")


def sorted_names(names: Sequence[str]) -> list[tuple[bytes, int]]:
    """Return (bytes of the name, place in `names`) in the order of the bytes.

    Raises:
        ValueError: A name occurs twice, or can't be bytes.
    """
    keyed = [(name_bytes(name), place) for place, name in enumerate(names)]
    if not all(before[0] < after[0] for before, after in pairwise(keyed)):
        slices = range(0, len(keyed), _SORT_SLICE)
        runs = [sorted(keyed[start : start + _SORT_SLICE]) for start in slices]
        keyed = list(heapq.merge(*runs, key=itemgetter(0)))
        if not all(before[0] < after[0] for before, after in pairwise(keyed)):
            raise ValueError("a name occurs twice in a listing")
    return keyed


def pack_items(items: Sequence[ListingItem], places: Sequence[int] | None) -> bytes:
    """Pack one page of rows.

    Args:
        items: 1 to `ROWS_PER_PAGE` rows, sorted by name.
        places: The place of each in the listing, or None if that is the order of names.

    Raises:
        ValueError: A text holds a NUL, or the page is too large.
    """
    names = _joined([item.name for item in items])
    sizes, size_indices = _distinct([item.size_text for item in items])
    times, time_indices = _distinct([item.modified_text for item in items])
    order = b"" if places is None else _planes("I", 4, places)
    header = _ITEMS_HEADER.pack(len(items), len(names), len(sizes), len(times), len(order))
    flags = bytes([item.is_directory for item in items])
    parts = (header, names, sizes, times, flags, size_indices, time_indices, order)
    return _compressed(b"".join(parts), level=6)


def unpack_items(packed: bytes) -> tuple[list[ListingItem], Sequence[int] | None]:
    """Return rows and places as `pack_items` got them.

    Raises:
        DamagedPageError: This isn't a packed page.
    """
    raw = _decompressed(packed)
    try:
        return _parsed_items(raw)
    except (ValueError, IndexError, struct.error) as exc:
        raise DamagedPageError(f"unreadable items: {exc}") from exc


def sift_items(
    packed: bytes, wanted: Callable[[str], object], start: int
) -> tuple[int, list[tuple[int, ListingItem]]]:
    """Return how many rows a page has, and of these all directories and the wanted files.

    A quarter of the time that all rows take, where few are wanted.

    Args:
        packed: What `pack_items` returned.
        wanted: Tells whether a file of this name is.
        start: How many rows are in the pages before it.

    Returns:
        The number of rows; and (place in the listing, row) of each that is left.

    Raises:
        DamagedPageError: This isn't a packed page.
    """
    raw = _decompressed(packed)
    try:
        names, sizes, times, flags, size_places, time_places, places = _sections(raw)
        left = [index for index, name in enumerate(names) if wanted(name)]
        if any(flags):
            left = sorted({*left, *(index for index, flag in enumerate(flags) if flag)})
        if not left:
            return len(names), []
        size_of, time_of = _from_planes("H", 2, size_places), _from_planes("H", 2, time_places)
        order = _from_planes("I", 4, places) if places else range(start, start + len(names))
        return len(names), [
            (
                order[at],
                ListingItem(names[at], bool(flags[at]), sizes[size_of[at]], times[time_of[at]]),
            )
            for at in left
        ]
    except (ValueError, IndexError, struct.error) as exc:
        raise DamagedPageError(f"unreadable items: {exc}") from exc


def unpack_names(packed: bytes) -> list[bytes]:
    """Return only the names, in order, as bytes.

    Raises:
        DamagedPageError: This isn't a packed page.
    """
    raw = _decompressed(packed)
    try:
        count, length, *_ = _ITEMS_HEADER.unpack_from(raw)
        names = raw[_ITEMS_HEADER.size : _ITEMS_HEADER.size + length].split(b"\0")
    except struct.error as exc:
        raise DamagedPageError(f"unreadable names: {exc}") from exc
    if len(names) != count:
        raise DamagedPageError("not as many names as rows")
    return names


def pack_versions(versions: Sequence[FileVersion | None]) -> bytes:
    """Pack the versions of one page, one for each row; None where it isn't known.

    Raises:
        ValueError: An ETag holds a NUL, a number exceeds 64 bits, or the page is too large.
    """
    sizes = _planes("Q", 8, [version.size if version else 0 for version in versions])
    times = _planes("q", 8, [(version and version.modified_s) or 0 for version in versions])
    etags = _joined([version.etag for version in versions if version and version.etag is not None])
    return _compressed(bytes(map(_kind, versions)) + sizes + times + etags, level=1)


def unpack_versions(packed: bytes, count: int) -> list[FileVersion | None]:
    """Return the versions as `pack_versions` got them.

    Args:
        packed: What `pack_versions` returned.
        count: The number of rows in the page.

    Raises:
        DamagedPageError: This isn't a page of `count` versions.
    """
    raw = _decompressed(packed)
    if len(raw) < 17 * count:
        raise DamagedPageError(f"{len(raw)} bytes are no {count} versions")
    try:
        kinds, etags_start = raw[:count], 17 * count
        sizes = _from_planes("Q", 8, raw[count : 9 * count])
        times = _from_planes("q", 8, raw[9 * count : etags_start])
        etags = iter(raw[etags_start:].decode("utf-8", "surrogateescape").split(_NUL))
        # Files of one directory often share a version's numbers; one object serves them all.
        shared: dict[tuple[int, int], FileVersion] = {}
        versions: list[FileVersion | None] = []
        for kind, size, time in zip(kinds, sizes, times, strict=True):
            if kind == _BY_TIME:
                version = shared.get((size, time))
                if version is None:
                    version = shared[size, time] = FileVersion(size, time)
                versions.append(version)
            elif kind == _NOTHING:
                versions.append(None)
            else:
                versions.append(FileVersion(size, None, _etag(kind, etags)))
    except (ValueError, struct.error, StopIteration) as exc:
        raise DamagedPageError(f"unreadable versions: {exc}") from exc
    return versions


def sealed(kind: bytes, generation: int, first: bytes, packed: bytes) -> bytes:
    """Return `packed` behind a checksum over it and over what it belongs to.

    Args:
        kind: `ITEMS` or `VERSIONS`.
        generation: The listing's number.
        first: The page's first name.
        packed: The packed page.
    """
    return _CHECKSUM.pack(_checksum(kind, generation, first, packed)) + packed


def unsealed(kind: bytes, generation: int, first: bytes, blob: object) -> bytes:
    """Return the packed page out of what `sealed` returned.

    Raises:
        DamagedPageError: It isn't that.
    """
    if not isinstance(first, bytes) or not isinstance(blob, bytes) or len(blob) < _CHECKSUM.size:
        raise DamagedPageError("not a page")
    packed = blob[_CHECKSUM.size :]
    if _CHECKSUM.unpack_from(blob)[0] != _checksum(kind, generation, first, packed):
        raise DamagedPageError("the checksum differs")
    return packed


def pages_of(
    items: Sequence[ListingItem],
) -> Iterator[tuple[bytes, list[int], bytes]]:
    """Cut a listing into pages.

    Yields:
        The first name of the page, the places of its rows in `items`, and the packed rows.

    Raises:
        ValueError: A name occurs twice, or a row can't be packed.
    """
    keyed = sorted_names([item.name for item in items])
    in_order = all(place == index for index, (_, place) in enumerate(keyed))
    for start in range(0, len(keyed), ROWS_PER_PAGE):
        page = keyed[start : start + ROWS_PER_PAGE]
        places = [place for _, place in page]
        packed = pack_items([items[place] for place in places], None if in_order else places)
        yield page[0][0], places, packed


def _kind(version: FileVersion | None) -> int:
    if version is None:
        return _NOTHING
    if version.modified_s is not None:
        return _BY_TIME
    return _BY_SIZE if version.etag is None else _BY_ETAG


def _etag(kind: int, etags: Iterator[str]) -> str | None:
    if kind == _BY_SIZE:
        return None
    if kind == _BY_ETAG:
        return next(etags)
    raise ValueError(f"no such kind of version: {kind}")


def _parsed_items(raw: bytes) -> tuple[list[ListingItem], Sequence[int] | None]:
    names, sizes, times, flags, size_places, time_places, order = _sections(raw)
    size_texts = map(sizes.__getitem__, _from_planes("H", 2, size_places))
    time_texts = map(times.__getitem__, _from_planes("H", 2, time_places))
    items = list(map(ListingItem, names, map(bool, flags), size_texts, time_texts))
    places = _from_planes("I", 4, order) if order else None
    if places is not None and len(places) != len(names):
        raise ValueError("not as many places as rows")
    return items, places


def _sections(
    raw: bytes,
) -> tuple[list[str], list[str], list[str], bytes, bytes, bytes, bytes]:
    """Return names, distinct sizes and times, and the packed columns of a page."""
    count, *lengths, order_length = _ITEMS_HEADER.unpack_from(raw)
    at = _ITEMS_HEADER.size
    sections = []
    for length in (*lengths, count, 2 * count, 2 * count, order_length):
        sections.append(raw[at : at + length])
        at += length
    if at != len(raw):
        raise ValueError(f"{len(raw)} bytes instead of {at}")
    names, sizes, times = (
        section.decode("utf-8", "surrogateescape").split(_NUL) for section in sections[:3]
    )
    if len(names) != count:
        raise ValueError("not as many names as rows")
    _check_names(sections[0])
    return names, sizes, times, sections[3], sections[4], sections[5], sections[6]


def _check_names(joined: bytes) -> None:
    """Raise if a name can't be served; the parser of listings has let none of these through.

    The checksum tells damage from what was written, not from what another program wrote.
    """
    names = joined.split(b"\0")
    if b"/" in joined or not {b"", b".", b".."}.isdisjoint(names):
        raise ValueError("a name that leaves its directory")
    if max(map(len, names)) > LONGEST_NAME:
        raise ValueError("a name that is too long")
    if not all(map(lt, names, names[1:])):
        raise ValueError("the names are not in order")


def _checksum(kind: bytes, generation: int, first: bytes, packed: bytes) -> int:
    context = b"%b %d %d %b" % (kind, generation, len(first), first)
    hasher = xxhash.xxh3_64(context)
    hasher.update(packed)
    value: int = hasher.intdigest()
    return value


def _distinct(texts: Sequence[str]) -> tuple[bytes, bytes]:
    """Return the distinct texts, joined, and the index of each text among them."""
    index: dict[str, int] = {}
    indices = [index.setdefault(text, len(index)) for text in texts]
    return _joined(list(index)), _planes("H", 2, indices)


def _joined(texts: Sequence[str]) -> bytes:
    joined = _NUL.join(texts)
    if joined.count(_NUL) != max(0, len(texts) - 1):
        raise ValueError("a NUL in a name or text")
    return name_bytes(joined)


def _planes(code: str, width: int, numbers: Sequence[int]) -> bytes:
    """Pack numbers with all their lowest bytes first, then all the next: zlib likes that."""
    try:
        raw = struct.pack(f"<{len(numbers)}{code}", *numbers)
    except struct.error as exc:
        raise ValueError(str(exc)) from exc
    return b"".join(raw[plane::width] for plane in range(width))


def _from_planes(code: str, width: int, packed: bytes) -> Sequence[int]:
    count, rest = divmod(len(packed), width)
    if rest:
        raise ValueError(f"{len(packed)} bytes don't hold numbers of {width}")
    raw = bytearray(len(packed))
    for plane in range(width):
        raw[plane::width] = packed[plane * count : (plane + 1) * count]
    return struct.unpack(f"<{count}{code}", raw)


def _compressed(raw: bytes, *, level: int) -> bytes:
    if len(raw) > _MAX_UNPACKED:
        raise ValueError(f"a page of {len(raw)} bytes")
    return zlib.compress(raw, level)


def _decompressed(packed: bytes) -> bytes:
    unpacker = zlib.decompressobj()
    try:
        raw = unpacker.decompress(packed, _MAX_UNPACKED)
    except zlib.error as exc:
        raise DamagedPageError(str(exc)) from exc
    if not unpacker.eof:
        raise DamagedPageError("an unfinished page")
    return raw
