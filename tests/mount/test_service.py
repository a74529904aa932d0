"""Services that keep a mount: their units, what systemd is told, and how they fail and end.

A unit's commands are run as systemd would run them: those with "+" by root, the others by
a plain user, with a socket on which the test listens in systemd's place.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from empiarfs.mount.notify import Notifier, Service, taken_from
from tests.support.machine import Machine, made_machine
from tests.support.sandbox import Sandbox, sandbox
from tests.support.service_manager import ServiceManager, commands
from tests.support.users import NOBODY, plain_python, run_as
from tests.support.waiting import wait_until

ExpectLog = Callable[[str], None]

pytestmark = pytest.mark.fuse


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with sandbox() as made:
        yield made


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[ServiceManager]:
    with ServiceManager(tmp_path / "notify") as made:
        yield made


def unit(box: Sandbox, *words: str | Path) -> str:
    done = box.run("systemd-unit", *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


# -- units --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["--system", "--user"])
@pytest.mark.parametrize("point", ["empiar", '100 % of $it, \\ "and" \'é'])
def test_systemd_takes_the_unit(box: Sandbox, kind: str, point: str) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not installed")
    place = box.home / "empiarfs.service"
    place.write_text(unit(box, kind, box.home / point, "-o", 'cache_dir="/a, b",cache_size=9G'))
    users: list[str | Path] = ["--user"] if kind == "--user" else []
    words = ["systemd-analyze", "verify", *users, place]
    done = run_as(None, words, env=box.environment)

    # It also looks at units of this machine, which are none of ours.
    assert b"empiarfs" not in done.stderr, done.stderr.decode()
    assert b"Failed to" not in done.stderr, done.stderr.decode()


def test_a_unit_of_the_machine_mounts_on_empiar_for_everybody(box: Sandbox) -> None:
    text = unit(box)

    assert "\nType=notify\n" in text
    assert "\nUser=empiarfs\n" in text
    assert "\nCacheDirectory=empiarfs\n" in text
    ((_, *words),) = commands(text, "ExecStart")
    assert words == ["mount", "--foreground", "--quiet", "-o", "allow_other", "/empiar"]
    # These would hide the mount from everybody else.
    for name in ("Protect", "Private", "ReadWritePaths", "DynamicUser", "NoNewPrivileges"):
        assert f"\n{name}" not in text


def test_a_unit_of_a_user_mounts_in_the_home(box: Sandbox) -> None:
    text = unit(box, "--user", "-o", "cache_size=9G")

    ((_, *words),) = commands(text, "ExecStart")
    assert words == [
        "mount", "--foreground", "--quiet", "-o", "cache_size=9G", f"{box.home}/empiar"
    ]  # fmt: skip
    assert "\nUser=" not in text
    assert "\nWantedBy=default.target\n" in text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-o", "cache_sise=1G"], "did you mean cache_size?"),
        (["-o", "cache_dir=here"], "a service has no current directory"),
        (["--run-as", "a b"], "not the name of a user"),
        (["--user", "--run-as", "ada"], "--run-as goes with --system only"),
        (["/mnt\nExecStartPre=+/bin/true"], "can't stand in a unit"),
    ],
)
def test_what_can_not_be_is_refused(box: Sandbox, words: list[str], said: str) -> None:
    done = box.run("systemd-unit", *words)

    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


def test_what_is_still_to_be_done_is_told() -> None:
    with made_machine() as machine:
        machine.box.home.chmod(0o700)
        done = machine.sh('"$E" systemd-unit --run-as nosuchuser >/dev/null')
        (machine.box.home / "fuse.conf").write_text("user_allow_other\n")
        better = machine.sh('"$E" systemd-unit --run-as nobody >/dev/null')

    assert done.returncode == 0
    assert "note: there is no user nosuchuser: sudo useradd" in done.stderr
    assert "user_allow_other" in done.stderr
    assert f"may not enter {machine.box.home}" in done.stderr
    assert "useradd" not in better.stderr
    assert "user_allow_other" not in better.stderr


# -- run as systemd does ------------------------------------------------------------------


USER = ["setpriv", f"--reuid={NOBODY.uid}", f"--regid={NOBODY.gid}", "--clear-groups"]


@contextmanager
def running(
    machine: Machine, script: str, manager: ServiceManager, **variables: str
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a script on a machine with what systemd gives a service, and end it."""
    environment = {
        **machine.environment,
        "NOTIFY_SOCKET": manager.address,
        "CACHE_DIRECTORY": f"{machine.box.home}/c",
        "EMPIARFS_ARCHIVE_URL": "http://127.0.0.1:9/",
        "HOME": "/nonexistent",
        **variables,
    }
    with subprocess.Popen(
        machine.words(script), env=environment, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def mounts_at(process: subprocess.Popen[bytes], point: Path) -> int:
    """Return how many mounts lie on a path, as a process sees it."""
    return Path(f"/proc/{process.pid}/mountinfo").read_text().count(f" {point} ")


def test_a_service_tells_systemd_how_it_is_until_its_clean_end() -> None:
    with (
        made_machine(plain_python(), NOBODY) as machine,
        ServiceManager(machine.box.home / "notify") as manager,
    ):
        (machine.box.home / "fuse.conf").write_text("user_allow_other\n")
        point = machine.box.home / "new/empiar"
        done = machine.sh(f'"$E" systemd-unit --run-as nobody {point}')
        (before,) = commands(done.stdout, "ExecStartPre")
        (main,) = commands(done.stdout, "ExecStart")
        script = f"{' '.join(before)}\nexec {' '.join([*USER, *main])}"
        with running(machine, script, manager, WATCHDOG_USEC="6000000") as process:
            manager.wait_for("READY")
            assert manager.heard[0] == ("STATUS", f"mounting {point}")
            assert mounts_at(process, point) == 1
            # Others see it, and it is the service's cache.
            seen = os.listdir(f"/proc/{process.pid}/root{point}/.empiar")
            assert "README.txt" in seen
            assert (machine.box.home / "c/v1").is_dir()
            manager.wait_for("WATCHDOG")
            assert "archive " in manager.values("STATUS")[1]

            process.send_signal(signal.SIGTERM)
            _, said = process.communicate(timeout=60)

        assert process.returncode == 0, said
        assert manager.listen()[-2:] == [("STOPPING", "1"), ("STATUS", "unmounting")]
        assert manager.values("READY") == ["1"]


@pytest.mark.parametrize("is_tidied", [True, False])
def test_after_a_kill_the_service_is_mounted_anew(is_tidied: bool) -> None:
    with (
        made_machine(plain_python(), NOBODY) as machine,
        ServiceManager(f"@empiarfs-test-{os.getpid()}") as manager,
    ):
        (machine.box.home / "fuse.conf").write_text("user_allow_other\n")
        point = machine.box.point
        text = machine.sh(f'"$E" systemd-unit --run-as nobody {point}').stdout
        (main,) = commands(text, "ExecStart")
        (after,) = commands(text, "ExecStopPost")
        # As systemd does, and without what comes after the first, as if that had failed.
        script = "\n".join(
            [
                f"{' '.join([*USER, *main])} & wait $! || true",
                " ".join([*USER, *after]) if is_tidied else ":",
                f"exec {' '.join([*USER, *main])}",
            ]
        )
        with running(machine, script, manager) as process:
            manager.wait_for("READY")
            (first,) = machine.daemons()
            os.kill(first, signal.SIGKILL)
            manager.wait_for("READY", 2)
            assert mounts_at(process, point) == 1
            assert "README.txt" in os.listdir(f"/proc/{process.pid}/root{point}/.empiar")

            process.send_signal(signal.SIGTERM)
            _, said = process.communicate(timeout=60)
        assert process.returncode == 0, said


# -- what is told, and to whom ------------------------------------------------------------


def test_a_mount_in_the_background_tells_nothing(box: Sandbox, manager: ServiceManager) -> None:
    box.mount(env={"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "1000000"})
    (pid,) = box.daemons()

    assert b"NOTIFY_SOCKET" not in Path(f"/proc/{pid}/environ").read_bytes()
    assert box.run("umount", box.point).returncode == 0
    assert manager.listen() == []


def test_a_service_manager_that_is_gone_holds_up_nothing(box: Sandbox) -> None:
    with box.start(
        "mount", "-f", box.point, env={"NOTIFY_SOCKET": f"{box.home}/nobody"}
    ) as process:
        wait_until(lambda: box.is_mounted, 60)
        assert box.run("umount", box.point).returncode == 0
        process.communicate(timeout=60)

    assert process.returncode == 0


def test_who_is_told_by_the_environment_and_it_is_not_passed_on() -> None:
    environ = {"NOTIFY_SOCKET": "/run/n", "WATCHDOG_USEC": "2000000", "PATH": "/bin"}
    found = taken_from(environ)

    assert (found.is_there, found.watchdog_s) == (True, 2.0)
    assert environ == {"PATH": "/bin"}


@pytest.mark.parametrize(
    ("pid", "watchdog", "seconds"),
    [("", "500000", 0.5), ("1", "500000", None), ("", "0", None), ("", "soon", None)],
)
def test_a_watchdog_is_heeded_if_it_is_ours(
    pid: str, watchdog: str, seconds: float | None
) -> None:
    environ = {"NOTIFY_SOCKET": "@n", "WATCHDOG_USEC": watchdog, "WATCHDOG_PID": pid}

    assert taken_from(environ).watchdog_s == seconds


@pytest.mark.parametrize("address", ["", "relative", "@", "/", "vsock:2:1"])
def test_an_address_that_is_none_is_told_nothing(address: str) -> None:
    found = taken_from({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000000"})
    found.tell(READY="1")

    assert (found.is_there, found.watchdog_s) == (False, None)


def test_a_mount_that_does_not_answer_lets_the_watchdog_bite(
    manager: ServiceManager, tmp_path: Path, expect_log: ExpectLog
) -> None:
    expect_log("the mount doesn't answer")
    ended, count = threading.Event(), iter(range(10**6))
    missing = str(tmp_path / "missing")
    notifier = Notifier(manager.address, watchdog_s=2.4)
    service = Service(notifier, missing, lambda: str(next(count)), ended)
    try:
        service.begin()
        manager.wait_for("STATUS", 3)
        assert manager.values("WATCHDOG") == []

        Path(missing).mkdir()
        manager.wait_for("WATCHDOG")
    finally:
        ended.set()
        wait_until(lambda: "empiarfs-notify" not in [t.name for t in threading.enumerate()])


def test_a_state_is_told_once_until_it_changes(manager: ServiceManager) -> None:
    ended = threading.Event()
    try:
        Service(Notifier(manager.address, watchdog_s=0.06), "", lambda: "well", ended).begin()
        manager.wait_for("WATCHDOG", 3)
        assert manager.values("STATUS") == ["well"]
    finally:
        ended.set()
        wait_until(lambda: "empiarfs-notify" not in [t.name for t in threading.enumerate()])
