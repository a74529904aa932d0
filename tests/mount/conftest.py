"""What the tests of real mounts share: one Apache for the run, one mount for each module."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import science, tree
from tests.support.apache import ApacheServer
from tests.support.mounts import Mount, mounted


@dataclass(frozen=True, slots=True)
class Served:
    """A tree and the server that serves it; no test changes either.

    Attributes:
        root: The tree in the local file system.
        server: Apache with its default limits.
    """

    root: Path
    server: ApacheServer


@pytest.fixture(scope="session")
def served() -> Iterator[Served]:
    """Serve entries, odd names and small files of cryo-EM."""
    with tree.temporary_root() as root:
        tree.make_entries(root)
        tree.make_odd_names(root)
        science.make_samples(root)
        tree.set_times(root)
        with ApacheServer(root) as server:
            yield Served(root, server)


@pytest.fixture(scope="module")
def mount(served: Served) -> Iterator[Mount]:
    """Mount the served tree."""
    with mounted(served.server.url) as made:
        yield made


@pytest.fixture
def root() -> Iterator[Path]:
    """Make an empty directory to be served, which the test may change at will."""
    with tree.temporary_root() as made:
        yield made
