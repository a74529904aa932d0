"""What the tests of the Python interface share: an archive, and settings of their own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import empiarfs
from empiarfs.python import session
from tests.support import science, tree
from tests.support.apache import ApacheServer
from tests.support.broken_server import BrokenServer

STACK = "10002/data/stack.mrcs"
STACK_SIZE = 12_000_000


@dataclass(frozen=True, slots=True)
class Served:
    """A tree and the server that serves it; no test changes either."""

    root: Path
    server: ApacheServer

    def bytes_of(self, path: str) -> bytes:
        """Return what is at a path."""
        return (self.root / path).read_bytes()

    def fetched_since(self, mark: int) -> int:
        """Return how many bytes of files were sent since `ApacheServer.mark`."""
        requests = self.server.requests_since(mark)
        return sum(each.size for each in requests if each.status == 206)


@pytest.fixture(scope="session")
def served() -> Iterator[Served]:
    """Serve small files of cryo-EM, and a stack of 12 MB."""
    with tree.temporary_root() as root:
        science.make_samples(root)
        tree.write_file(root / STACK, tree.contents(b"stack", STACK_SIZE))
        tree.write_file(root / "10017/data/gain.mrc", b"gain")
        tree.write_file(root / "10017/10017.xml", b"<entry/>")
        tree.set_times(root)
        with ApacheServer(root) as server:
            yield Served(root, server)


@pytest.fixture(autouse=True)
def _settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give each test a cache of its own, which other processes of it have as well."""
    for name in list(os.environ):
        if name.startswith("EMPIARFS_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("EMPIARFS_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    yield
    empiarfs.configure(**dict.fromkeys(dict(session.default_session().settings)))
    empiarfs.close()


@pytest.fixture
def archive(served: Served, monkeypatch: pytest.MonkeyPatch) -> Served:
    """Have the served tree read."""
    use(monkeypatch, served.server.url)
    return served


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[BrokenServer]:
    """Have a server read that has nothing yet, and breaks as it is told."""
    with BrokenServer() as server:
        use(monkeypatch, server.url)
        yield server
        empiarfs.close()


def use(monkeypatch: pytest.MonkeyPatch, url: str, api_url: str = "") -> None:
    """Have an archive read; without an API there is one that knows nothing."""
    monkeypatch.setenv("EMPIARFS_ARCHIVE_URL", url)
    monkeypatch.setenv("EMPIARFS_API_URL", api_url or f"{url}api/")
