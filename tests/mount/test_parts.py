"""What mounting is made of, without a mount: the kernel's list, logs, stderr, and so on."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from empiarfs.config import Config
from empiarfs.errors import MountError
from empiarfs.fuse.invalidation import Invalidator
from empiarfs.mount.kernel import set_read_ahead
from empiarfs.mount.launch import environment
from empiarfs.mount.logs import choose_log_file, default_log_file
from empiarfs.mount.points import resolve
from empiarfs.mount.probe import probe
from empiarfs.mount.request import MountRequest, MountSummary
from empiarfs.mount.stderr import CapturedStderr, in_one_line
from empiarfs.mount.table import mounts, parse_mountinfo
from tests.support.users import CHECKOUT
from tests.support.waiting import wait_until

# -- the kernel's list --------------------------------------------------------------------

MOUNTINFO = rb"""22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro
40 22 0:39 / /mnt/a\040b ro,nosuid - fuse.empiarfs http://h/a\134b ro,user_id=1000,group_id=7
41 22 0:40 / /mnt/c ro,nosuid shared:9 master:3 - fuse.sshfs host: rw,user_id=0,group_id=0
nonsense
"""


def test_the_kernels_list_is_understood() -> None:
    root, ours, other = parse_mountinfo(MOUNTINFO)

    assert (root.path, root.kind, root.owner) == ("/", "ext4", None)
    assert (ours.path, ours.source, ours.device) == ("/mnt/a b", "http://h/a\\b", "0:39")
    assert (ours.kind, ours.owner) == ("fuse.empiarfs", 1000)
    assert (other.kind, other.owner, other.is_ours) == ("fuse.sshfs", 0, False)


def test_the_list_of_this_machine_is_understood() -> None:
    assert "/" in [mount.path for mount in mounts()]


def test_a_mount_point_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    monkeypatch.chdir(tmp_path)

    for text in ("real", "real/", "./real", "link", "link/", "real/.", "link/../real"):
        assert resolve(text) == str(tmp_path / "real")
    assert resolve("/") == "/"


def test_a_directory_that_is_gone_is_no_place_to_start_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()

    with pytest.raises(MountError, match="is gone"):
        resolve("mnt")


# -- questions to a file system -----------------------------------------------------------


def test_a_file_system_answers_with_its_number(tmp_path: Path) -> None:
    assert probe(str(tmp_path), 20) == tmp_path.stat().st_dev


def test_a_file_system_answers_with_its_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        probe(str(tmp_path / "nothing"), 20)


def test_a_file_system_that_is_silent_is_given_up(tmp_path: Path) -> None:
    with pytest.raises(TimeoutError):
        probe(str(tmp_path), 0)


# -- what passes between command and daemon -----------------------------------------------


def test_a_request_survives_being_handed_over() -> None:
    config = Config(cache_dir=Path("/c,d"), wait_s=float("inf"), read_ahead=4096, xattr=True)
    request = MountRequest("/mnt/\udcff", "empiar", "10017", config, True, {"noexec": ""})

    assert MountRequest.from_json(request.to_json().encode("ascii")) == request


@pytest.mark.parametrize("text", [b"", b"{}", b"[]", b'{"config": 5}', b"\xff"])
def test_what_is_no_request_is_refused(text: bytes) -> None:
    with pytest.raises(MountError, match="can't be read"):
        MountRequest.from_json(text)


def test_the_daemon_finds_the_same_empiarfs_from_another_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    environ = environment({"PYTHONPATH": "lib:", "PATH": "/bin"})

    assert environ["PYTHONPATH"].split(":") == [str(tmp_path / "lib"), str(CHECKOUT)]
    assert environ["PATH"] == "/bin"


# -- logs ---------------------------------------------------------------------------------


def run_python(code: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=CHECKOUT,
        timeout=60,
        check=True,
    )


def test_a_log_is_bounded_private_and_takes_what_c_says(tmp_path: Path) -> None:
    code = """
import logging, os, sys
from pathlib import Path
from empiarfs.mount import logs
logs._MAX_BYTES = 1000
log = logs.Log("info", Path(sys.argv[1]), takes_stderr=True)
logger = logging.getLogger("empiarfs.test")
for number in range(200):
    logger.info("line %d", number)
    logger.debug("not shown")
logger.warning("a name with a\\nline in it and \\udcff")
os.write(2, b"libfuse: something\\n")
log.close()
"""
    file = tmp_path / "new/directory/log"
    done = run_python(code, file)

    assert done.stderr == ""
    assert sorted(path.name for path in file.parent.iterdir()) == [
        "log", "log.1", "log.2", "log.3",
    ]  # fmt: skip
    for path in file.parent.iterdir():
        assert path.stat().st_size < 1100
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    text = file.read_text()
    assert "INFO empiarfs.test: line 199\n" in text
    assert "WARNING empiarfs.test: a name with a\\nline in it and \\udcff\n" in text
    assert text.endswith("libfuse: something\n")
    assert "not shown" not in text


def test_a_log_is_not_written_through_a_symbolic_link(tmp_path: Path) -> None:
    (tmp_path / "log").symlink_to(tmp_path / "target")
    code = """
import sys
import time
from pathlib import Path
from empiarfs.errors import MountError
from empiarfs.mount.logs import Log
try:
    Log("info", Path(sys.argv[1]))
except MountError as error:
    print(error)
"""
    assert "cannot log to" in run_python(code, tmp_path / "log").stdout
    assert not (tmp_path / "target").exists()


def test_each_mount_point_has_a_log_of_its_own() -> None:
    points = ["/mnt/a", "/mnt/a b", "/mnt/a-b", "/mnt/a_b", "/mnt/" + "x" * 4000, "/"]
    names = [default_log_file(point).name for point in points]

    assert len(set(names)) == len(points)
    assert all(len(name) < 150 for name in names)


def test_a_log_that_nobody_wrote_to_for_months_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    logs = tmp_path / "empiarfs"
    logs.mkdir(mode=0o700)
    for name, days in (("old.log", 100), ("old.log.1", 100), ("young.log", 80), ("other", 100)):
        (logs / name).touch()
        os.utime(logs / name, (time.time(), time.time() - days * 86_400))
    chosen = choose_log_file(Config(), "/mnt/a")

    assert chosen == logs / "mnt-a.log"
    assert sorted(path.name for path in logs.iterdir()) == ["other", "young.log"]


# -- what C libraries say -----------------------------------------------------------------


def test_what_c_says_is_caught_and_python_goes_on(capfd: pytest.CaptureFixture[str]) -> None:
    captured = CapturedStderr()
    os.write(2, b"fuse: bad mount point\n")
    sys.stderr.write("from Python\n")
    said = captured.release()
    os.write(2, b"afterwards\n")

    assert said == "fuse: bad mount point\n"
    assert captured.release() == ""
    assert capfd.readouterr().err == "from Python\nafterwards\n"


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ("", ""),
        ("\n \n", ""),
        ("fuse: device not found, try 'modprobe fuse' first\n", "device not found, try"),
        ("a\nfusermount3: mount failed: Operation not permitted\n", "mount failed: Operation"),
        ("fuse: mount: something: else", "something: else"),
    ],
)
def test_what_c_says_becomes_one_line(said: str, line: str) -> None:
    assert in_one_line(said).startswith(line)
    assert bool(in_one_line(said)) == bool(line)


# -- the kernel ---------------------------------------------------------------------------


def test_a_read_ahead_that_can_not_be_set_is_a_warning(expects_warnings: list[object]) -> None:
    set_read_ahead("0:999999", 1024)

    assert len(expects_warnings) == 1


def test_the_summary_survives_being_handed_over() -> None:
    summary = MountSummary("/m", "http://h/", "place", "size", "log", 7, ("note",))
    assert MountSummary.from_values(json.loads(summary.to_json())) == summary


def test_changes_are_told_in_a_thread_of_their_own() -> None:
    told: list[tuple[int, bytes, int]] = []

    def tell(session: int, path: bytes) -> int:
        told.append((session, path, threading.get_ident()))
        return -2

    invalidator = Invalidator(tell)
    invalidator.start(77)
    invalidator.forget("10017/\udcff", wait_s=10)
    invalidator.stop()

    ((session, path, thread),) = told
    assert (session, path) == (77, b"/10017/\xff")
    assert thread != threading.get_ident()


def test_who_must_not_wait_does_not(expects_warnings: list[object]) -> None:
    blocked = threading.Event()
    told: list[bytes] = []

    def tell(session: int, path: bytes) -> int:
        blocked.wait(20)
        told.append(path)
        return 0

    invalidator = Invalidator(tell)
    invalidator.start(1)
    try:
        invalidator.forget("a", wait_s=0)
        invalidator.forget("b", wait_s=0.01)  # waits, and gives up
        invalidator.forget("b", wait_s=0)
        assert told == []
        assert len(expects_warnings) == 1
        blocked.set()
        wait_until(lambda: told == [b"/a", b"/b"])
    finally:
        blocked.set()
        invalidator.stop()


def test_after_the_end_nothing_is_told_and_nobody_waits() -> None:
    told: list[bytes] = []

    def tell(session: int, path: bytes) -> int:
        told.append(path)
        return 0

    invalidator = Invalidator(tell)
    invalidator.start(1)
    invalidator.stop()

    invalidator.forget("a", wait_s=20)

    assert told == []
