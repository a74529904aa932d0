"""Copies of files that have changed since it was said how large they are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from empiarfs.config import Config
from empiarfs.core.files import FileVersion
from empiarfs.downloads import Downloads, Wanted
from empiarfs.errors import EmpiarFSError
from empiarfs.mount.composition import Parts, build
from empiarfs.patience import Patience
from tests.support.broken_server import BrokenServer

PATH = "10934/data/a.mrc"
CONTENT = bytes(range(256)) * 500


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    with BrokenServer({PATH: CONTENT}) as server:
        made = build(replace(Config(), archive_url=server.url, cache_dir=tmp_path / "cache"))
        yield made
        made.close()


def version_of(parts: Parts) -> FileVersion:
    return parts.tree.version(PATH, Patience(30))


def copied(parts: Parts, folder: Path, version: FileVersion) -> list[str]:
    """Copy the file as of that version; return why it failed."""
    failed: list[str] = []

    def note(path: str, error: EmpiarFSError) -> None:
        failed.append(str(error))

    downloads = Downloads(parts.files, folder, wait_s=30, failed=note)
    downloads.run([Wanted(PATH, version)], lambda done: None)
    return failed


def test_the_version_that_was_wanted_is_copied(parts: Parts, tmp_path: Path) -> None:
    assert copied(parts, tmp_path / "dest", version_of(parts)) == []
    assert (tmp_path / "dest" / PATH).read_bytes() == CONTENT


@pytest.mark.parametrize(("more", "later_s"), [(0, 60), (1, 0), (-1, 0)])
def test_another_version_is_never_copied_in_its_place(
    parts: Parts, tmp_path: Path, more: int, later_s: int
) -> None:
    now = version_of(parts)
    assert now.modified_s is not None
    wanted = FileVersion(now.size + more, now.modified_s + later_s)
    (failed,) = copied(parts, tmp_path / "dest", wanted)

    assert "changed in the archive" in failed
    assert not (tmp_path / "dest" / PATH).exists()
    assert (tmp_path / "dest/SHA256SUMS").exists() is False
