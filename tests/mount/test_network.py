"""The network goes and comes back: what is known is served, what waits goes on, all heals.

Where the tests run as root the network is one of their own, whose interface or routes are
taken away under a mount; connections that stood then are silent, as on a real machine.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.support.broken_server import BrokenServer, Fault
from tests.support.campaign import is_whole, tally
from tests.support.mounts import Mount, mounted
from tests.support.network import NameServer, Network, name_server_address
from tests.support.proxy import Proxy
from tests.support.sleeper import SleepyMachine
from tests.support.slow_link import LinkSettings, SlowLink
from tests.support.users import require_root
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.fuse, pytest.mark.slow]

CONTENT = bytes(range(256)) * 1024
SEEN, KNOWN = "10001/data/seen.mrc", "10001/data/known.mrc"
UNKNOWN = "10002/data"
# From the first news on, the archive is tried each 5, 10, 15, 15 … s.
HEALED_S = 60.0
OPTIONS = ("wait=5m", "lookup_wait=20s")


@pytest.fixture
def network() -> Iterator[Network]:
    require_root()
    with Network() as made:
        yield made


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[BrokenServer]:
    if "network" in request.fixturenames:
        request.getfixturevalue("network")  # first of all, so that the server is in it
    with BrokenServer() as made:
        for path in (SEEN, KNOWN, f"{UNKNOWN}/a.mrc"):
            made.put(path, CONTENT)
        yield made


def get_to_know(mount: Mount) -> bytes:
    """Read one file, learn the sizes of all in its directory; return its long listing."""
    assert mount.run("cat", mount.path / SEEN).stdout == CONTENT
    return long_listing(mount)


def long_listing(mount: Mount) -> bytes:
    done = mount.run("ls", "-l", mount.path / "10001/data")
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout


def check_what_is_known(mount: Mount, listing: bytes) -> None:
    forget = "import os, sys; os.posix_fadvise(os.open(sys.argv[1], 0), 0, 0, 4)"
    mount.run(sys.executable, "-c", forget, mount.path / SEEN)
    seen = mount.run("cat", mount.path / SEEN).stdout
    tally.add("reads", "offline", 1)
    tally.add("wrong_bytes", "offline", int(seen != CONTENT))
    assert seen == CONTENT
    assert long_listing(mount) == listing


def lists_unknown(mount: Mount) -> bool:
    """Tell whether what was never seen can be listed; if not, it must be an error."""
    done = mount.run("ls", mount.path / UNKNOWN)
    tally.add("names", "offline", 1)
    tally.add("lost_names", "offline", int(b"No such file" in done.stderr))
    assert b"No such file" not in done.stderr
    assert done.returncode == 0 or b"Input/output error" in done.stderr
    return done.returncode == 0


def start_reader(mount: Mount) -> subprocess.Popen[bytes]:
    return mount.start("cat", KNOWN)


def check_reader(reader: subprocess.Popen[bytes]) -> None:
    """Wait for the end of a read that went on, and compare its bytes."""
    output, _ = reader.communicate(timeout=HEALED_S + 30)
    tally.add("reads", "over a gap", 1)
    tally.add("wrong_bytes", "over a gap", int(output != CONTENT and reader.returncode == 0))
    assert (reader.returncode, output) == (0, CONTENT)


@pytest.mark.parametrize("silent", [False, True] if is_whole() else [False])
def test_all_heals_when_the_network_is_back(
    network: Network, server: BrokenServer, silent: bool
) -> None:
    with mounted(server.url, options=OPTIONS) as mount:
        mount.warnings_expected = True
        listing = get_to_know(mount)
        if not is_whole():
            # One that stood would be waited for, for twelve seconds.
            wait_until(lambda: mount.status()["connections"] == 0, 30)
        network.down(silent=silent)
        gone_s = time.monotonic()
        reader = start_reader(mount)
        wait_until(lambda: mount.status()["reachability"] == "offline", 90)

        began_s = time.monotonic()
        for _ in range(20):
            assert not lists_unknown(mount)
        # One of them may be the one that finds out.
        assert time.monotonic() - began_s < 20
        check_what_is_known(mount, listing)
        assert "archive offline" in mount.command("status", mount.path).stdout
        if is_whole():
            time.sleep(max(0.0, gone_s + 60 - time.monotonic()))
        assert reader.poll() is None
        network.up()

        check_reader(reader)
        wait_until(lambda: lists_unknown(mount), HEALED_S)
        assert mount.status()["reachability"] == "online"
        # Nothing was refused to the reader that waited; the names were.
        errors = mount.command("status", "--errors", mount.path).stdout
        assert KNOWN not in errors
        assert UNKNOWN.partition("/")[0] in errors


def test_a_mount_is_made_without_a_network_and_heals(
    network: Network, server: BrokenServer
) -> None:
    network.down()
    with mounted(server.url, options=OPTIONS) as mount:
        mount.warnings_expected = True
        assert "note:       the archive can't be reached now (no way to 127.0.0.1" in mount.output
        assert not lists_unknown(mount)
        network.up()
        wait_until(lambda: lists_unknown(mount), HEALED_S)

        listing = get_to_know(mount)
        network.down()
        mount.remount()
        assert "can't be reached now" in mount.output
        check_what_is_known(mount, listing)
        network.up()


def test_names_that_can_not_be_resolved_heal(network: Network, server: BrokenServer) -> None:
    address = name_server_address()
    if address is None:
        pytest.skip("this machine asks no name server by IPv4")
    network.add_address(address)
    url = server.url.replace("127.0.0.1", "archive.test")
    with mounted(url, options=OPTIONS) as mount:
        mount.warnings_expected = True
        assert "can't resolve archive.test" in mount.output
        assert not lists_unknown(mount)
        with NameServer(address):
            wait_until(lambda: lists_unknown(mount), HEALED_S)
            listing = get_to_know(mount)
        # It is gone again, and its last answer serves.
        check_reader(start_reader(mount))
        check_what_is_known(mount, listing)


def test_a_read_goes_on_when_a_proxy_is_back(server: BrokenServer) -> None:
    proxy = Proxy(server.port)
    url = f"http://archive.test:{server.port}{server.url.partition(str(server.port))[2]}"
    port = proxy.port
    try:
        with mounted(
            url, options=OPTIONS, env={"http_proxy": f"http://127.0.0.1:{port}"}
        ) as mount:
            mount.warnings_expected = True
            listing = get_to_know(mount)
            proxy.close()
            reader = start_reader(mount)
            wait_until(lambda: mount.status()["reachability"] == "offline", 90)
            check_what_is_known(mount, listing)
            assert not lists_unknown(mount)
            assert reader.poll() is None
            proxy = Proxy(server.port, port)

            check_reader(reader)
            wait_until(lambda: lists_unknown(mount), HEALED_S)
    finally:
        proxy.close()


def test_a_read_goes_on_at_once_when_the_machine_wakes_up(server: BrokenServer) -> None:
    # Every connection that the machine has had is dead, and nobody says so.
    with (
        SleepyMachine() as machine,
        mounted(server.url, options=OPTIONS, env=machine.environment) as mount,
    ):
        listing = get_to_know(mount)
        server.fault(KNOWN, Fault.silence_in_body(1000), times=10**6)
        before = len(server.requests)
        reader = start_reader(mount)
        wait_until(lambda: KNOWN in {request.path for request in server.requests[before:]})
        server.forget_faults()
        machine.sleep(3600)
        woken_s = time.monotonic()

        check_reader(reader)
        took_s = time.monotonic() - woken_s
        check_what_is_known(mount, listing)

    # A body that doesn't move is given up after ten seconds.
    assert took_s < 7


GAP = """
import sys
for number in range(int(sys.argv[2])):
    with open(f"{sys.argv[1]}/{number}.mrc", "rb", buffering=0) as file:
        for offset in range(0, 262144, 65536):
            if file.read(65536) != bytes(range(256)) * 256:
                sys.exit(f"wrong bytes in {number} at {offset}")
    print(number, flush=True)
"""


def test_a_gap_in_which_nothing_moves_costs_time_only(server: BrokenServer) -> None:
    count = 12
    for number in range(count):
        server.put(f"10003/{number}.mrc", CONTENT)
    with (
        SlowLink(server.url, LinkSettings(round_trip_s=0.02, link_rate=500_000)) as link,
        mounted(link.url_for(server.url), options=OPTIONS) as mount,
    ):
        reader = mount.start(sys.executable, "-c", GAP, "10003", str(count))
        assert reader.stdout is not None
        assert reader.stdout.readline() == b"0\n"
        link.cut_off()
        if is_whole():
            # What waits is dropped and asked for again, in vain, on new connections.
            wait_until(lambda: mount.status()["counters"]["stalls"] > 2, 120)
        else:
            time.sleep(2)  # is the gap
        assert reader.poll() is None
        link.restore()
        output, _ = reader.communicate(timeout=HEALED_S)

    tally.add("reads", "over a gap", 4 * count)
    tally.add("wrong_bytes", "over a gap", int(reader.returncode != 0))
    assert reader.returncode == 0
    assert len(output.splitlines()) == count - 1
