"""Names, addresses and proxies on the way to the archive."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from empiarfs.archive.client import ArchiveClient, ClientConfig
from empiarfs.archive.environment import origin_from
from empiarfs.archive.sockets import Address, Resolver, cut, open_socket
from empiarfs.archive.watch import Watch
from empiarfs.errors import ConfigError, InterruptedCallError, UnavailableError, UnreachableError
from empiarfs.patience import Patience
from empiarfs.stats import Counters
from tests.archive.conftest import MakeClient
from tests.support.broken_server import BrokenServer
from tests.support.proxy import Proxy
from tests.support.ranges import read, remote_file
from tests.support.stopwatch import Stopwatch
from tests.support.waiting import wait_until


def watch(patience: Patience | None = None) -> Watch:
    return Watch("http://x/", patience or Patience(20), first_byte_s=5)


def ipv4(host: str, port: int) -> Address:
    return (socket.AF_INET, (host, port))


class Lookups:
    """A resolver's answers, which may be held up."""

    def __init__(self, *answers: list[Address] | OSError) -> None:
        self.answers = list(answers)
        self.asked = 0
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, host: str, port: int) -> list[Address]:
        self.asked += 1
        self.gate.wait(30)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, OSError):
            raise answer
        return answer


def addresses(resolver: Resolver, seconds: float = 5) -> list[Address]:
    until_s = time.monotonic() + seconds
    return resolver.addresses("host", 80, until_s=until_s, check=lambda: None)


def test_a_name_is_asked_for_once_however_many_want_it() -> None:
    lookups = Lookups([ipv4("10.0.0.1", 80)])
    lookups.gate.clear()
    resolver = Resolver(lookups)
    found: list[list[Address]] = []
    threads = [
        threading.Thread(target=lambda: found.append(addresses(resolver))) for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    wait_until(lambda: lookups.asked)
    lookups.gate.set()
    for thread in threads:
        thread.join()

    assert found == [[ipv4("10.0.0.1", 80)]] * 5
    assert lookups.asked == 1


def test_a_hanging_resolver_hangs_nobody_longer_than_allowed() -> None:
    lookups = Lookups([ipv4("10.0.0.1", 80)])
    lookups.gate.clear()
    resolver = Resolver(lookups)
    stopwatch = Stopwatch()
    with pytest.raises(UnreachableError, match="in time"):
        open_socket(resolver, "host", 80, timeout_s=0.2, watch=watch())

    assert stopwatch.seconds() < 1
    with pytest.raises(InterruptedCallError):
        open_socket(resolver, "host", 80, timeout_s=9, watch=watch(Patience(9, lambda: True)))
    lookups.gate.set()
    wait_until(lambda: addresses(resolver))
    assert lookups.asked == 1


def test_a_last_good_answer_serves_when_a_newer_one_fails() -> None:
    resolver = Resolver(Lookups([ipv4("10.0.0.1", 80)], OSError("no name server")))
    first = addresses(resolver)
    resolver.forget()

    assert addresses(resolver) == first


def test_families_are_tried_by_turns_and_the_one_that_worked_first() -> None:
    six = [(socket.AF_INET6, (f"::{n}", 80, 0, 0)) for n in (1, 2)]
    four = [ipv4(f"10.0.0.{n}", 80) for n in (1, 2)]
    resolver = Resolver(Lookups([*six, *four, six[0]]))

    assert addresses(resolver) == [six[0], four[0], six[1], four[1]]
    resolver.prefer("host", 80, four[1])
    assert addresses(resolver)[0] == four[1]


@pytest.fixture
def full_port() -> Iterator[int]:
    """A port that takes no connection and refuses none: its queue is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(8):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


def test_a_dead_address_does_not_hide_the_next_one(server: BrokenServer, full_port: int) -> None:
    resolver = Resolver(Lookups([ipv4("127.0.0.1", full_port), ipv4("127.0.0.1", server.port)]))
    connection = open_socket(resolver, "host", 80, timeout_s=1.0, watch=watch())
    port = connection.getpeername()[1]
    cut(connection, reset=True)

    assert port == server.port


def test_all_addresses_together_get_one_timeout(full_port: int) -> None:
    resolver = Resolver(Lookups([ipv4(f"127.0.0.{n}", full_port) for n in (1, 1, 1)]))
    stopwatch = Stopwatch()
    with pytest.raises(UnreachableError, match="can't connect"):
        open_socket(resolver, "host", 80, timeout_s=0.3, watch=watch())

    assert stopwatch.elapsed() >= 0.2
    assert stopwatch.seconds() < 1


def test_a_refused_connection_says_so() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        resolver = Resolver(Lookups([ipv4(*free.getsockname())]))
        with pytest.raises(UnreachableError, match="refused"):
            open_socket(resolver, "host", 80, timeout_s=1, watch=watch())


@pytest.fixture
def proxies() -> Iterator[list[Proxy]]:
    started: list[Proxy] = []
    yield started
    for proxy in started:
        proxy.close()


def test_a_proxy_for_http_gets_whole_urls_and_sizes_come_one_by_one(
    server: BrokenServer,
    make_client: MakeClient,
    proxies: list[Proxy],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    proxies.append(Proxy(server.port))
    monkeypatch.setenv("http_proxy", f"http://me:pw@127.0.0.1:{proxies[0].port}")
    for number in range(5):
        server.put(f"d/f{number}", bytes(1000 + number))
    client = make_client(server, base_url="http://archive.test/archive/")
    rows = client.listing("d", patience=Patience(10)).items
    sizes: dict[str, int] = {}
    failures = client.heads(
        "d",
        rows,
        patience=Patience(10),
        answered=lambda name, version: sizes.update({name: version.size}),
    )

    assert failures == {}
    assert sizes == {f"f{number}": 1000 + number for number in range(5)}
    assert proxies[0].first_lines[0] == "GET http://archive.test/archive/d/ HTTP/1.1"
    assert "Proxy-Authorization: Basic bWU6cHc=" in proxies[0].headers[0]
    assert {request.headers["host"] for request in server.requests} == {"archive.test"}
    client.close()


def test_a_proxy_for_https_gets_a_tunnel_and_tls_is_still_verified(
    tls_server: BrokenServer,
    make_client: MakeClient,
    proxies: list[Proxy],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    proxies.append(Proxy(tls_server.port))
    monkeypatch.setenv("HTTPS_PROXY", f"127.0.0.1:{proxies[0].port}")
    tls_server.put("a", b"data" * 100)
    url = tls_server.url.replace("127.0.0.1", "localhost")
    client = make_client(tls_server, base_url=url)
    assert read(client, remote_file(client, "a", 400)) == b"data" * 100
    (first_line,) = proxies[0].first_lines
    assert first_line.startswith(f"CONNECT localhost:{tls_server.port} HTTP/1.")
    client.close()
    other = make_client(tls_server, base_url=url.replace("localhost", "archive.test"))

    with pytest.raises(UnreachableError, match="certificate"):
        read(other, remote_file(other, "a", 400))
    other.close()


def test_no_proxy_is_honoured(
    server: BrokenServer, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "example.com,127.0.0.1")
    server.put("a", b"data")
    client = make_client(server)

    assert read(client, remote_file(client, "a", 4)) == b"data"


def test_a_dead_proxy_is_an_unreachable_archive(
    server: BrokenServer, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free.getsockname()[1]}")
        client = make_client(server)
        with pytest.raises(UnreachableError):
            read(client, remote_file(client, "a", 4))
        with pytest.raises(UnavailableError):
            read(client, remote_file(client, "a", 4))

    assert client.reachability == "offline"


def test_the_environment_is_read_once(
    server: BrokenServer, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.put("a", b"data")
    client = make_client(server)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")

    assert read(client, remote_file(client, "a", 4)) == b"data"


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1", "https://127.0.0.1:1"])
def test_a_proxy_of_another_kind_is_a_mistake_of_the_configuration(
    proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", proxy)

    with pytest.raises(ConfigError, match="proxy"):
        ArchiveClient(ClientConfig("https://archive.test/"), Counters())


@pytest.mark.parametrize(
    "url",
    [
        "",
        "archive/",
        "ftp://a/b/",
        "http://",
        "http://a/?x",
        "http://a/#x",
        "http://[",
        "http://a:b/",
    ],
)
def test_a_url_that_is_no_archive_is_a_mistake_of_the_configuration(url: str) -> None:
    with pytest.raises(ConfigError, match="archive URL"):
        ArchiveClient(ClientConfig(url), Counters())


@pytest.mark.parametrize(
    ("url", "base", "header"),
    [
        ("http://a", "http://a/", "a"),
        ("https://a:443/b", "https://a/b/", "a"),
        ("https://u:p@a:444/b/", "https://a:444/b/", "a:444"),
        ("http://[::1]:80/", "http://[::1]/", "[::1]"),
        ("http://[::1]:8080/x", "http://[::1]:8080/x/", "[::1]:8080"),
    ],
)
def test_origins_are_spelt_one_way(url: str, base: str, header: str) -> None:
    origin = origin_from(url)

    assert (origin.base_url, origin.host_header) == (base, header)
