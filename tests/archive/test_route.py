"""Whether there is a way to the archive is found out without asking it for anything."""

from __future__ import annotations

import socket

import pytest

from empiarfs.archive.route import route_problem
from tests.support.network import Network
from tests.support.users import require_root


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def test_a_way_is_enough_whoever_answers_at_its_end() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        port = server.getsockname()[1]

        assert route_problem(f"http://127.0.0.1:{port}/") is None
        # Nobody was asked.
        with pytest.raises(TimeoutError):
            server.accept()
    assert route_problem(f"http://127.0.0.1:{port}/") is None


def test_no_way_is_told() -> None:
    require_root()
    with Network() as network:
        network.down()

        assert route_problem("http://127.0.0.1:80/") == "no way to 127.0.0.1: No route to host"


def test_an_unknown_name_is_told() -> None:
    problem = route_problem("http://no-such-host.invalid/", timeout_s=0.5)

    assert problem is not None
    assert problem.startswith("can't resolve no-such-host.invalid: ")


def test_the_way_to_a_proxy_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://user:secret@no-such-proxy.invalid:3128")

    problem = route_problem("http://127.0.0.1:80/", timeout_s=0.5)

    assert problem is not None
    assert problem.startswith("can't resolve no-such-proxy.invalid: ")
    assert "secret" not in problem
