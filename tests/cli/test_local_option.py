"""Commands and Python that read files from local copies."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import empiarfs
from empiarfs.python import session
from tests.support import tree
from tests.support.broken_server import BrokenServer
from tests.support.commands import CommandLine, Commands
from tests.support.local_copies import put, wait_for_rest
from tests.support.users import CHECKOUT

HERE, AWAY = "10934/data/a.mrc", "10934/data/b.mrc"
FILES = {name: tree.contents(name.encode(), 500_000) for name in (HERE, AWAY)}


@pytest.fixture
def server() -> Iterator[BrokenServer]:
    with BrokenServer(FILES) as made:
        yield made


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("copies")
    put(folder / HERE, FILES[HERE])
    wait_for_rest(folder)
    return folder


@pytest.fixture
def run(
    server: BrokenServer,
    command_line: CommandLine,
) -> Commands:
    return command_line(server.url)


def gets(server: BrokenServer) -> list[str]:
    """The files whose bytes were asked for."""
    requests = [request for request in server.requests if request.method == "GET"]
    return sorted({name for name in FILES for request in requests if request.path.endswith(name)})


def test_get_copies_what_is_there_from_there(
    run: Commands, server: BrokenServer, copies: Path, tmp_path: Path
) -> None:
    done = run("get", "10934", str(tmp_path / "new"), "--local", str(copies), "--json")

    assert (done.status, done.json["files"], done.json["bytes"]) == (0, 2, 1_000_000)
    assert gets(server) == [AWAY]
    for name, data in FILES.items():
        assert (tmp_path / "new" / name).read_bytes() == data


@pytest.mark.parametrize("above", ["", ".."])
def test_get_repairs_a_copy_by_the_archive_and_not_by_itself(
    run: Commands, server: BrokenServer, tmp_path: Path, above: str
) -> None:
    damaged = put(tmp_path / "new" / HERE, bytes(500_000), modified_s=5)
    wait_for_rest(tmp_path / "new")
    words = ["--overwrite", "--local", str(tmp_path / "new" / above)]

    assert run("get", HERE, str(tmp_path / "new"), *words).status == 0
    assert damaged.read_bytes() == FILES[HERE]
    assert gets(server) == [HERE]


def test_warm_leaves_out_what_is_there(run: Commands, server: BrokenServer, copies: Path) -> None:
    done = run("warm", "10934", "--local", str(copies), "--json")

    assert (done.status, done.json["there_files"], done.json["bytes"]) == (0, 1, 500_000)
    assert gets(server) == [AWAY]


def test_cat_reads_what_is_there(
    run: Commands, server: BrokenServer, copies: Path, tmp_path: Path
) -> None:
    (tmp_path / "more").mkdir()
    done = run("cat", HERE, AWAY, "--local", str(tmp_path / "more"), "--local", str(copies))

    assert (done.status, done.out) == (0, FILES[HERE] + FILES[AWAY])
    assert gets(server) == [AWAY]


def test_what_is_written_in_a_configuration_file_holds_for_commands(
    run: Commands,
    server: BrokenServer,
    copies: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    file = tmp_path / "config/empiarfs/config.toml"
    file.parent.mkdir(parents=True)
    file.write_text(f'local = ["{copies}"]\nlocal_verify = "full"\n')

    assert run("head", "-c", "9", HERE).out == FILES[HERE][:9]
    assert gets(server) == [HERE]
    monkeypatch.setenv("EMPIARFS_LOCAL_VERIFY", "none")
    assert run("head", "-c", "9", AWAY, "--local", "").out == FILES[AWAY][:9]


def test_a_mode_that_is_none_is_a_line(run: Commands) -> None:
    done = run("cat", HERE, "--local-verify", "much")

    assert done.status == 2
    assert "--local-verify: 'much' is none of none, sample, full" in done.err


def test_python_reads_what_is_there(
    server: BrokenServer, copies: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMPIARFS_ARCHIVE_URL", server.url)
    monkeypatch.setenv("EMPIARFS_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path))
    try:
        empiarfs.configure(local=[copies])
        with empiarfs.open(HERE) as file:
            assert file.read() == FILES[HERE]
        assert gets(server) == []
        with empiarfs.open(AWAY) as file:
            assert file.read() == FILES[AWAY]
    finally:
        empiarfs.configure(**dict.fromkeys(dict(session.default_session().settings)))
        empiarfs.close()


def test_a_local_directory_of_which_nothing_is_left_costs_no_byte(
    server: BrokenServer, copies: Path, tmp_path: Path
) -> None:
    """As a program, whose standard error a warning would reach."""
    done = subprocess.run(
        [sys.executable, "-m", "empiarfs", "cat", HERE, "--local", f"{copies}/gone"],
        env={
            **os.environ,
            "PYTHONPATH": str(CHECKOUT),
            "HOME": str(tmp_path),
            "EMPIARFS_ARCHIVE_URL": server.url,
            "EMPIARFS_CACHE_DIR": str(tmp_path / "cache"),
        },
        capture_output=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stdout) == (0, FILES[HERE])
    [line] = done.stderr.decode().splitlines()
    assert "No such file or directory" in line
