"""fsspec's own suite for what copies from a file system, on ours; it can't be written to.

What it makes on the file system under test is made in a local directory here and then served.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

import empiarfs
from empiarfs.python.filesystem import EmpiarFileSystem
from tests.python.conftest import use
from tests.support.broken_server import BrokenServer

suite = pytest.importorskip("fsspec.tests.abstract")


class TestGet(suite.AbstractFixtures, suite.AbstractGetTests):  # type: ignore[name-defined]
    """Files and directories are copied to where `cp` would copy them."""

    # It makes a directory there.
    test_get_directory_recursive = None

    @pytest.fixture
    def server(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[BrokenServer]:
        with BrokenServer() as server:
            use(monkeypatch, server.url)
            yield server
            empiarfs.close()
            EmpiarFileSystem.clear_instance_cache()

    @pytest.fixture
    def fs(self, server: BrokenServer) -> Any:
        return fsspec.filesystem("empiar")

    @pytest.fixture
    def fs_path(self) -> str:
        return "10934/data"

    @pytest.fixture
    def make(self, server: BrokenServer, tmp_path: Path) -> Callable[[str], str]:
        def made(scenario: str) -> str:
            place = tmp_path / "made"
            local = fsspec.filesystem("file", auto_mkdir=True)
            make = getattr(self, f"_{scenario}")
            make(local, lambda *names: "/".join(map(str, names)), str(place))
            for file in place.rglob("*"):
                if file.is_file():
                    server.put(f"10934/data/{file.relative_to(place)}", file.read_bytes())
            return "10934/data/source"

        return made

    @pytest.fixture
    def fs_bulk_operations_scenario_0(self, make: Callable[[str], str]) -> str:
        return make("bulk_operations_scenario_0")

    @pytest.fixture
    def fs_glob_edge_cases_files(self, make: Callable[[str], str]) -> str:
        return make("glob_edge_cases_files")

    @pytest.fixture
    def fs_dir_and_file_with_same_name_prefix(self, make: Callable[[str], str]) -> str:
        return make("dir_and_file_with_same_name_prefix")

    @pytest.fixture
    def fs_10_files_with_hashed_names(self, make: Callable[[str], str]) -> str:
        return make("10_files_with_hashed_names")
