"""STAR tables as RELION, cryoSPARC's exports and others write them: blocks, columns, rows.

After https://www.iucr.org/resources/cif/spec/version1.1/cifsyntax, of which programs use
data blocks, pairs of name and value, and loops with a row a line. The file is read from its
beginning to its end. `parse_star` tells of one that is too long the first part, and says so;
`files_in_star` refuses it, since a list that lacks names would pass for a whole one.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Container, Iterator
from dataclasses import dataclass, field

from empiarfs.formats.names import Names
from empiarfs.formats.window import FormatError, Window

_STEP = 1024 * 1024
_MOST_BYTES = 256 * 1024 * 1024
_MOST_BLOCKS = 10_000
_MOST_COLUMNS = 1_000
_LONGEST_LINE = 64 * 1024
# A quote ends a value only before a blank.
_VALUE = re.compile(rb"""'(.*?)'(?=\s|\Z)|"(.*?)"(?=\s|\Z)|\S+""")

_NUMBER = re.compile("[0-9]{1,15}")
_MOST_FILES = 1_000_000
_IMAGES = "rlnImageName"
FILE_COLUMNS = ("rlnMicrographMovieName", "rlnMicrographName", _IMAGES)
"""RELION's columns that name images; https://relion.readthedocs.io, "Conventions"."""


@dataclass(slots=True)
class Block:
    """A block of a STAR file.

    Attributes:
        name: Behind `data_`; may be empty.
        columns: Names, without the underscore.
        rows: Of its loops; 1 for a list of names and values.
    """

    name: str
    columns: list[str] = field(default_factory=list)
    rows: int = 0


@dataclass(frozen=True, slots=True)
class StarFile:
    """What a STAR file holds.

    Attributes:
        blocks: In their order.
        is_complete: Whether all of the file was read.
    """

    blocks: tuple[Block, ...]
    is_complete: bool


def parse_star(window: Window) -> StarFile:
    """Return the blocks of a file."""
    most = min(window.size, window.left, _MOST_BYTES)
    blocks: list[Block] = []
    loop = False
    for kind, words in _statements(window, most):
        if kind == "block":
            if len(blocks) == _MOST_BLOCKS:
                return StarFile(tuple(blocks), False)
            blocks.append(Block(_text(words[5:])))
            loop = False
        elif not blocks:
            continue
        elif kind == "loop":
            loop = True
        elif kind == "column":
            _note_column(blocks[-1], words, loop)
        elif loop:
            blocks[-1].rows += 1
    return StarFile(tuple(blocks), most == window.size)


@dataclass(frozen=True, slots=True)
class NamedImages:
    """The images that a table names, row by row, in little memory.

    Attributes:
        files: What the table calls their files, each once.
        places: For each row the place of its file in `files`.
        numbers: For each row the image's number in that file, from 0.
    """

    files: tuple[str, ...]
    places: array[int]
    numbers: array[int]


def files_in_star(window: Window) -> Names:
    """Return the files that a table names, by column, without the number of an image.

    Raises:
        FormatError: No column names files, a row lacks some of its values, or the file is
            longer than may be read.
    """
    names = Names()
    for column, value in _cells(window, FILE_COLUMNS):
        if value is None:
            names.begin(column)
        else:
            names.add(column, _file(value))
    if not names:
        raise FormatError(f"it names no files: none of its columns is {', '.join(FILE_COLUMNS)}")
    return names


def images_in_star(window: Window) -> NamedImages:
    """Return the images that a table names as `000001@stack.mrcs`, in the order of its rows.

    Raises:
        FormatError: It has no column `rlnImageName`, a name isn't one, a row lacks some of its
            values, or the file is longer than may be read.
    """
    files: dict[str, int] = {}
    places, numbers = array("l"), array("l")
    is_there = False
    for _, value in _cells(window, (_IMAGES,)):
        is_there = True
        if value is None:
            continue
        number, file = split_image(value.decode("utf-8", "surrogateescape"))
        if file not in files and len(files) == _MOST_FILES:
            raise FormatError(f"it names more than {_MOST_FILES} files")
        places.append(files.setdefault(file, len(files)))
        numbers.append(number)
    if not is_there:
        raise FormatError(f"it names no images: it has no column {_IMAGES}")
    return NamedImages(tuple(files), places, numbers)


def split_image(name: str) -> tuple[int, str]:
    """Return the number of an image in its file, from 0, and the file.

    Raises:
        FormatError: It names none.

    >>> split_image("000012@Extract/stack.mrcs"), split_image("one.mrc")
    ((11, 'Extract/stack.mrcs'), (0, 'one.mrc'))
    """
    number, mark, file = name.rpartition("@")
    if not mark:
        number = "1"
    if not _NUMBER.fullmatch(number) or not int(number) or not file:
        raise FormatError(f"{_cut(name.encode('utf-8', 'replace'))} names no image")
    return int(number) - 1, file


def _cells(window: Window, wanted: Container[str]) -> Iterator[tuple[str, bytes | None]]:
    """Yield the values in some columns, row by row; None for a column of a loop that begins."""
    if window.size > window.left:
        raise FormatError(f"it has {window.size} bytes, and {window.left} may be read")
    found: list[tuple[int, str]] = []
    columns, loop = 0, False
    for kind, words in _statements(window, window.size):
        if kind == "row" and found and loop:
            values = _values(words)
            for index, column in found:
                if index >= len(values):
                    raise FormatError(
                        f"a row has {len(values)} of {columns} values: {_cut(words)}"
                    )
                yield column, values[index]
        elif kind in ("block", "loop"):
            found, columns, loop = [], 0, kind == "loop"
        elif kind == "column":
            column = _text(words.split()[0][1:])
            if column in wanted and loop:
                yield column, None
                found.append((columns, column))
            elif column in wanted:
                yield column, (_values(words)[1:] or [b""])[0]
            columns += 1


def _values(words: bytes) -> list[bytes]:
    """Return the values of a row; one in quotes may hold blanks."""
    if b'"' not in words and b"'" not in words:
        return words.split()
    return [each[1] or each[2] or each[0] for each in _VALUE.finditer(words)]


def _file(value: bytes) -> str:
    # The archive's names are decoded in this way.
    return value.rpartition(b"@")[2].decode("utf-8", "surrogateescape")


def _cut(words: bytes) -> str:
    return repr(_text(words[:60])) + "…" * (len(words) > 60)


def _statements(window: Window, most: int) -> Iterator[tuple[str, bytes]]:
    """Yield what each line is, as `_kind` tells, and the line; without texts and comments."""
    in_text = False
    for line in _lines(window, most):
        if line.startswith(b";"):
            in_text = not in_text
            continue
        words = line.strip()
        # An empty line ends RELION's loops, but not STAR's; a row may follow.
        if not in_text and words and not words.startswith(b"#"):
            yield _kind(words), words


def _kind(words: bytes) -> str:
    """Return what a line is: the beginning of a block or a loop, a column, or a row."""
    if words[:1] == b"_":
        return "column"
    if words[:5].lower() == b"data_" and len(words.split()) == 1:
        return "block"
    return "loop" if words[:5].lower() == b"loop_" and len(words) == 5 else "row"


def _note_column(block: Block, words: bytes, loop: bool) -> None:
    if len(block.columns) < _MOST_COLUMNS:
        block.columns.append(_text(words.split()[0][1:]))
    if not loop:
        block.rows = 1


def _lines(window: Window, most: int) -> Iterator[bytes]:
    """Yield the lines of the file; one that is longer than sense is cut."""
    rest = b""
    for offset in range(0, most, _STEP):
        data = rest + window.up_to(offset, min(_STEP, most - offset))
        lines = data.split(b"\n")
        rest = lines.pop()
        yield from lines
        if len(rest) > _LONGEST_LINE:
            rest = rest[:_LONGEST_LINE]
    if rest:
        yield rest


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")
