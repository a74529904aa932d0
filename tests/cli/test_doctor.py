"""The command `doctor`: each thing that is wrong is found, named, and has a remedy."""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import tree
from tests.support.broken_server import BrokenServer, Fault
from tests.support.commands import CommandLine, Commands
from tests.support.disks import memory_disk
from tests.support.mounts import mounted

FILES = {
    "10002/10002.xml": b"<entry/>",
    "10002/data/movie.mrc": tree.contents(b"movie", 20_000_000),
}


@pytest.fixture
def server() -> Iterator[BrokenServer]:
    with BrokenServer(FILES) as made:
        yield made


@pytest.fixture
def doctor(
    server: BrokenServer,
    command_line: CommandLine,
) -> Commands:
    return command_line(server.url)


def found(doctor: Commands, *words: str) -> dict[str, dict[str, Any]]:
    """What it finds, by name."""
    said = doctor("doctor", "--json", *words).json
    assert said["problems"] == sum(f["verdict"] == "PROBLEM" for f in said["findings"])
    return {finding["name"]: finding for finding in said["findings"]}


def test_where_all_is_well_it_says_so(doctor: Commands, server: BrokenServer) -> None:
    done = doctor("doctor", "--speed")

    assert done.status == 0
    assert done.lines[-1] == "no problem was found"
    assert {line.split()[1] for line in done.lines[:-1]} >= {
        "versions", "/dev/fuse", "libfuse", "cache", "disk", "archive", "ranges", "speed",
    }  # fmt: skip
    sent = sum(len(r.headers.get("range", "")) > 0 for r in server.requests if r.method == "GET")
    assert sent <= 6
    assert server.peak_connections <= 12


def test_without_speed_no_file_is_fetched(doctor: Commands, server: BrokenServer) -> None:
    assert doctor("doctor").status == 0
    assert [r for r in server.requests if r.headers.get("range") == "bytes=0-4194303"] == []


def test_offline_asks_nobody(doctor: Commands, server: BrokenServer) -> None:
    assert "archive" not in found(doctor, "--offline")
    assert server.requests == []


def test_an_archive_that_refuses_connections_is_a_problem(doctor: Commands) -> None:
    finding = found(doctor, "--archive-url", "http://127.0.0.1:9/")["archive"]

    assert finding["verdict"] == "PROBLEM"
    assert "refused" in finding["text"]
    assert "25 connections" in finding["remedy"]


def test_a_name_that_can_not_be_resolved_is_a_problem(doctor: Commands) -> None:
    finding = found(doctor, "--archive-url", "https://nowhere.invalid/")["way"]

    assert finding["verdict"] == "PROBLEM"
    assert "nowhere.invalid" in finding["text"]


def test_an_archive_without_ranges_is_a_problem(doctor: Commands, server: BrokenServer) -> None:
    server.fault(
        lambda request: request.method == "GET" and "range" in request.headers,
        Fault.whole_file(),
        times=100,
    )
    finding = found(doctor)["ranges"]

    assert finding["verdict"] == "PROBLEM"
    assert "no_proxy" in finding["remedy"]


@pytest.mark.parametrize("password", ["se/cret", "se%2Fcret"])  # the first can't be used
def test_a_proxys_password_is_not_shown(
    doctor: Commands, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, password: str
) -> None:
    monkeypatch.setenv("http_proxy", f"http://ada:{password}@127.0.0.1:9")
    monkeypatch.delenv("no_proxy")
    report = tmp_path / "report.tar.gz"
    done = doctor("doctor", "--archive-url", "http://archive.test/", "--report", str(report))

    assert "cret" not in done.out.decode() + done.err
    assert "cret" not in "".join(contents_of(report).values())


def test_a_cache_on_a_full_disk_is_a_problem(doctor: Commands, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounts a disk")
    with memory_disk(tmp_path / "disk", "size=40m") as disk:
        (disk.path / "cache").mkdir(mode=0o700)
        assert doctor("cache", "size", "20M", "--cache-dir", str(disk.path / "cache")).status == 0
        disk.fill()
        findings = found(doctor, "--cache-dir", str(disk.path / "cache"))

        assert findings["room"]["verdict"] == "PROBLEM"
        assert findings["disk"]["verdict"] == "PROBLEM"
        assert "can't be written" in findings["disk"]["text"]


def test_a_place_that_can_not_be_used_is_a_problem(doctor: Commands, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no directory")
    finding = found(doctor, "--offline", "--cache-dir", str(tmp_path / "file"))["cache"]

    assert finding["verdict"] == "PROBLEM"
    assert "not a directory" in finding["text"]


def contents_of(report: Path) -> dict[str, str]:
    with tarfile.open(report) as archive:
        members = [member for member in archive.getmembers() if member.isfile()]
        return {
            member.name: part.read().decode()
            for member in members
            if (part := archive.extractfile(member)) is not None
        }


@pytest.mark.fuse
def test_a_report_tells_of_settings_mounts_and_logs(server: BrokenServer, tmp_path: Path) -> None:
    report = tmp_path / "report.tar.gz"
    with mounted(server.url) as mount:
        done = mount.command(
            "doctor", "--offline", "--archive-url", server.url, "--report", report
        )
        parts = contents_of(report)

        assert done.returncode == 0, done.stdout
        assert str(mount.path) in json.dumps(json.loads(parts["empiarfs-report/status.json"]))
        assert str(mount.path) in parts["empiarfs-report/mountinfo.txt"]
        assert "mounted" in parts["empiarfs-report/log-0.txt"]
        settings = json.loads(parts["empiarfs-report/settings.json"])
        assert settings["values"]["max_connections"] == "12"
        assert settings["origins"]["max_connections"]


def test_a_report_that_can_not_be_written_is_told(doctor: Commands) -> None:
    done = doctor("doctor", "--offline", "--report", "/nonexistent/report.tar.gz")

    assert done.status == 2
    assert "can't be written" in done.err
