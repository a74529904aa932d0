"""The manifest is what coreutils write and read."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from empiarfs.downloads.manifest import NAME, Manifest

NAMES = (
    "a.mrc",
    "10934/data/b c.mrc",
    "new\nline",
    "back\\slash",
    "cr\rhere",
    "\udcff.mrc",
    "\\n",
)


def digest(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()


def test_sha256sum_reads_what_is_written(tmp_path: Path) -> None:
    manifest = Manifest(tmp_path)
    for name in NAMES:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.fsencode(name))
        manifest.add(name, digest(os.fsencode(name)))

    done = subprocess.run(
        ["sha256sum", "--check", "--strict", "--quiet", NAME],
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_it_reads_what_sha256sum_writes(tmp_path: Path) -> None:
    for name in NAMES:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.fsencode(name))
    said = subprocess.run(
        ["sha256sum", "--", *map(os.fsencode, NAMES)],
        cwd=tmp_path,
        capture_output=True,
        check=True,
    )
    (tmp_path / NAME).write_bytes(said.stdout)

    manifest = Manifest(tmp_path)
    assert [manifest.get(name) for name in NAMES] == [digest(os.fsencode(n)) for n in NAMES]


@given(names=st.lists(st.binary(min_size=1, max_size=20).filter(lambda b: b"\0" not in b)))
@settings(max_examples=50)
def test_any_names_come_back(names: list[bytes], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("manifest")
    manifest = Manifest(folder)
    for name in names:
        manifest.add(os.fsdecode(name), digest(name))

    again = Manifest(folder)
    assert all(again.get(os.fsdecode(name)) == digest(name) for name in names)


def test_the_last_line_of_a_file_counts(tmp_path: Path) -> None:
    Manifest(tmp_path).add("a", "0" * 64)
    Manifest(tmp_path).add("a", "1" * 64)

    assert Manifest(tmp_path).get("a") == "1" * 64


@pytest.mark.parametrize("torn", [b"0" * 64 + b"  a.m", b"garbage", b"\xff\n\n\n", b"0" * 64])
def test_a_torn_line_is_none_and_spoils_none(tmp_path: Path, torn: bytes) -> None:
    (tmp_path / NAME).write_bytes(torn)
    manifest = Manifest(tmp_path)
    assert manifest.get("a.m") is None
    manifest.add("b", "2" * 64)

    assert Manifest(tmp_path).get("b") == "2" * 64


def test_what_stands_there_already_is_not_written_again(tmp_path: Path) -> None:
    manifest = Manifest(tmp_path)
    manifest.add("a", "0" * 64)
    size = (tmp_path / NAME).stat().st_size
    manifest.add("a", "0" * 64)

    assert (tmp_path / NAME).stat().st_size == size


def test_a_link_in_its_place_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / NAME).symlink_to(tmp_path / "elsewhere")

    with pytest.raises(OSError, match="symbolic links"):
        Manifest(tmp_path).add("a", "0" * 64)
