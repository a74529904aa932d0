"""Figures for Prometheus: as `status` has them, whatever clients do."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from empiarfs.errors import ConfigError
from empiarfs.mount.metrics import MetricsServer
from empiarfs.stats import COUNTERS
from tests.support.broken_server import BrokenServer
from tests.support.mounts import mounted
from tests.support.users import CHECKOUT
from tests.support.waiting import wait_until

DATA = os.urandom(300_000)
STATUS = {
    "mount_point": "/a\udcff",
    "archive_url": "https://host/",
    "version": "1",
    "since_s": 5.5,
    "reachability": "offline",
    "counters": {"reads": 7, "foreseen_unused_bytes": 3},
    "cache": {"used": 10, "limit": 20, "unwell": "full"},
}


@pytest.fixture
def served() -> Iterator[MetricsServer]:
    server = MetricsServer("127.0.0.1:0", lambda: STATUS)
    server.serve()
    yield server
    server.close()


def port_of(address: str) -> int:
    return int(address.rpartition(":")[2])


def scraped(address: str) -> dict[str, float]:
    """Read the figures as Prometheus does: by name, with labels that aren't empty."""
    connection = http.client.HTTPConnection("127.0.0.1", port_of(address), timeout=30)
    try:
        connection.request("GET", "/metrics")
        answer = connection.getresponse()
        assert answer.status == 200
        text = answer.read().decode()
    finally:
        connection.close()
    return {
        sample.name + "".join(f",{value}" for value in sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_figures_are_those_of_the_status(served: MetricsServer) -> None:
    found = scraped(served.address)

    assert found["empiarfs_reads_total"] == 7
    assert found["empiarfs_foreseen_unused_bytes"] == 3
    assert found["empiarfs_cache_used_bytes"] == 10
    assert found["empiarfs_cache_unwell"] == 1
    assert found["empiarfs_archive_state,offline"] == 1
    assert found["empiarfs_archive_state,online"] == 0
    assert found["empiarfs_mount_info,https://host/,/a\\xff,1"] == 1
    assert "empiarfs_open_files" not in found


def test_clients_that_say_nothing_don_t_keep_others_out(served: MetricsServer) -> None:
    held = [socket.create_connection(("127.0.0.1", port_of(served.address))) for _ in range(2)]
    try:
        held[1].sendall(b"\x16\x03\x01 not HTTP\r\n\r\n")

        assert scraped(served.address)["empiarfs_reads_total"] == 7
    finally:
        for each in held:
            each.close()


def test_a_port_that_is_taken_is_told(served: MetricsServer) -> None:
    with pytest.raises(ConfigError, match=f"{port_of(served.address)}: .*another port"):
        MetricsServer(served.address, lambda: STATUS)


def test_it_ends_at_once_though_a_client_is_connected() -> None:
    server = MetricsServer("127.0.0.1:0", lambda: STATUS)
    server.serve()
    with socket.create_connection(("127.0.0.1", port_of(server.address))):
        server.close()

    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port_of(server.address))).close()


@pytest.mark.fuse
def test_a_mount_serves_its_figures_until_its_end() -> None:
    with (
        BrokenServer({"10934/data/a.mrc": DATA}) as server,
        mounted(server.url, options=["metrics=127.0.0.1:0"]) as mount,
    ):
        assert (mount.path / "10934/data/a.mrc").read_bytes() == DATA
        address = mount.status()["metrics"]
        wait_until(lambda: scraped(address)["empiarfs_read_bytes_total"] >= len(DATA), 30)
        found = scraped(address)
        assert found["empiarfs_network_bytes_total"] >= len(DATA)
        assert {f"empiarfs_{name}_total" for name in COUNTERS} - set(found) == {
            "empiarfs_foreseen_unused_bytes_total"
        }
        with socket.create_connection(("127.0.0.1", port_of(address))):
            mount.umount()
    with pytest.raises(ConnectionRefusedError):
        scraped(address)


@pytest.mark.fuse
def test_a_mount_without_the_library_says_what_to_install(tmp_path: Path) -> None:
    missing = tmp_path / "path" / "prometheus_client"
    missing.mkdir(parents=True)
    (missing / "__init__.py").write_text(
        "raise ModuleNotFoundError('no', name='prometheus_client')\n"
    )
    place = tmp_path / "mount"
    place.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "empiarfs", "mount", str(place), "--metrics", "9464",
         "--archive-url", "http://127.0.0.1:9/", "--cache-dir", str(tmp_path / "cache"),
         "--log-file", str(tmp_path / "log")],
        cwd=CHECKOUT,
        env={**os.environ, "HOME": str(tmp_path), "PYTHONPATH": str(missing.parent)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )  # fmt: skip

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("empiarfs: error: ")
    assert "pip install 'empiarfs[metrics]'" in done.stderr
