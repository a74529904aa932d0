"""STAR tables as RELION, cryoSPARC's exports and others write them: blocks, columns, rows.

After https://www.iucr.org/resources/cif/spec/version1.1/cifsyntax, of which programs use
data blocks, pairs of name and value, and loops with a row a line. The file is read from its
beginning to its end; of one that is too long, the first part is told and said to be that.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from empiarfs.formats.window import Window

_STEP = 1024 * 1024
_MOST_BYTES = 256 * 1024 * 1024
_MOST_BLOCKS = 10_000
_MOST_COLUMNS = 1_000
_LONGEST_LINE = 64 * 1024


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
    loop = in_text = False
    for line in _lines(window, most):
        if line.startswith(b";"):
            in_text = not in_text
            continue
        words = line.strip()
        if in_text or not words or words.startswith(b"#"):
            # An empty line ends RELION's loops, but not STAR's; a row may follow.
            continue
        kind = _kind(words)
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
