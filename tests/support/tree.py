"""The archive that tests serve: EMPIAR's layout, odd names, exact times, a file over 4 GiB.

Everything is deterministic: the bytes of a file follow from its name, its modification
time from its place. The trees are made in directories that other users can read, since
Apache runs as one of them.

`differences` compares two trees the hard way, by names as bytes, sizes, times and bytes.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

# 2022-02-07 10:31:00 UTC, the date of a recorded listing.
FIRST_MTIME_S = 1_644_229_860
_SECONDS_BETWEEN_FILES = 61

ODD_NAMES: tuple[bytes, ...] = (
    b"SEM Image - SliceImage - 001.tif",
    b"slice_02534_z=12.6376um.tif",
    b" leading blank",
    b"trailing blank ",
    b"two  blanks",
    b"hash#tag.mrc",
    b"question?mark.mrc",
    b"per%cent.mrc",
    b"a%20b.mrc",
    b"%2e%2e",
    b"plus+plus.mrc",
    b"a&b&amp;c.mrc",
    b"semi;colon.mrc",
    b"c:drive.mrc",
    b"12:34:56.mrc",
    b"quote'quote.mrc",
    b'double"quote.mrc',
    b"less<more>.mrc",
    b"back\\slash.mrc",
    b"tab\tab.mrc",
    b"comma,comma.mrc",
    b"-leading-dash.mrc",
    b"~leading-tilde.mrc",
    b"at@equals=dollar$.mrc",
    b"(round)[square]{curly}.mrc",
    b"star*bang!caret^pipe|.mrc",
    b"`backquote`.mrc",
    b"several.dots.in.a.name.tif.bz2",
    b"UPPER.MRC",
    b"n" * 196 + b".mrc",
    b"x" * 251 + b".mrc",
    "Prüfung_µm_Å.mrc".encode(),
    "日本語.mrc".encode(),
    "cafe\N{COMBINING ACUTE ACCENT}.mrc".encode(),
    "emoji-\N{MICROSCOPE}.mrc".encode(),
    b"latin1-\xe5ngstr\xf6m.mrc",
    b"\xff\xfe\x80",
    b"C=N;O=D",
    b"?C=N;O=D",
    b"index.html",
    b"index of x",
    b"Parent Directory",
)

# Hidden by Debian's IndexIgnore, though Apache serves them.
HIDDEN_NAMES: tuple[bytes, ...] = (
    b"README.txt",
    b"HEADER.html",
    b"data.mrc~",
    b"old#",
    b".config",
    b"x,v",
)

BIG_FILE_SIZE = 4 * 2**30 + 5 * 2**20 + 123


@dataclass(frozen=True, slots=True)
class Marker:
    """Bytes that stand at an offset of the big file; around them are zeros."""

    offset: int
    data: bytes


def _markers() -> tuple[Marker, ...]:
    offsets = (0, 2**31 - 8, 2**32 - 2**20 - 3, 2**32 - 8, 2**32 + 2**20 - 5, BIG_FILE_SIZE - 16)
    return tuple(Marker(offset, hashlib.md5(b"%d" % offset).digest()) for offset in offsets)


BIG_FILE_MARKERS = _markers()


def contents(seed: bytes, size: int) -> bytes:
    """Return `size` bytes that look random and follow from `seed`."""
    return hashlib.shake_128(seed).digest(size)


@contextmanager
def temporary_root() -> Iterator[Path]:
    """Yield a new directory that every user can read; it is removed at the end."""
    root = Path(tempfile.mkdtemp(prefix="empiarfs-served-"))
    root.chmod(0o755)
    try:
        yield root
    finally:
        shutil.rmtree(root)


def write_file(path: Path | bytes, data: bytes) -> None:
    """Make a file and the directories above it."""
    raw = os.fsencode(path)
    os.makedirs(os.path.dirname(raw), exist_ok=True)
    with open(raw, "wb") as file:
        file.write(data)


def make_entries(root: Path) -> None:
    """Make some entries as EMPIAR lays them out: an XML file, and `data` of any depth."""
    for entry in (10002, 10017, 10028):
        write_file(root / f"{entry}/{entry}.xml", _xml(entry))
    _write_all(
        root / "10002/data", {"movies/stack_000.tif": 300_000, "movies/stack_001.tif": 300_000}
    )
    _write_all(
        root / "10017/data",
        {
            "Falcon_2012_06_12-14_33_35_0.mrc": 1_049_600,
            "Falcon_2012_06_12-14_57_34_0.mrc": 1_048_576,
            "empty.star": 0,
            "one.byte": 1,
            "below_a_piece.dat": 65_535,
            "a_piece.dat": 65_536,
            "above_a_piece.dat": 65_537,
            "below_a_block.dat": 2**20 - 1,
            "above_a_block.dat": 2**20 + 1,
            "three_blocks.dat": 3 * 2**20 + 12_345,
        },
    )
    for size in (972, 973, 1023, 1024, 1025, 1075, 1076, 10_239, 10_240, 10_433_536):
        write_file(root / f"10028/data/sizes/{size}", contents(b"%d" % size, size))
    (root / "10028/data/empty directory").mkdir()
    deep = root.joinpath("10028/data", *(f"level {number}" for number in range(12)))
    write_file(deep / "deep.dat", contents(b"deep", 5_000))


def make_odd_names(root: Path) -> None:
    """Make files and directories with all `ODD_NAMES` in the entry 10005."""
    odd = os.fsencode(root / "10005/data")
    for number, name in enumerate(ODD_NAMES):
        write_file(odd + b"/files/" + name, contents(name, 100 + 37 * number))
        write_file(odd + b"/directories/" + name + b"/inside.dat", contents(name, 10 + number))
    write_file(odd + b"/TS_016.mrc/TS_016.mrc", contents(b"TS_016", 4_000))


def make_hidden_names(directory: Path) -> None:
    """Make a file for each of `HIDDEN_NAMES`, beside one that is listed."""
    for name in (*HIDDEN_NAMES, b"listed.mrc"):
        write_file(os.fsencode(directory) + b"/" + name, contents(name, 500))


def make_many(directory: Path, count: int, *, size: int = 10) -> None:
    """Make `count` files of about `size` bytes each, called as movies are."""
    directory.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        name = f"movie_{number:05d}.tif"
        (directory / name).write_bytes(contents(name.encode(), size + number % 7))


def make_big_file(path: Path) -> None:
    """Make a sparse file of `BIG_FILE_SIZE` bytes that holds `BIG_FILE_MARKERS`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.truncate(BIG_FILE_SIZE)
        for marker in BIG_FILE_MARKERS:
            file.seek(marker.offset)
            file.write(marker.data)


def big_file_contents(offset: int, size: int) -> bytes:
    """Return what a read of the big file has to give."""
    wanted = bytearray(max(0, min(size, BIG_FILE_SIZE - offset)))
    for marker in BIG_FILE_MARKERS:
        start = max(offset, marker.offset)
        stop = min(offset + len(wanted), marker.offset + len(marker.data))
        if start < stop:
            piece = marker.data[start - marker.offset : stop - marker.offset]
            wanted[start - offset : stop - offset] = piece
    return bytes(wanted)


def set_times(root: Path) -> None:
    """Give all files and directories below `root` their fixed times, by order of names."""
    found = [
        os.path.join(where, name)
        for where, directories, files in os.walk(os.fsencode(root))
        for name in (*directories, *files)
    ]
    for number, path in enumerate(sorted(found)):
        moment = FIRST_MTIME_S + number * _SECONDS_BETWEEN_FILES
        os.utime(path, (moment, moment))
    os.utime(root, (FIRST_MTIME_S, FIRST_MTIME_S))


def differences(
    left: Path,
    right: Path,
    *,
    mtime: Literal["second", "minute"] | None = "second",
    bytes_too: bool = True,
) -> list[str]:
    """Return how the trees differ, a line for each difference; empty if they don't.

    Names are compared as bytes; of directories only the names are.
    """
    left_files, right_files = _stats_below(left), _stats_below(right)
    found = [
        f"only in {left}: {path!r}" for path in sorted(left_files.keys() - right_files.keys())
    ]
    found += [
        f"only in {right}: {path!r}" for path in sorted(right_files.keys() - left_files.keys())
    ]
    unit_s = 60 if mtime == "minute" else 1
    for path in sorted(left_files.keys() & right_files.keys()):
        one, other = left_files[path], right_files[path]
        if stat.S_IFMT(one.st_mode) != stat.S_IFMT(other.st_mode):
            found.append(f"of different kinds: {path!r}")
        elif stat.S_ISREG(one.st_mode):
            if one.st_size != other.st_size:
                found.append(f"{one.st_size} and {other.st_size} bytes: {path!r}")
            if mtime and int(one.st_mtime) // unit_s != int(other.st_mtime) // unit_s:
                found.append(f"changed at {one.st_mtime} and {other.st_mtime}: {path!r}")
            if bytes_too and not _same_bytes(os.fsencode(left) + path, os.fsencode(right) + path):
                found.append(f"different bytes: {path!r}")
    return found


def _stats_below(root: Path) -> dict[bytes, os.stat_result]:
    """Return what `lstat` says of everything below `root`, by "/" and the path in it."""
    raw = os.fsencode(root)
    found: dict[bytes, os.stat_result] = {}
    for where, directories, files in os.walk(raw, onerror=_raise):
        for name in (*directories, *files):
            path = os.path.join(where, name)
            found[path[len(raw) :]] = os.lstat(path)
    return found


def _raise(error: OSError) -> None:
    raise error  # os.walk leaves out what it can't list unless told otherwise


def _same_bytes(left: bytes, right: bytes) -> bool:
    with open(left, "rb") as one, open(right, "rb") as other:
        while True:
            left_piece, right_piece = one.read(2**20), other.read(2**20)
            if left_piece != right_piece:
                return False
            if not left_piece:
                return True


def _write_all(directory: Path, sizes: dict[str, int]) -> None:
    for name, size in sizes.items():
        write_file(directory / name, contents(name.encode(), size))


def _xml(entry: int) -> bytes:
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<entry accessionCode="EMPIAR-{entry}" schemaVersion="0.23">\n'
        "  <admin><title>A data set made by a test</title></admin>\n"
        "</entry>\n"
    ).encode()
