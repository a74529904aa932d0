"""Lists of checksums are read as the programs that make them print them."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from empiarfs.core.checksums import Checksum, parse_checksums

NAMES = (b"a.mrc", b"two  blanks.mrc", b"back\\slash", b"new\nline", b"\xff.mrc", b"a) = b")


@pytest.mark.parametrize("kind", ["md5", "sha1", "sha256"])
@pytest.mark.parametrize("option", [[], ["--binary"], ["--tag"]], ids=str)
def test_what_coreutils_print_is_understood(tmp_path: Path, kind: str, option: list[str]) -> None:
    for name in NAMES:
        (Path(str(tmp_path)) / name.decode("utf-8", "surrogateescape")).write_bytes(name)
    done = subprocess.run([f"{kind}sum", *option, *NAMES], cwd=tmp_path, capture_output=True,
                          check=True)  # fmt: skip

    found = list(parse_checksums(done.stdout))
    assert found == [
        Checksum(
            name.decode("utf-8", "surrogateescape"),
            kind,
            hashlib.new(kind, name).hexdigest(),
        )
        for name in NAMES
    ]


def test_lines_of_another_kind_are_passed_over() -> None:
    raw = b"# comment\r\n" + b"0" * 33 + b"  odd\n" + b"A" * 32 + b"  x\r\n\n" + b"0" * 32

    assert list(parse_checksums(raw)) == [Checksum("x", "md5", "a" * 32)]


@given(st.binary())
def test_anything_else_is_no_error(raw: bytes) -> None:
    assert all(each.kind in ("md5", "sha1", "sha256") for each in parse_checksums(raw))
