"""`empiarfs status --errors`: a job proves that it read all it asked for, or learns what not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.broken_server import BrokenServer, Fault
from tests.support.sandbox import Sandbox, sandbox
from tests.support.waiting import wait_until

pytestmark = pytest.mark.fuse

FINE, BAD, GONE = "10017/data/fine.mrc", "10017/data/bad.mrc", "10017/data/gone.mrc"
CONTENT = bytes(range(256)) * 1200


@pytest.fixture
def server() -> Iterator[BrokenServer]:
    with BrokenServer() as made:
        for path in (FINE, BAD, GONE):
            made.put(path, CONTENT)
        yield made


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with sandbox() as made:
        yield made


def mount(box: Sandbox, server: BrokenServer, wait: str = "1s") -> None:
    box.mount("--archive-url", server.url, "--wait", wait)


def break_bad(server: BrokenServer) -> None:
    def reads_bad(request: Any) -> bool:
        return bool(request.method == "GET" and request.path == BAD)

    server.fault(reads_bad, Fault.answer(500), times=10**6)


def refuse(box: Sandbox, path: str = BAD) -> None:
    """Have a program read what can't be had."""
    done = subprocess.run(["cat", box.point / path], capture_output=True, timeout=60, check=False)
    assert done.returncode == 1, done
    assert b"Input/output error" in done.stderr


def asked(box: Sandbox, *words: str) -> tuple[int, dict[str, Any]]:
    done = box.run("status", "--errors", box.point, "--json", *words)
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)


def test_of_all_mounts_those_that_ended_without_errors_are_counted(
    box: Sandbox, server: BrokenServer
) -> None:
    assert box.run("status", "--errors").stdout == "no errors: nothing was mounted\n"
    mount(box, server)
    assert box.run("status", "--errors").stdout == f"no errors on {box.point}\n"
    assert box.run("umount", box.point).returncode == 0

    assert box.run("status", "--errors").stdout == "no errors on 1 mount that ended\n"
    later = box.run("status", "--errors", "--since", f"@{int(time.time()) + 5}")
    assert (later.returncode, later.stderr) == (0, "")
    assert later.stdout.startswith("no errors: nothing was mounted since ")


def test_a_mount_that_refused_nothing_says_so(box: Sandbox, server: BrokenServer) -> None:
    mount(box, server)
    assert (box.point / FINE).read_bytes() == CONTENT
    with pytest.raises(FileNotFoundError):
        (box.point / "10017/none").stat()
    with pytest.raises(OSError, match="Read-only"):
        (box.point / "10017/new").write_bytes(b"")

    done = box.run("status", "--errors", box.point)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"no errors on {box.point}\n"
    assert asked(box) == (
        0,
        {
            "mount_point": str(box.point),
            "since_s": None,
            "is_clean": True,
            "errors": [],
            "problems": [],
        },
    )


def test_what_a_program_was_refused_is_listed(box: Sandbox, server: BrokenServer) -> None:
    mount(box, server)
    break_bad(server)
    began_s = time.time()
    refuse(box)

    status, answer = asked(box)
    assert status == 1
    [error] = answer["errors"]
    assert (error["call"], error["path"], error["errno"]) == ("read", BAD, "EIO")
    # The kernel repeats a failed read: one error all the same.
    assert error["offset"] == 0
    assert error["size"] in {131072, 262144}
    assert error["count"] >= 2
    assert "500" in error["cause"]
    assert error["program"] == "cat"
    assert began_s <= error["at_s"] <= time.time()
    done = box.run("status", "--errors")
    assert done.returncode == 1
    assert f"EIO  read  {box.point}/{BAD}  offset 0, {error['size']} bytes" in done.stdout


def test_a_job_asks_from_its_own_beginning_on(box: Sandbox, server: BrokenServer) -> None:
    mount(box, server)
    break_bad(server)
    refuse(box)
    time.sleep(1.1)  # a date has whole seconds
    job = f"""
        began=$(date -Is)
        cat {box.point}/{FINE} > /dev/null
        {" ".join(box.words("status", "--errors", "--since"))} "$began" {box.point}
    """
    done = subprocess.run(
        ["bash", "-c", job],
        env=box.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"no errors on {box.point} since ")
    assert asked(box, "--since", "1h")[0] == 1


def test_errors_outlive_an_unmount_and_a_new_mount(box: Sandbox, server: BrokenServer) -> None:
    mount(box, server)
    break_bad(server)
    refuse(box)
    before = asked(box)
    assert box.run("umount", box.point).returncode == 0
    unmounted = asked(box)
    mount(box, server)

    assert before[0] == 1
    assert unmounted == before
    assert asked(box) == before


def test_a_daemon_that_was_killed_is_no_proof_but_its_errors_are_kept(
    box: Sandbox, server: BrokenServer
) -> None:
    mount(box, server)
    break_bad(server)
    refuse(box)
    wait_until(lambda: box.run("status", "--errors", box.point).returncode == 1)
    [pid] = box.daemons()
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not box.daemons())
    after_s = time.time()

    status, answer = asked(box)
    assert status == 1
    assert [error["path"] for error in answer["errors"]] == [BAD]
    assert "ended without a word" in answer["problems"][0]
    # A job that began before the next mount met a dead one.
    assert asked(box, "--since", f"@{after_s}")[0] == 1
    assert box.run("umount", box.point).returncode == 0
    mount(box, server)
    assert asked(box, "--since", f"@{time.time()}")[0] == 0


def test_a_killed_daemon_leaves_its_last_error(box: Sandbox, server: BrokenServer) -> None:
    mount(box, server)
    break_bad(server)
    refuse(box)
    [pid] = box.daemons()
    # Nobody asked for it to be written; a moment is all that it needs.
    wait_until(lambda: any(b"bad.mrc" in each.read_bytes() for each in ledgers(box)))
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not box.daemons())

    assert [error["path"] for error in asked(box)[1]["errors"]] == [BAD]


def ledgers(box: Sandbox) -> list[Path]:
    return sorted(box.home.glob(".local/state/empiarfs/errors/*.errors"))


def test_errors_that_can_not_be_written_are_told_by_the_daemon(
    box: Sandbox, server: BrokenServer
) -> None:
    mount(box, server)
    wait_until(lambda: ledgers(box))
    [path] = ledgers(box)
    path.unlink()
    path.mkdir()
    break_bad(server)
    refuse(box)

    assert [error["path"] for error in asked(box)[1]["errors"]] == [BAD]
    assert (box.point / FINE).read_bytes() == CONTENT
    path.rmdir()
    assert [error["path"] for error in asked(box)[1]["errors"]] == [BAD]
    assert b"bad.mrc" in path.read_bytes()


def test_a_file_that_changed_under_its_reader_is_listed(
    box: Sandbox, server: BrokenServer
) -> None:
    mount(box, server)
    with (box.point / BAD).open("rb", buffering=0) as file:
        server.put(BAD, CONTENT[::-1], 1_700_000_000)
        with pytest.raises(OSError, match="Stale"):
            file.read(10)

    [error] = asked(box)[1]["errors"]
    assert (error["errno"], error["path"]) == ("ESTALE", BAD)


def test_a_program_that_was_stopped_was_refused_nothing(
    box: Sandbox, server: BrokenServer
) -> None:
    mount(box, server, wait="60s")
    server.fault(
        lambda request: request.method == "GET" and request.path == BAD,
        Fault.silence(),
        times=10**6,
    )
    (box.point / BAD).stat()
    with subprocess.Popen(["cat", box.point / BAD], stdout=subprocess.DEVNULL) as process:
        wait_until(
            lambda: any(each.method == "GET" and each.path == BAD for each in server.requests)
        )
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == -signal.SIGINT

    assert asked(box)[0] == 0


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("--since", "1h"), "--since goes with --errors"),
        (("--errors", "--since", "soon"), "is no time"),
        (("--errors", "--since", "2x"), "unit of time"),
        (("--errors", "--since", "20261121"), "is no time"),
        (("--errors", "--since", "@99999999999"), "future"),
    ],
)
def test_what_is_no_time_is_refused(box: Sandbox, words: tuple[str, ...], part: str) -> None:
    done = box.run("status", *words)

    assert done.returncode == 2
    assert part in done.stderr


def test_a_place_where_nothing_was_mounted_proves_nothing(box: Sandbox) -> None:
    done = box.run("status", "--errors", box.point)

    assert done.returncode == 1
    assert "nothing is known of" in done.stderr
