"""A breakable server, and clients of it that share slots with nobody."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from empiarfs.archive.client import ArchiveClient, ClientConfig
from empiarfs.stats import Counters
from tests.support.broken_server import BrokenServer
from tests.support.certificates import Certificates, make_certificates

MakeClient = Callable[..., ArchiveClient]

_numbers = itertools.count()

PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXY_VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def prefix() -> str:
    """A name for slots that no other test and no mount uses."""
    return f"empiarfs-test-{os.getpid()}-{next(_numbers)}"


@pytest.fixture
def server() -> Iterator[BrokenServer]:
    with BrokenServer() as server:
        yield server


@pytest.fixture
def counters() -> Counters:
    return Counters()


@pytest.fixture
def make_client(prefix: str, counters: Counters, tmp_path: Path) -> Iterator[MakeClient]:
    with contextlib.ExitStack() as stack:

        def make(server: BrokenServer, **options: object) -> ArchiveClient:
            config = ClientConfig(
                base_url=server.url, slot_prefix=prefix, rate_file=tmp_path / "rate"
            )
            client = ArchiveClient(replace(config, **options), counters)  # type: ignore[arg-type]
            stack.callback(client.close)
            return client

        yield make


@pytest.fixture
def client(server: BrokenServer, make_client: MakeClient) -> ArchiveClient:
    return make_client(server)


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def tls_server(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> Iterator[BrokenServer]:
    """A server whose authority the environment names."""
    for name in ("CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificates.authority))
    pair: tuple[Path, Path] = (certificates.certificate, certificates.key)
    with BrokenServer(tls=pair) as server:
        yield server
