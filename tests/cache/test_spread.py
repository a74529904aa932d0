"""The hint that spreads a generation's folders over the disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from empiarfs.cache.generations import Generations
from empiarfs.cache.spread import TOP_OF_HIERARCHY, folder_flags, spread_folders_below


def test_a_new_generation_spreads_its_folders(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.mkdir()
    spread_folders_below(plain)
    try:
        flags = folder_flags(plain)
    except OSError as exc:
        pytest.skip(f"this file system has no such flags: {exc}")
    if not flags & TOP_OF_HIERARCHY:
        pytest.skip("this file system doesn't know the hint")
    held = Generations(tmp_path / "blocks").open()

    assert folder_flags(held.path) & TOP_OF_HIERARCHY
    held.close()


def test_a_folder_that_is_not_there_is_no_error(tmp_path: Path) -> None:
    spread_folders_below(tmp_path / "none")
