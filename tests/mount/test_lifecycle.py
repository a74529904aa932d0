"""Mounts made, asked and ended by the commands, with real daemons; also when that fails.

Most of these need no archive: a mount is made at once, whatever the network does.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.mount.conftest import Served
from tests.support.interrupted import INTERRUPTED
from tests.support.sandbox import NO_ARCHIVE, Sandbox, sandbox, silent_archive
from tests.support.users import NOBODY, plain_python, require_root, run_as
from tests.support.waiting import wait_until

pytestmark = pytest.mark.fuse


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with sandbox() as made:
        yield made


@pytest.fixture
def users_box() -> Iterator[Sandbox]:
    with sandbox(plain_python(), NOBODY) as made:
        yield made


def failure(done: subprocess.CompletedProcess[str], status: int = 1) -> str:
    """Return what a failed command said, which is one line, or two with a hint."""
    assert done.returncode == status, done
    lines = done.stderr.splitlines()
    assert lines[0].startswith("empiarfs: error: ")
    assert len(lines) == 1 or (len(lines) == 2 and lines[1].startswith("hint: ")), done.stderr
    return done.stderr


# -- made ---------------------------------------------------------------------------------


def test_mount_returns_when_the_mount_answers_and_says_what_it_made(box: Sandbox) -> None:
    done = box.run("mount", box.point)

    assert done.returncode == 0
    assert os.stat(box.point).st_dev != os.stat(box.home).st_dev
    for word in (str(box.point), NO_ARCHIVE, str(box.home / "cache"), "GB", str(box.home / "log")):
        assert word in done.stdout
    assert f"empiarfs umount {box.point}" in done.stdout
    assert done.stderr == ""
    tried = done.stdout.splitlines()[-3:]
    assert tried[0].split() == ["try:", "ls", "-l", str(box.point)]
    assert tried[1].split() == ["cat", f"{box.point}/.empiar/README.txt"]
    assert tried[2].split() == ["empiarfs", "status", str(box.point)]
    for line in tried:
        words = line.removeprefix("try:").split()
        command = box.words(*words[1:]) if words[0] == "empiarfs" else words
        assert run_as(None, command, env=box.environment).returncode == 0 or words[0] == "ls"


def test_a_quiet_mount_says_nothing(box: Sandbox) -> None:
    done = box.run("mount", "-q", box.point)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_daemon_is_in_a_session_of_its_own_and_holds_nothing_of_ours(box: Sandbox) -> None:
    box.mount()
    (pid,) = box.daemons()

    assert os.getsid(pid) == pid
    assert os.readlink(f"/proc/{pid}/cwd") == "/"
    assert os.readlink(f"/proc/{pid}/fd/0") == "/dev/null"
    assert os.readlink(f"/proc/{pid}/fd/1") == "/dev/null"
    assert os.readlink(f"/proc/{pid}/fd/2") == str(box.home / "log")
    soft, hard = next(
        line.split()[3:5]
        for line in Path(f"/proc/{pid}/limits").read_text().splitlines()
        if line.startswith("Max open files")
    )
    assert int(soft) == min(int(hard), 65_536)


def test_relative_paths_are_those_of_where_the_command_ran(box: Sandbox) -> None:
    done = box.run("mount", "mnt", "--cache-dir", "here", "--log-file", "there/log", cwd=box.home)

    assert done.returncode == 0, done
    assert box.is_mounted
    assert (box.home / "here/v1").is_dir()
    assert "mounted" in (box.home / "there/log").read_text()


def test_a_mount_point_is_found_through_a_symbolic_link(box: Sandbox) -> None:
    (box.home / "link").symlink_to(box.point)

    assert box.run("mount", box.home / "link").returncode == 0
    assert box.is_mounted
    assert box.run("umount", box.home / "link").returncode == 0
    assert not box.is_mounted


def test_odd_characters_in_the_mount_point_are_no_hindrance(box: Sandbox) -> None:
    box.point = box.home / "-o a\tb,c\\d é"
    box.point.mkdir()

    assert box.run("mount", "--", box.point).returncode == 0
    assert box.is_mounted
    assert box.run("status", "--json", "--", box.point).returncode == 0
    assert box.run("umount", "--", box.point).returncode == 0
    assert not box.is_mounted


def test_the_log_is_for_its_user_only(box: Sandbox) -> None:
    box.mount()

    assert stat.S_IMODE((box.home / "log").stat().st_mode) == 0o600


def test_a_log_is_kept_where_none_was_asked_for(box: Sandbox) -> None:
    del box.environment["EMPIARFS_LOG_FILE"]
    done = box.run("mount", box.point)

    (line,) = [line for line in done.stdout.splitlines() if line.startswith("log:")]
    log = Path(line.split(None, 1)[1])
    try:
        assert "mounted" in log.read_text()
    finally:
        log.unlink()


def test_hangup_reopens_the_log(box: Sandbox) -> None:
    box.mount()
    (pid,) = box.daemons()
    (box.home / "log").rename(box.home / "moved")

    os.kill(pid, signal.SIGHUP)

    wait_until(lambda: (box.home / "log").exists() and "reopened" in box.log)
    assert os.readlink(f"/proc/{pid}/fd/2") == str(box.home / "log")


def test_read_ahead_is_set_for_this_mount(box: Sandbox) -> None:
    require_root()
    box.mount("-o", "read_ahead=1M")

    device = os.stat(box.point).st_dev
    place = Path(f"/sys/class/bdi/{os.major(device)}:{os.minor(device)}/read_ahead_kb")
    assert place.read_text() == "1024\n"


def test_a_source_of_one_entry_shows_that_entry(served: Served, box: Sandbox) -> None:
    box.environment["EMPIARFS_ARCHIVE_URL"] = served.server.url
    done = box.run("empiar:EMPIAR-10017", box.point)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert sorted(os.listdir(box.point)) == sorted(os.listdir(served.root / "10017"))
    assert f"empiar:EMPIAR-10017 {box.point} fuse.empiarfs" in Path("/proc/mounts").read_text()


@pytest.mark.apache
def test_mount_t_mounts(served: Served, box: Sandbox) -> None:
    require_root()
    if shutil.which("mount.fuse3") is None:
        pytest.skip("mount.fuse3 is missing (package fuse3)")
    write_wrapper(box.home / "bin/empiarfs", box)
    options = f"archive_url={served.server.url},cache_dir={box.home}/c,_netdev,nofail,noatime"
    # mount(8) hands no PATH on, and so finds us in the usual places only. In a mount
    # namespace of its own, we are there.
    script = """
set -e
mount --bind "$1" /usr/local/bin
mount -t fuse.empiarfs empiar "$2" -o "$3"
ls "$2"
grep "$2" /proc/mounts
umount "$2"
"""
    words: list[str | Path] = [box.home / "bin", box.point, options]
    command: list[str | Path] = ["unshare", "--mount", "sh", "-c", script, "sh", *words]

    done = run_as(None, command, env=box.environment)

    assert (done.returncode, done.stderr) == (0, b"")
    *names, line = done.stdout.decode().splitlines()
    assert sorted(names) == sorted(os.listdir(served.root))
    source, _, kind, shown, *_ = line.split(" ")
    assert (source, kind) == ("empiar", "fuse.empiarfs")
    assert {"ro", "nosuid", "nodev"} <= set(shown.split(","))
    wait_until(lambda: not box.daemons())


def test_it_is_a_helper_of_mount_under_its_name(box: Sandbox) -> None:
    helper = box.home / "mount.fuse.empiarfs"
    helper.write_text(f"#!{sys.executable}\nfrom empiarfs.cli import main\nmain()\n")
    helper.chmod(0o755)
    words: list[str | Path] = ["empiar", box.point, "-s", "-o", "rw,nofail", "-t", "fuse.empiarfs"]

    pretended = run_as(None, [helper, *words, "-f"], env=box.environment)
    assert (pretended.returncode, pretended.stderr) == (0, b"")
    assert not box.is_mounted

    done = run_as(None, [helper, *words], env=box.environment)
    assert (done.returncode, done.stderr) == (0, b"")
    assert box.is_mounted


def write_wrapper(place: Path, box: Sandbox) -> None:
    place.parent.mkdir()
    # Without this, the list of errors would be in root's own home.
    export = f"export HOME={box.home}"
    place.write_text(f'#!/bin/sh\n{export}\nexec {" ".join(box.words())} "$@"\n')
    place.chmod(0o755)


# -- refused ------------------------------------------------------------------------------


def test_a_missing_mount_point_is_named(box: Sandbox) -> None:
    said = failure(box.run("mount", box.home / "nothing"))

    assert f"{box.home}/nothing does not exist" in said
    assert "mkdir" in said


def test_a_file_is_no_mount_point(box: Sandbox) -> None:
    (box.home / "file").touch()

    assert "is not a directory" in failure(box.run("mount", box.home / "file"))


def test_a_directory_that_is_not_empty_is_refused_unless_that_is_wanted(box: Sandbox) -> None:
    (box.point / "mine").touch()

    assert "is not empty" in failure(box.run("mount", box.point))
    box.mount("-o", "nonempty")


@pytest.mark.parametrize("libfuse", ["2", "3"])
def test_either_libfuse_mounts_over_a_directory_that_is_not_empty(
    box: Sandbox, libfuse: str
) -> None:
    (box.point / "mine").touch()
    box.mount("-o", "nonempty", env={"EMPIARFS_LIBFUSE": libfuse})

    assert box.is_mounted


def test_a_second_mount_on_the_same_place_is_refused(box: Sandbox) -> None:
    box.mount()

    assert "already mounted" in failure(box.run("mount", box.point))
    assert len(box.daemons()) == 1


def test_a_machine_without_the_device_is_told_so(box: Sandbox) -> None:
    require_root()
    # In a mount namespace of its own, where /dev is empty.
    script = 'mount -t tmpfs none /dev && exec "$@"'
    command = ["unshare", "--mount", "sh", "-c", script, "sh", *box.words("mount", box.point)]
    done = run_as(None, command, env=box.environment)

    assert done.returncode == 1
    assert done.stderr.startswith(b"empiarfs: error: /dev/fuse is missing")
    assert len(done.stderr.splitlines()) == 2


def test_a_missing_libfuse_is_one_line(box: Sandbox) -> None:
    said = failure(box.run("mount", box.point, env={"FUSE_LIBRARY_PATH": "/nonexistent.so"}))

    assert "libfuse can't be used" in said
    assert "install" in said


def test_what_libfuse_says_of_a_failed_mount_is_one_line(box: Sandbox) -> None:
    # A kernel without SELinux, or a context that it doesn't know, refuses this.
    said = failure(box.run("mount", box.point, "-o", "context=no_such_context"))

    assert f"cannot mount on {box.point}: " in said
    assert box.daemons() == []


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["-o", "cache_sise=1G"], "did you mean cache_size?"),
        (["--cache-size", "lots"], "lots"),
        (["--cash-dir", "/tmp"], "did you mean --cache-dir?"),
        (["--max-connections", "50"], "50"),
        (["-o", "rw"], "can't be written"),
    ],
)
def test_wrong_usage_is_status_2(box: Sandbox, words: list[str], part: str) -> None:
    assert part in failure(box.run("mount", box.point, *words), status=2)


def test_a_cache_that_can_not_be_is_said_before_anything_is_mounted(box: Sandbox) -> None:
    (box.home / "cache").touch()

    said = failure(box.run("mount", box.point), status=2)

    assert str(box.home / "cache") in said
    assert not box.is_mounted
    assert box.daemons() == []


def test_a_log_that_can_not_be_written_is_said(box: Sandbox) -> None:
    os.mkfifo(box.home / "pipe")

    assert "cannot log to" in failure(box.run("mount", box.point, "--log-file", "pipe"))


def test_what_can_not_be_unmounted_is_said(box: Sandbox) -> None:
    assert "is not mounted" in failure(box.run("umount", box.point))
    assert "is not mounted" in failure(box.run("umount", box.home / "nothing"))
    assert "another kind (proc)" in failure(box.run("umount", "/proc"))


def test_a_path_inside_a_mount_is_told_its_mount_point(box: Sandbox) -> None:
    box.mount()

    assert f"its mount point is {box.point}" in failure(box.run("umount", box.point / "10017"))


# -- ended --------------------------------------------------------------------------------


def test_umount_leaves_nothing_behind(box: Sandbox) -> None:
    box.mount()

    done = box.run("umount", box.point)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not box.is_mounted
    assert box.daemons() == []
    assert list((box.home / "run/empiarfs").iterdir()) == []
    assert "unmounted" in box.log
    assert "WARNING" not in box.log
    assert "ERROR" not in box.log


def test_unmount_is_another_name_of_umount(box: Sandbox) -> None:
    box.mount()

    assert box.run("unmount", box.point).returncode == 0
    assert not box.is_mounted


def test_the_kernels_own_umount_ends_the_daemon(box: Sandbox) -> None:
    require_root()
    box.mount()

    assert run_as(None, ["umount", box.point]).returncode == 0
    box.wait_until_gone()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_mount(box: Sandbox, number: signal.Signals) -> None:
    box.mount()
    (pid,) = box.daemons()

    os.kill(pid, number)

    box.wait_until_gone()
    assert list((box.home / "run/empiarfs").iterdir()) == []


@pytest.mark.slow
def test_a_signal_ends_the_mount_while_a_program_waits(box: Sandbox) -> None:
    with silent_archive() as url:
        box.mount("--archive-url", url)
        (pid,) = box.daemons()
        with subprocess.Popen(["ls", box.point], stderr=subprocess.PIPE) as waiting:
            # Its request has arrived once the daemon has asked the archive.
            wait_until(lambda: status_of(box)["counters"]["requests"] >= 1)
            os.kill(pid, signal.SIGTERM)

            box.wait_until_gone()
            assert waiting.wait(timeout=5) != 0


@pytest.mark.slow
def test_a_signal_ends_a_mount_that_a_program_stays_in(box: Sandbox) -> None:
    box.mount()
    (pid,) = box.daemons()
    with subprocess.Popen(["sleep", "60"], cwd=box.point) as user:
        try:
            os.kill(pid, signal.SIGTERM)
            wait_until(lambda: not box.is_mounted, 3)
            box.wait_until_gone()
        finally:
            user.kill()


def test_a_mount_in_use_is_not_unmounted_and_its_users_are_named(box: Sandbox) -> None:
    box.mount()
    with subprocess.Popen(["sleep", "60"], cwd=box.point) as user:
        try:
            said = failure(box.run("umount", box.point))
            assert f"in use by sleep ({user.pid})" in said
            assert "--lazy" in said
            assert box.is_mounted

            lazy = box.run("umount", "--lazy", box.point)
            assert lazy.returncode == 0
            assert not box.is_mounted
        finally:
            user.kill()
    box.wait_until_gone()


def test_a_dead_mount_is_shown_and_repaired(box: Sandbox) -> None:
    box.mount()
    kill_daemon(box)

    shown = box.run("status", box.point, "--json")
    assert (shown.returncode, json.loads(shown.stdout)["state"]) == (1, "dead")

    done = box.run("mount", box.point)

    assert done.returncode == 0
    assert "removed a dead mount" in done.stdout
    assert status_of(box)["state"] == "mounted"


def test_a_dead_mount_can_be_unmounted_even_if_a_program_is_in_it(box: Sandbox) -> None:
    box.mount()
    with subprocess.Popen(["sleep", "60"], cwd=box.point) as user:
        try:
            kill_daemon(box)
            assert box.run("umount", box.point).returncode == 0
            assert not box.is_mounted
        finally:
            user.kill()


def kill_daemon(box: Sandbox) -> None:
    (pid,) = box.daemons()
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not box.daemons())


# -- in the foreground --------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_mount_in_the_foreground_logs_to_stderr_until_it_is_ended(
    box: Sandbox, number: signal.Signals
) -> None:
    # Where there is no file that the user chose.
    del box.environment["EMPIARFS_LOG_FILE"]
    with box.start("mount", "-f", box.point) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("mounted:")
            assert box.is_mounted
            process.send_signal(number)
            _, said = process.communicate(timeout=20)
        finally:
            process.kill()

    assert process.returncode == 0
    assert not box.is_mounted
    assert "INFO empiarfs.mount.daemon: mounted" in said
    assert f"ending because of {number.name}" in said
    assert "Traceback" not in said


def test_a_failure_in_the_foreground_is_one_line_too(box: Sandbox) -> None:
    said = failure(box.run("mount", "-f", box.point, "-o", "context=no_such_context"))

    assert f"cannot mount on {box.point}: " in said


@pytest.mark.parametrize("whole_group", [False, True])
def test_ctrl_c_while_the_daemon_starts_leaves_nothing(box: Sandbox, whole_group: bool) -> None:
    # A daemon that never comes so far: its interpreter stops for good where it starts.
    (box.home / "sitecustomize.py").write_text(
        "import os, signal, sys\nif '--launch-fd' in sys.orig_argv:\n    signal.pause()\n"
    )
    path = f"{box.home}:{box.environment['PYTHONPATH']}"
    with box.start(
        "mount", box.point, env={"PYTHONPATH": path}, start_new_session=True
    ) as process:
        try:
            wait_until(lambda: [p for p in box.daemons() if p != process.pid])
            # A terminal sends it to all of the group, to which the daemon still belongs.
            (os.killpg if whole_group else os.kill)(process.pid, signal.SIGINT)
            _, said = process.communicate(timeout=30)
        finally:
            process.kill()

    assert process.returncode in INTERRUPTED
    assert said.strip() == "empiarfs: interrupted"
    box.wait_until_gone()


def test_ctrl_c_does_not_reach_what_is_mounted(box: Sandbox) -> None:
    with box.start("mount", box.point, start_new_session=True) as process:
        assert process.wait(timeout=60) == 0
        with suppress(ProcessLookupError):  # the group has gone with its only process
            os.killpg(process.pid, signal.SIGINT)

    assert box.is_mounted
    (daemon,) = box.daemons()
    assert os.getsid(daemon) == daemon


# -- asked --------------------------------------------------------------------------------


def status_of(box: Sandbox) -> dict[str, Any]:
    done = box.run("status", box.point, "--json")
    assert done.returncode == 0, done
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_status_tells_of_one_mount_and_of_all(box: Sandbox) -> None:
    box.mount()
    status = status_of(box)

    assert status["mount_point"] == str(box.point)
    assert status["archive_url"] == NO_ARCHIVE
    assert status["pid"] == box.daemons()[0]
    assert status["state"] == "mounted"
    cache = status["cache"]
    assert cache["directory"] == str(box.home / "cache")
    assert 0 <= cache["used"] < cache["limit"]
    everything = json.loads(box.run("status", "--json").stdout)["mounts"]
    assert [mount for mount in everything if mount["mount_point"] == str(box.point)]
    assert str(box.point) in box.run("status").stdout
    assert NO_ARCHIVE in box.run("status", box.point).stdout


def test_status_of_what_is_not_mounted_is_a_failure(box: Sandbox) -> None:
    assert "no empiarfs" in failure(box.run("status", box.point))


@pytest.mark.slow
def test_a_daemon_that_hangs_does_not_hang_the_commands(box: Sandbox) -> None:
    box.mount()
    (pid,) = box.daemons()
    os.kill(pid, signal.SIGSTOP)
    try:
        shown = box.run("status", box.point, "--json")
        assert (shown.returncode, json.loads(shown.stdout)["state"]) == (1, "does not answer")
        assert "does not answer" in failure(box.run("mount", box.point))
        assert box.run("umount", "--lazy", box.point).returncode == 0
        assert not box.is_mounted
    finally:
        os.kill(pid, signal.SIGCONT)
    box.wait_until_gone()


# -- as a plain user ----------------------------------------------------------------------


def test_a_plain_user_mounts_asks_and_unmounts(users_box: Sandbox) -> None:
    users_box.mount()
    (pid,) = users_box.daemons()
    assert os.stat(f"/proc/{pid}").st_uid == NOBODY.uid

    assert status_of(users_box)["pid"] == pid
    assert users_box.run("umount", users_box.point).returncode == 0
    assert not users_box.is_mounted


def test_root_asks_and_ends_the_mount_of_a_user(users_box: Sandbox) -> None:
    users_box.mount()
    users_box.user = None

    assert users_box.run("status", users_box.point).returncode == 0
    assert users_box.run("umount", users_box.point).returncode == 0
    users_box.wait_until_gone()


def test_a_plain_user_can_not_end_the_mount_of_root(users_box: Sandbox) -> None:
    users_box.user = None
    users_box.mount()
    users_box.user = NOBODY

    assert "not yours" in failure(users_box.run("umount", users_box.point))
    assert users_box.is_mounted


def test_a_plain_user_is_told_how_to_let_others_in(users_box: Sandbox) -> None:
    if "\nuser_allow_other" in Path("/etc/fuse.conf").read_text():
        pytest.skip("users may let others in on this machine")

    said = failure(users_box.run("mount", users_box.point, "-o", "allow_other"))

    assert "user_allow_other" in said
    assert "/etc/fuse.conf" in said


def test_a_plain_user_is_told_that_fusermount_is_missing(users_box: Sandbox) -> None:
    (users_box.home / "empty").mkdir()

    said = failure(
        users_box.run("mount", users_box.point, env={"PATH": f"{users_box.home}/empty"})
    )

    assert "fusermount3 is missing" in said


def test_a_plain_user_mounts_on_directories_of_their_own_only(users_box: Sandbox) -> None:
    theirs = users_box.home / "theirs"
    theirs.mkdir(mode=0o755)

    assert "not yours" in failure(users_box.run("mount", theirs))


def test_root_lets_others_in_where_that_is_wanted(box: Sandbox) -> None:
    require_root()
    box.home.chmod(0o755)
    box.point.chmod(0o755)
    (box.home / "mnt2").mkdir(mode=0o755)
    box.mount("-o", "allow_other")

    assert run_as(NOBODY, ["stat", box.point]).returncode == 0
