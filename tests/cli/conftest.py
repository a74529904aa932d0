"""What the tests of commands share: archives, and the commands on them.

`served` and `commands` are for files, on a real Apache; `archive` and `api` are a stand-in
of EMPIAR with its API, for entries, to which the environment leads every command.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import science, tree
from tests.support.apache import ApacheServer
from tests.support.broken_server import BrokenServer
from tests.support.commands import CommandLine, Commands
from tests.support.entry_api import SAMPLES, EntryApi, sample_entries

PLACE = "empiar/world_availability/"


@pytest.fixture(scope="session")
def served() -> Iterator[ApacheServer]:
    """Serve entries, odd names and small files of cryo-EM; no test changes them."""
    with tree.temporary_root() as root:
        tree.make_entries(root)
        tree.make_odd_names(root)
        science.make_samples(root)
        tree.make_many(root / "10028/data/many", 1200)
        tree.set_times(root)
        with ApacheServer(root) as server:
            yield server


@pytest.fixture
def command_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> CommandLine:
    """What runs commands on an archive, with a home and a cache of the test."""
    return lambda url: Commands(url, tmp_path, monkeypatch, capfdbinary)


@pytest.fixture
def commands(served: ApacheServer, command_line: CommandLine) -> Commands:
    """Run commands on that archive, with a cache of their own."""
    return command_line(served.url)


@pytest.fixture
def archive() -> Iterator[BrokenServer]:
    """A server with EMPIAR and a header of EMDB, each where EMBL-EBI's has it."""
    header = "pub/databases/emdb/structures/EMD-12602/header/emd-12602.xml"
    with BrokenServer(prefix="/") as server:
        for number in sample_entries():
            server.put(f"{PLACE}{number}/data/a.mrc", b"")
        server.put(f"{PLACE}10934/10934.xml", (SAMPLES / "10934.xml").read_bytes())
        server.put(header, (SAMPLES / "emd-12602_COMPOSED.xml").read_bytes())
        yield server


@pytest.fixture
def api(
    archive: BrokenServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[EntryApi]:
    """The API of that archive; the home and the cache directory are empty ones."""
    for name in list(os.environ):
        if name.startswith("EMPIARFS_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with EntryApi(sample_entries()) as api:
        monkeypatch.setenv("EMPIARFS_API_URL", api.url)
        monkeypatch.setenv("EMPIARFS_ARCHIVE_URL", archive.url + PLACE)
        monkeypatch.setenv("EMPIARFS_CACHE_DIR", str(tmp_path / "cache"))
        yield api
