"""What the tests of commands share: an archive served by Apache, and the commands on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import science, tree
from tests.support.apache import ApacheServer
from tests.support.commands import Commands


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
def commands(
    served: ApacheServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> Commands:
    """Run commands on that archive, with a cache of their own."""
    return Commands(served.url, tmp_path, monkeypatch, capfdbinary)
