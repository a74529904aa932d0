"""What lies on a disk and may be anybody's: stored blocks, catalog pages, settings, records."""

from __future__ import annotations

import fcntl
import os
import struct
import time
import zlib
from pathlib import Path

import pytest
from xxhash import xxh3_64_intdigest

from empiarfs.cache.eviction import MIN_LIMIT
from empiarfs.cache.limit_file import limit_path, read_limit
from empiarfs.catalog.pages import (
    DamagedPageError,
    pack_items,
    pack_versions,
    unpack_items,
    unpack_names,
    unpack_versions,
)
from empiarfs.config import as_options, load, parse_mount_options
from empiarfs.control.registry import registered
from empiarfs.core.block_format import (
    HEADER_STEP,
    MAX_HEADER_SIZE,
    encode_header,
    header_size,
    parse_header,
)
from empiarfs.core.blocks import PIECE_SIZE, PIECES_PER_BLOCK
from empiarfs.core.listing import ListingItem
from empiarfs.core.paths import name_problem
from empiarfs.errors import ConfigError, CorruptBlockError
from tests.support.fuzzing import fuzz

pytestmark = pytest.mark.campaign

_SUM = struct.Struct("<Q")


def check_block(data: bytes) -> None:
    check_header(data)
    # Most damage is told by the checksum; what is behind it must hold without.
    whole = data[: len(data) // HEADER_STEP * HEADER_STEP]
    if whole:
        check_header(whole[:-8] + _SUM.pack(xxh3_64_intdigest(whole[:-8])))


def check_header(data: bytes) -> None:
    try:
        size = header_size(data[:HEADER_STEP])
        stored_size = stored_size_for(data[:size])
        header = parse_header(data[:size], stored_size)
    except CorruptBlockError:
        return
    assert size <= MAX_HEADER_SIZE
    assert encode_header(header) == data[:size]
    assert 0 < header.places < 1 << PIECES_PER_BLOCK
    assert size < header.stored_size <= size + PIECES_PER_BLOCK * PIECE_SIZE
    for place in range(PIECES_PER_BLOCK):
        if header.places >> place & 1:
            assert 0 < header.size_at(place) <= PIECE_SIZE
            end = header.offsets[place] + header.size_at(place)
            assert size <= header.offsets[place] < end <= header.stored_size


def stored_size_for(data: bytes) -> int:
    """Return the length of a file that this header fits, as far as it fits any."""
    try:
        parse_header(data, -1)
    except CorruptBlockError as exc:
        words = str(exc).split(" instead of ")
        return int(words[1]) if len(words) == 2 else -1
    raise AssertionError("a file can't have -1 bytes")


def test_no_bytes_are_taken_for_a_block_that_they_are_not() -> None:
    fuzz("stored_block", check_block, tokens=(b"\x89EMPIAR\n", bytes(4096)), examples=300)


def check_catalog_page(data: bytes) -> None:
    for packed in (data, zlib.compress(data, 1)):
        check_items(packed)
        check_versions(packed)


def check_items(packed: bytes) -> None:
    try:
        names = unpack_names(packed)
        items, places = unpack_items(packed)
    except DamagedPageError:
        return
    assert names == [item.name.encode("utf-8", "surrogateescape") for item in items]
    assert names == sorted(set(names))
    assert all(name_problem(item.name) is None for item in items)
    assert unpack_items(pack_items(items, places)) == (items, places)


def check_versions(packed: bytes) -> None:
    for count in (0, 3):
        try:
            versions = unpack_versions(packed, count)
        except DamagedPageError:
            continue
        assert len(versions) == count
        assert unpack_versions(pack_versions(versions), count) == versions


def test_no_bytes_are_taken_for_a_catalog_page_that_they_are_not() -> None:
    tokens = (b"\0\0\0", b"../x", b"..", b"a/b", b"\x03\0\0\0")
    fuzz("catalog_page", check_catalog_page, tokens=tokens, examples=400)


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", "/etc/passwd", "n" * 256])
def test_a_catalog_page_with_a_name_that_leaves_its_directory_is_damaged(name: str) -> None:
    packed = pack_items([ListingItem(name, False, "", "")], None)

    with pytest.raises(DamagedPageError):
        unpack_items(packed)


@pytest.mark.parametrize("names", [("b", "a"), ("a", "a")])
def test_a_catalog_page_with_names_twice_or_out_of_order_is_damaged(names: tuple[str]) -> None:
    packed = pack_items([ListingItem(name, False, "", "") for name in names], None)

    with pytest.raises(DamagedPageError):
        unpack_items(packed)


def test_no_file_of_settings_breaks_the_start(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"

    def check_settings(data: bytes) -> None:
        file.write_bytes(data)
        try:
            config = load({}, {"HOME": "/home/ada"}, [file]).config
        except ConfigError as exc:
            said = str(exc)
        else:
            said = ""
            assert load(as_options(config), {"HOME": "/home/ada"}, ()).config == config
        assert not said or str(file) in said or "can't go together" in said

    tokens = (
        b" = ",
        b'"',
        b"\n",
        b"'''",
        b"archive_url",
        b"cache_size",
        b"wait",
        b"[",
        b"{a=",
        b"~",
    )
    fuzz("settings", check_settings, tokens=tokens, examples=300)


def check_mount_options(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    try:
        options = parse_mount_options(text, from_mount=True)
        load(options.settings, {"HOME": "/home/ada"}, (), cwd=Path("/"))
    except ConfigError:
        pass


def test_no_mount_options_break_the_start() -> None:
    tokens = (b",", b"\\", b'"', b"=", b"cache_size=", b"uid=", b"x-", b"wait=", b"~", b"umask=")
    fuzz("mount_options", check_mount_options, tokens=tokens, examples=300)


def test_no_bytes_are_taken_for_a_limit_that_they_are_not(tmp_path: Path) -> None:
    def check_limit(data: bytes) -> None:
        limit_path(tmp_path).write_bytes(data)

        found = read_limit(tmp_path)

        if found is not None:
            assert MIN_LIMIT <= found[0] < 10**18
            assert data.strip().startswith(b"%d" % found[0]) or data.strip().startswith(b"0")
            assert len(found[1]) <= 1024

    fuzz("limit", check_limit, tokens=(b"100000000", b" ", b"\n"), examples=150)


def test_no_record_of_a_mount_breaks_status(tmp_path: Path) -> None:
    directory = tmp_path / "empiarfs"
    directory.mkdir(mode=0o700)
    environ = {"XDG_RUNTIME_DIR": str(tmp_path)}

    def check_record(data: bytes) -> None:
        file = directory / "0.json"
        file.write_bytes(data)
        with file.open("rb") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            for item in registered(os.getuid(), environ):
                if item.file == file:
                    assert type(item.record.pid) is int
                    assert time.localtime(item.record.since_s).tm_year < 10_001
                    assert isinstance(item.record.mount_point, str)
                    assert isinstance(item.record.cache_dir, str)

    tokens = (b'"', b"{", b"[" * 500, b": ", b"null", b"1e999", b"-1", b"true", b'"since_s": "x"')
    fuzz("control", check_record, tokens=tokens, examples=200)
