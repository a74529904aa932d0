"""Apache with its defaults over TLS: trusted by its authority, and by nothing else."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mount.conftest import Served
from tests.support import tree
from tests.support.apache import ApacheServer
from tests.support.certificates import make_certificates
from tests.support.mounts import mounted

pytestmark = [pytest.mark.fuse, pytest.mark.apache]


@pytest.fixture(scope="module")
def secure(served: Served) -> Iterator[ApacheServer]:
    with ApacheServer(served.root, tls=True, gzip=True) as server:
        yield server


def test_the_mounted_tree_equals_the_served_one_over_tls(
    served: Served, secure: ApacheServer
) -> None:
    with mounted(secure.url, env=secure.environment) as mount:
        assert tree.differences(served.root, mount.path) == []


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
def test_each_variable_names_an_authority(secure: ApacheServer, variable: str) -> None:
    authority = secure.environment["SSL_CERT_FILE"]
    with mounted(secure.url, env={variable: authority}) as mount:
        sizes = mount.path / "10028/data/sizes"
        assert (sizes / "973").stat().st_size == 973
        assert (sizes / "1024").read_bytes() == tree.contents(b"1024", 1024)


def test_a_server_that_nobody_vouches_for_is_not_read(
    secure: ApacheServer, tmp_path: Path
) -> None:
    other = make_certificates(tmp_path, "another authority")
    environment = {"REQUESTS_CA_BUNDLE": str(other.authority)}
    mark = secure.mark()
    with mounted(secure.url, env=environment, options=["wait=1s"]) as mount:
        mount.warnings_expected = True
        with pytest.raises(OSError, match="10017"):
            os.listdir(mount.path / "10017")

    assert secure.requests_since(mark) == []
