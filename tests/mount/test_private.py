"""`empiarfs run`: a mount for one program, that nobody else sees and that leaves nothing."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.mount.conftest import Served
from tests.support.users import NOBODY, Python, User, identity, own_python, plain_python
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.fuse, pytest.mark.apache]

Start = Callable[..., "subprocess.Popen[bytes]"]
_TIMEOUT_S = 60


@pytest.fixture
def folder() -> Iterator[Path]:
    """A directory that any user can enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory(prefix="empiarfs-tests-") as name:
        os.chmod(name, 0o755)
        yield Path(name)


@pytest.fixture(params=["root", "a plain user without fusermount3"])
def start(request: pytest.FixtureRequest, served: Served, folder: Path) -> Iterator[Start]:
    """Start `empiarfs run` with these words."""
    user: User | None = None
    python: Python = own_python()
    home = folder / "home"
    home.mkdir()
    if request.param != "root":
        if os.geteuid() != 0:
            pytest.skip("becomes another user")
        user, python = NOBODY, plain_python()
        os.chown(home, NOBODY.uid, NOBODY.gid)
    elif os.geteuid() != 0:
        pytest.skip("is not root")
    environment = {
        **python.environment,
        # coreutils and a shell, and no fusermount3 unless it lies beside them
        "PATH": path_without_fusermount(folder),
        "HOME": str(home),
        "EMPIARFS_ARCHIVE_URL": served.server.url,
        "EMPIARFS_CACHE_DIR": str(home / "cache"),
        "EMPIARFS_LOG_FILE": str(home / "log"),
        "no_proxy": "127.0.0.1",
        "RUN_OF_EMPIARFS_TESTS": os.environ.get("RUN_OF_EMPIARFS_TESTS", ""),
        "TMPDIR": str(home),
    }
    processes: list[subprocess.Popen[bytes]] = []

    def begin(*words: str, **extra: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [python.executable, "-m", "empiarfs", "run", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**environment, **extra},
            cwd="/",
            start_new_session=True,
            **identity(user),
        )
        processes.append(process)
        return process

    yield begin
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # also what outlived it
        process.communicate()
    # Nothing is mounted that others see, and no directory is left.
    assert str(folder) not in Path("/proc/self/mountinfo").read_text()
    assert [each.name for each in home.iterdir() if each.name.startswith("empiarfs-")] == []


def path_without_fusermount(folder: Path) -> str:
    """Return a PATH with a few programs."""
    programs = folder / "bin"
    programs.mkdir()
    for name in ("sh", "ls", "cat", "wc", "grep", "id", "sleep", "diff", "env"):
        found = next(p for p in ("/bin", "/usr/bin") if os.path.exists(f"{p}/{name}"))
        (programs / name).symlink_to(f"{found}/{name}")
    return str(programs)


def ended(process: subprocess.Popen[bytes]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=_TIMEOUT_S)
    return process.returncode, out.decode(errors="replace"), err.decode()


def test_a_program_reads_the_archive_and_its_status_is_ours(start: Start, served: Served) -> None:
    same = f"diff -r {served.root}/10017 {{}}/10017 && exit 7"

    assert ended(start("--", "sh", "-c", same)) == (7, "", "")


def test_the_mount_point_is_in_the_environment_too(start: Start) -> None:
    said = ended(start("--", "sh", "-c", 'ls "$EMPIARFS_MOUNT/10017"; echo {}; cat {}/none'))

    assert said[0] == 1
    assert said[1].split()[:2] == ["10017.xml", "data"]
    assert "No such file" in said[2]


def test_it_may_be_one_entry_on_a_directory_of_ones_own(start: Start, folder: Path) -> None:
    at = folder / "home/at"
    at.mkdir(mode=0o777)
    at.chmod(0o777)
    words = ("--at", str(at), "--source", "empiar:10017", "--", "ls", str(at))

    assert ended(start(*words)) == (0, "10017.xml\ndata\n", "")
    assert list(at.iterdir()) == []


def test_the_program_is_who_it_was_and_has_no_further_rights(start: Start) -> None:
    code, out, err = ended(start("--", "sh", "-c", "id -u; grep CapEff /proc/self/status"))

    assert (code, err) == (0, "")
    number, rights = out.split("\n", 1)
    if number != "0":
        assert int(rights.split()[1], 16) == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="makes mounts be shared")
def test_nobody_else_sees_the_mount(folder: Path) -> None:
    # In a namespace whose mounts would appear in those made of it, and the other way round.
    seen = 'grep -c "$EMPIARFS_MOUNT" /proc/$OUTSIDE/mountinfo; true'
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", 'mount --make-rshared / && OUTSIDE=$$ "$@"', "-",
         sys.executable, "-m", "empiarfs", "run", "--", "sh", "-c", seen],
        env={**os.environ, "EMPIARFS_ARCHIVE_URL": "http://127.0.0.1:9/",
             "EMPIARFS_CACHE_DIR": str(folder / "cache"),
             "EMPIARFS_LOG_FILE": str(folder / "log")},
        capture_output=True, text=True, timeout=_TIMEOUT_S, check=False,
    )  # fmt: skip
    assert (done.stdout, done.returncode) == ("0\n", 0), done.stderr


def test_a_mount_that_was_there_before_can_be_unmounted_meanwhile(
    served: Served, folder: Path
) -> None:
    if os.geteuid() != 0:
        pytest.skip("makes a table of mounts that hands changes on, as systemd does")
    program = f"{sys.executable} -m empiarfs"
    script = f"""
        {program} mount -q {folder}/mnt
        mkfifo {folder}/over
        {program} run -- sh -c 'ls {folder}/mnt; read line < {folder}/over' &
        run=$!
        while ! grep -q . {folder}/said; do sleep 0.1; done
        {program} umount {folder}/mnt || echo "umount: status $?"
        echo > {folder}/over
        wait $run
    """
    (folder / "mnt").mkdir()
    with (folder / "said").open("wb") as said:
        done = subprocess.run(
            ["unshare", "--mount", "--propagation", "shared", "sh", "-c", script],
            env={
                **os.environ,
                "EMPIARFS_ARCHIVE_URL": served.server.url,
                "EMPIARFS_CACHE_DIR": f"{folder}/cache",
                "EMPIARFS_LOG_FILE": f"{folder}/log",
                "no_proxy": "127.0.0.1",
            },
            stdout=said,
            stderr=subprocess.STDOUT,
            timeout=_TIMEOUT_S * 2,
            check=False,
        )

    lines = (folder / "said").read_text().splitlines()
    assert done.returncode == 0
    assert "10017" in lines
    assert [line for line in lines if line.startswith(("empiarfs:", "umount:"))] == []


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("nonesuch",), 127, "nonesuch: No such file"),
        (("/dev/null",), 126, "Permission denied"),
        (("sh", "-c", "kill -9 $$"), 137, ""),
        (("sh", "-c", "kill -15 $$"), 143, ""),
    ],
)
def test_the_status_is_the_one_that_a_shell_would_show(
    start: Start, words: tuple[str, ...], status: int, said: str
) -> None:
    code, _, err = ended(start("--", *words))

    assert code == status
    assert said in err


def test_what_was_read_is_in_the_cache_for_the_next(start: Start, served: Served) -> None:
    assert ended(start("--", "cat", "{}/10017/data/three_blocks.dat"))[0] == 0
    mark = served.server.mark()
    assert ended(start("--", "cat", "{}/10017/data/three_blocks.dat"))[0] == 0
    assert [a for a in served.server.requests_since(mark) if a.method == "GET"] == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_however_it_ends_no_daemon_is_left(
    start: Start, folder: Path, number: signal.Signals
) -> None:
    began = folder / "home/began"
    process = start("--", "sh", "-c", f"ls {{}} > /dev/null; echo > {began}; exec sleep 60")
    wait_until(began.exists, 30)
    daemons = daemons_of(process.pid)
    assert len(daemons) == 1
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # as a terminal does
    else:
        process.send_signal(number)

    wait_until(lambda: process.poll() is not None, 40)
    wait_until(lambda: not Path(f"/proc/{daemons[0]}").exists(), 40)
    assert process.returncode == (-9 if number == signal.SIGKILL else 128 + number)
    for left in home_left(folder):
        assert number == signal.SIGKILL  # who is killed can't remove its directory
        os.rmdir(left)


def daemons_of(pid: int) -> list[int]:
    """Return the children of a process that are daemons of ours."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            words = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if parent == pid and b"--launch-fd" in words:
            found.append(int(folder.name))
    return found


def home_left(folder: Path) -> list[Path]:
    return [each for each in (folder / "home").iterdir() if each.name.startswith("empiarfs-")]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--source", "nonsense", "--", "ls"), "is no source"),
        (("--at", "/nonexistent/x", "--", "ls"), "no directory to mount on"),
        (("--", "ls", "--cache-dir"), ""),
    ],
)
def test_wrong_words_are_told(start: Start, words: tuple[str, ...], said: str) -> None:
    code, _, err = ended(start(*words))

    assert code != 0
    assert said in err
