"""The archive over TLS: verified, cancelled without a byte of ciphertext, reset."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from empiarfs.archive.client import ArchiveClient, ClientConfig
from empiarfs.core.files import FileVersion, RemoteFile
from empiarfs.core.listing import ListingItem
from empiarfs.core.ranges import ByteRange
from empiarfs.errors import ConfigError, InterruptedCallError, StalledError, UnreachableError
from empiarfs.patience import Patience
from empiarfs.stats import Counters
from tests.archive.conftest import MakeClient
from tests.support.broken_server import DEFAULT_MODIFIED_S, BrokenServer, Fault
from tests.support.certificates import make_certificates
from tests.support.ranges import Reading, read, remote_file
from tests.support.stopwatch import Stopwatch
from tests.support.waiting import wait_until

# Text, so that a byte of ciphertext would show.
DATA = b"abcdefghijklmnop" * 100_000


@pytest.fixture(autouse=True)
def _files(tls_server: BrokenServer) -> None:
    tls_server.put("big", DATA)
    for number in range(40):
        tls_server.put(f"d/f{number:02}", bytes(2000 + number))


def test_ranges_listings_and_sizes_come_over_tls(
    tls_server: BrokenServer, make_client: MakeClient
) -> None:
    client = make_client(tls_server)
    assert client.base_url.startswith("https://")
    assert read(client, remote_file(client, "big", len(DATA)), 5, 900_000) == DATA[5:900_000]
    rows = client.listing("d", patience=Patience(10)).items
    sizes: dict[str, FileVersion] = {}
    failures = client.heads("d", rows, patience=Patience(10), answered=sizes.__setitem__)

    assert failures == {}
    assert sizes == {
        f"f{number:02}": FileVersion(2000 + number, DEFAULT_MODIFIED_S) for number in range(40)
    }
    assert tls_server.connections == 1


def test_a_range_goes_over_a_connection_that_was_made_for_sizes(
    tls_server: BrokenServer, make_client: MakeClient
) -> None:
    rows = [ListingItem(f"f{n:02}", False, "2.0K", "2020-09-13 12:27") for n in range(20)]
    client = make_client(tls_server)
    client.heads("d", rows, patience=Patience(10), answered=lambda name, version: None)

    assert read(client, remote_file(client, "big", len(DATA)), 5, 900_000) == DATA[5:900_000]
    assert tls_server.connections == 1


@pytest.mark.parametrize("how", ["close", "cancelled"])
def test_a_cancelled_read_never_hands_out_ciphertext(
    tls_server: BrokenServer, make_client: MakeClient, how: str
) -> None:
    client = make_client(tls_server)
    tls_server.fault("big", Fault.silence_in_body(after=300_000))
    reading = Reading(ByteRange(0, len(DATA)), 1_000)
    file = remote_file(client, "big", len(DATA))
    stop = threading.Event()

    def run() -> None:
        with pytest.raises(InterruptedCallError):
            read(client, file, reading=reading, cancelled=stop.is_set)

    thread = threading.Thread(target=run)
    thread.start()
    wait_until(lambda: reading.whole == 300)
    watch = Stopwatch()
    if how == "close":
        client.close()
    else:
        stop.set()
    thread.join()

    assert watch.seconds() < 0.5
    assert reading.whole == 300
    assert reading.data[:300_000] == DATA[:300_000]
    assert not any(reading.data[300_000:])


def test_cancelling_in_full_flow_never_hands_out_ciphertext(
    tls_server: BrokenServer, make_client: MakeClient
) -> None:
    for turn in range(10):
        client = make_client(tls_server)
        reading = Reading(ByteRange(0, len(DATA)), 10_000)
        file = remote_file(client, "big", len(DATA))
        thread = threading.Thread(target=_read_until_closed, args=(client, file, reading))
        thread.start()
        wait_until(lambda turn=turn, reading=reading: reading.whole >= turn * 3)  # type: ignore[misc]
        client.close()
        thread.join()

        whole = reading.whole * 10_000
        assert reading.data[:whole] == DATA[:whole]


def _read_until_closed(client: ArchiveClient, file: RemoteFile, reading: Reading) -> None:
    try:
        read(client, file, reading=reading)
    except InterruptedCallError:
        return


def test_a_stalled_tls_connection_is_reset(
    tls_server: BrokenServer, make_client: MakeClient
) -> None:
    client = make_client(tls_server, first_byte_s=0.2)
    tls_server.fault("big", Fault.silence())
    with pytest.raises(StalledError):
        read(client, remote_file(client, "big", len(DATA)))

    wait_until(lambda: tls_server.endings == ["reset"])


def test_an_unknown_authority_is_refused(
    tls_server: BrokenServer,
    make_client: MakeClient,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = make_certificates(tmp_path, "another authority")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(other.authority))
    client = make_client(tls_server)

    with pytest.raises(UnreachableError, match="certificate"):
        read(client, remote_file(client, "big", len(DATA)))
    row = ListingItem("f00", False, "2.0K", "")
    failures = client.heads("d", [row], patience=Patience(5), answered=lambda *_: None)
    assert list(failures) == ["f00"]
    assert tls_server.requests == []


def test_another_name_than_the_certificates_is_refused(
    tls_server: BrokenServer, make_client: MakeClient
) -> None:
    # An address of this machine that reaches the listener and isn't in the certificate.
    url = tls_server.url.replace("127.0.0.1", "[::ffff:127.0.0.1]")
    client = make_client(tls_server, base_url=url)

    with pytest.raises(UnreachableError, match="certificate"):
        read(client, remote_file(client, "big", len(DATA)))
    assert tls_server.requests == []


def test_plain_http_spoken_by_a_tls_port_is_unreachable(
    server: BrokenServer, make_client: MakeClient, tls_server: BrokenServer
) -> None:
    url = server.url.replace("http:", "https:")
    client = make_client(server, base_url=url, connect_timeout_s=0.3)

    with pytest.raises(UnreachableError):
        read(client, remote_file(client, "big", len(DATA)))


@pytest.mark.parametrize("kind", ["range", "sizes"])
def test_close_ends_a_handshake_that_hangs(
    server: BrokenServer, make_client: MakeClient, tls_server: BrokenServer, kind: str
) -> None:
    client = make_client(server, base_url=server.url.replace("http:", "https:"))

    def ask() -> None:
        if kind == "range":
            read(client, remote_file(client, "big", len(DATA)))
        else:
            row = ListingItem("f00", False, "2.0K", "")
            client.heads("d", [row], patience=Patience(9), answered=lambda *_: None)

    def run() -> None:
        with pytest.raises(InterruptedCallError):
            ask()

    thread = threading.Thread(target=run)
    thread.start()
    wait_until(lambda: server.open_connections == 1)
    watch = Stopwatch()
    client.close()
    thread.join()

    assert watch.seconds() < 0.5


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
def test_a_bundle_that_cannot_be_read_is_a_mistake_of_the_configuration(
    monkeypatch: pytest.MonkeyPatch, variable: str, tmp_path: Path
) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, str(tmp_path / "absent.pem"))

    with pytest.raises(ConfigError, match="certificates"):
        ArchiveClient(ClientConfig(), Counters())
