"""The list of mounts and the socket on which each answers."""

from __future__ import annotations

import json
import logging
import os
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from empiarfs.control import (
    ControlServer,
    MountRecord,
    Registered,
    Registration,
    ask,
    own_directory,
    registered,
    wait_for_end,
)
from empiarfs.control.runtime import directories_of
from empiarfs.control.wire import connected_socket, read_line
from empiarfs.errors import MountError
from tests.support.log_guard import ExpectLog
from tests.support.users import NOBODY, require_root, run_as

RECORD = MountRecord("/mnt/\udcff", "http://host/", 42, 1000.5, "/cache", "/log", "0.1")


@pytest.fixture
def environ() -> Iterator[dict[str, str]]:
    # Addresses of sockets are short, and pytest's directories needn't be.
    with tempfile.TemporaryDirectory() as runtime:
        yield {"XDG_RUNTIME_DIR": runtime}


@pytest.fixture
def directory(environ: dict[str, str]) -> Path:
    return own_directory(environ)


@pytest.fixture
def registration(directory: Path) -> Iterator[Registration]:
    made = Registration(directory, RECORD)
    yield made
    made.close()


@pytest.fixture
def server(registration: Registration) -> Iterator[ControlServer]:
    def fail(request: object) -> dict[str, object]:
        raise KeyError("no")

    made = ControlServer(
        registration.socket,
        {"status": lambda request: {"words": [*request]}, "fail": fail, "big": lambda _: BIG},
    )
    yield made
    made.close()


BIG: dict[str, object] = {"text": "x" * 1_000_000}


def found(environ: dict[str, str]) -> list[Registered]:
    ours = own_directory(environ)
    return [item for item in registered(os.getuid(), environ) if item.file.parent == ours]


# -- the directory ------------------------------------------------------------------------


def test_the_directory_is_for_us_only(directory: Path, environ: dict[str, str]) -> None:
    assert directory == Path(environ["XDG_RUNTIME_DIR"]) / "empiarfs"
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert own_directory(environ) == directory


@pytest.mark.parametrize("mode", [0o777, 0o770])
def test_a_directory_into_which_others_can_write_is_not_used(tmp_path: Path, mode: int) -> None:
    tmp_path.chmod(mode)

    assert own_directory({"XDG_RUNTIME_DIR": str(tmp_path)}).parent != tmp_path


def test_a_directory_that_others_can_enter_is_not_used(environ: dict[str, str]) -> None:
    planted = Path(environ["XDG_RUNTIME_DIR"]) / "empiarfs"
    planted.mkdir()
    planted.chmod(0o755)

    assert own_directory(environ) != planted
    assert planted not in directories_of(os.getuid(), environ)


def test_a_symbolic_link_is_not_followed(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    planted = Path(environ["XDG_RUNTIME_DIR"]) / "empiarfs"
    planted.symlink_to(tmp_path / "elsewhere")

    assert own_directory(environ) != planted


def test_a_directory_of_somebody_else_is_not_used(environ: dict[str, str]) -> None:
    require_root()
    planted = Path(environ["XDG_RUNTIME_DIR"]) / "empiarfs"
    planted.mkdir(mode=0o700)
    os.chown(planted, NOBODY.uid, NOBODY.gid)

    assert own_directory(environ) != planted
    assert planted in directories_of(NOBODY.uid, environ)


# -- the list -----------------------------------------------------------------------------


def test_a_mount_is_listed_as_long_as_it_is_registered(
    directory: Path, environ: dict[str, str]
) -> None:
    registration = Registration(directory, RECORD)
    assert [item.record for item in found(environ)] == [RECORD]
    assert stat.S_IMODE(registration.file.stat().st_mode) == 0o600

    registration.close()

    assert found(environ) == []
    assert list(directory.iterdir()) == []


def test_what_a_killed_daemon_left_is_removed(directory: Path, environ: dict[str, str]) -> None:
    code = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from empiarfs.control import ControlServer, MountRecord, Registration\n"
        "record = MountRecord('/mnt', 'http://host/', os.getpid(), 1.0, '', '', '')\n"
        "made = Registration(Path(sys.argv[1]), record)\n"
        "server = ControlServer(made.socket, {})\n"
        "print('made', flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"made\n"
        assert [item.record.pid for item in found(environ)] == [process.pid]
        process.kill()
        assert wait_for_end(process.pid, 10)

    assert found(environ) == []
    assert list(directory.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"pid": 1}', b"\xff" * 100])
def test_what_is_no_record_is_passed_over(
    directory: Path, environ: dict[str, str], registration: Registration, content: bytes
) -> None:
    registration.file.write_bytes(content)

    assert found(environ) == []


def test_waiting_for_a_process_that_goes_on_is_bounded() -> None:
    assert not wait_for_end(os.getpid(), 0.01)


# -- questions ----------------------------------------------------------------------------


def listed(registration: Registration) -> Registered:
    return Registered(RECORD, registration.file)


def test_a_question_is_answered(registration: Registration, server: ControlServer) -> None:
    assert ask(listed(registration), "status") == {"words": ["request"]}
    assert ask(listed(registration), "big") == BIG


def test_the_socket_is_for_us_only(registration: Registration, server: ControlServer) -> None:
    assert stat.S_IMODE(registration.socket.stat().st_mode) == 0o600


def test_an_unknown_question_is_refused(registration: Registration, server: ControlServer) -> None:
    with pytest.raises(MountError, match="no such request"):
        ask(listed(registration), "nonsense")


def test_a_handler_that_fails_ends_its_connection_only(
    registration: Registration, server: ControlServer, expect_log: ExpectLog
) -> None:
    expect_log("ERROR .*the control socket failed")
    with pytest.raises(MountError, match="does not answer"):
        ask(listed(registration), "fail")

    assert ask(listed(registration), "status")


@pytest.mark.parametrize(
    "line", [b"\n", b"{}\n", b"null\n", b"[" * 50_000 + b"\n", b'{"request": 5}\n', b"\xff\n"]
)
def test_whatever_is_said_the_server_goes_on(
    registration: Registration, server: ControlServer, line: bytes
) -> None:
    with connected_socket(registration.socket, 5) as client:
        client.sendall(line)
        assert "error" in json.loads(read_line(client, 1000))

    assert ask(listed(registration), "status")


def test_a_question_without_an_end_is_cut_off(
    registration: Registration, server: ControlServer
) -> None:
    with (
        connected_socket(registration.socket, 5) as client,
        pytest.raises(OSError, match=r"[Bb]roken pipe|reset"),
    ):
        client.sendall(b"x" * 100_000_000)

    assert ask(listed(registration), "status")


def test_clients_that_say_nothing_keep_nobody_out(
    registration: Registration, server: ControlServer
) -> None:
    silent = [connected_socket(registration.socket, 5) for _ in range(7)]
    try:
        assert ask(listed(registration), "status")
    finally:
        for client in silent:
            client.close()


def test_nobody_there_is_told(directory: Path) -> None:
    with pytest.raises(MountError, match="does not answer"):
        ask(Registered(RECORD, directory / "none.json"), "status")


def test_a_daemon_that_does_not_answer_is_given_up(directory: Path) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(directory / "silent.sock"))
        silent.listen()
        with pytest.raises(MountError, match="does not answer"):
            ask(Registered(RECORD, directory / "silent.json"), "status", timeout_s=0.05)


def test_another_user_gets_no_answer_even_through_open_doors(
    expects_warnings: list[logging.LogRecord],
) -> None:
    require_root()
    code = (
        "import socket, sys\n"
        "client = socket.socket(socket.AF_UNIX)\n"
        "client.connect(sys.argv[1])\n"
        'client.sendall(b\'{"request": "status"}\\n\')\n'
        "print(client.recv(1000))\n"
    )
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        path = Path(directory) / "open.sock"
        server = ControlServer(path, {"status": lambda request: {"secret": 1}})
        try:
            path.chmod(0o777)
            done = run_as(NOBODY, ["/usr/bin/python3", "-c", code, path])
        finally:
            server.close()

    assert b"secret" not in done.stdout
    assert [record.getMessage() for record in expects_warnings] == [
        f"user {NOBODY.uid} asked for the status and was refused"
    ]
