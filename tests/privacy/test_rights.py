"""Who may look into a mount and its cache, and what nobody is told: through the commands."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.broken_server import BrokenServer
from tests.support.mounts import Mount, mounted
from tests.support.sandbox import Sandbox, sandbox
from tests.support.users import NOBODY, plain_python, require_root, run_as

pytestmark = pytest.mark.fuse

SECRET = "s3cret"


@pytest.fixture(scope="module")
def server() -> Iterator[BrokenServer]:
    with BrokenServer() as server:
        server.put("10002/data/a.mrc", b"movie")
        yield server


# -- the mount ---------------------------------------------------------------------------------


def options_of(path: Path) -> set[str]:
    """Return the options of a mount point, its own and its file system's."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        if before.split()[4] == str(path):
            return {*before.split()[5].split(","), *after.split()[2].split(",")}
    raise AssertionError(f"{path} is not mounted")


@pytest.mark.parametrize("as_plain", [False, True], ids=["root", "plain user"])
def test_a_mount_is_closed_but_to_who_made_it(server: BrokenServer, as_plain: bool) -> None:
    require_root()
    with mounted(server.url, user=NOBODY if as_plain else None) as mount:
        options = options_of(mount.path)
        mount.path.parent.chmod(0o755)
        stranger = None if as_plain else NOBODY
        path = mount.path / "10002/data/a.mrc"

        assert {"ro", "nosuid", "nodev", "default_permissions"} <= options
        assert "allow_other" not in options
        assert mount.run("cat", path).stdout == b"movie"
        assert b"Permission denied" in run_as(stranger, ["cat", path]).stderr


@pytest.mark.parametrize(("umask", "said"), [("022", b""), ("077", b"Permission denied")])
def test_who_lets_others_in_may_still_keep_them_from_reading(
    server: BrokenServer, umask: str, said: bytes
) -> None:
    require_root()
    with mounted(server.url, options=["allow_other", f"umask={umask}"]) as mount:
        assert "allow_other" in options_of(mount.path)
        mount.path.parent.chmod(0o755)

        done = run_as(NOBODY, ["cat", mount.path / "10002/data/a.mrc"])

        # The kernel compares modes, since the mount has default_permissions.
        assert said in done.stderr
        assert done.stdout == (b"" if said else b"movie")


def test_what_mount_adds_opens_nothing(server: BrokenServer) -> None:
    with sandbox() as box:
        done = box.run(server.url, box.point, "-t", "fuse.empiarfs", "-o", "rw,dev,suid")

        assert (done.returncode, done.stderr) == (0, "")
        assert {"ro", "nosuid", "nodev"} <= options_of(box.point)


# -- the cache ---------------------------------------------------------------------------------


def refusal(box: Sandbox, place: Path) -> str:
    done = box.run("mount", box.point, "--cache-dir", place)
    assert done.returncode == 2, done
    assert not box.is_mounted
    return done.stderr


def test_another_users_cache_is_refused_both_ways() -> None:
    require_root()
    with sandbox(plain_python(), NOBODY) as box:
        theirs = box.home / "theirs"
        theirs.mkdir(mode=0o755)
        mine = box.home / "mine"
        mine.mkdir(mode=0o777)
        os.chown(mine, NOBODY.uid, NOBODY.gid)
        mine.chmod(0o755)

        assert "belongs to root" in refusal(box, theirs)
        box.user = None
        assert f"belongs to user {NOBODY.uid}" in refusal(box, mine)
        assert list(mine.iterdir()) == list(theirs.iterdir()) == []


def test_a_cache_in_the_place_of_which_anybody_could_put_another_is_refused() -> None:
    with sandbox() as box:
        place = box.home / "open"
        place.mkdir()
        place.chmod(0o777)

        assert "chmod o-w" in refusal(box, place)
        place.chmod(0o1777)
        box.mount("--cache-dir", place)
        assert (place / "v1").stat().st_mode & 0o777 == 0o700


def test_another_users_mount_and_status_are_closed(server: BrokenServer) -> None:
    require_root()
    with mounted(server.url) as mount:
        runtime = mount.path.parent / "run/empiarfs"
        mount.path.parent.chmod(0o755)
        (mount.path.parent / "run").chmod(0o755)
        [record] = runtime.glob("*.json")

        assert runtime.stat().st_mode & 0o777 == 0o700
        for path in (record, record.with_suffix(".sock"), mount.path.parent / "log"):
            assert path.stat().st_mode & 0o777 == 0o600
            assert run_as(NOBODY, ["test", "-r", path]).returncode != 0


# -- secrets -----------------------------------------------------------------------------------


@pytest.fixture
def dead_port() -> Iterator[int]:
    """A port at which nobody listens, and nobody will."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield int(held.getsockname()[1])


def everything_said(mount: Mount) -> str:
    """Return all that a mount tells anybody: to its user, in files, to other users."""
    status = mount.command("status", mount.path, "--json").stdout
    status += mount.command("status", "-v").stdout
    errors = mount.command("status", mount.path, "--errors").stdout
    shown = Path("/proc/self/mountinfo").read_text() + Path("/proc/mounts").read_text()
    words = Path(f"/proc/{mount.pid}/cmdline").read_bytes().decode()
    runtime = mount.path.parent / "run"
    files = [path.read_text(errors="replace") for path in runtime.rglob("*.json")]
    return "\n".join([mount.output, mount.log, status, errors, shown, words, *files])


@pytest.mark.parametrize("answers", [False, True], ids=["dead proxy", "proxy that refuses"])
def test_a_proxys_password_is_told_to_nobody_but_the_proxy(
    server: BrokenServer, dead_port: int, answers: bool
) -> None:
    # To a client a server that answers 404 to a whole URL is a proxy that knows no such host.
    port = server.port if answers else dead_port
    proxy = f"http://ada:{SECRET}@127.0.0.1:{port}"
    url = "http://archive.test/archive/"
    with mounted(url, env={"http_proxy": proxy}, options=["wait=1s"]) as mount:
        mount.warnings_expected = True
        mount.run("ls", mount.path)
        mount.run("cat", mount.path / "10002/data/a.mrc")
        said = everything_said(mount)

    assert "archive.test" in said
    assert SECRET not in said
    assert "YWRhOnMzY3JldA" not in said  # the same as Basic sends it


def test_a_password_in_the_environment_is_not_repeated(server: BrokenServer) -> None:
    url = server.url.replace("http://", f"http://ada:{SECRET}@")
    with sandbox() as box:
        done = box.run("mount", box.point, env={"EMPIARFS_ARCHIVE_URL": url})

        assert done.returncode == 2
        assert "EMPIARFS_ARCHIVE_URL" in done.stderr
        assert SECRET not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("EMPIARFS_CACHE_SIZE", "lots", "EMPIARFS_CACHE_SIZE: 'lots' is no size"),
        ("EMPIARFS_WAIT", "-5", "EMPIARFS_WAIT"),
        ("EMPIARFS_MAX_CONNECTIONS", "100", "isn't between 1 and 20"),
        ("EMPIARFS_CASHE_DIR", "/x", "did you mean EMPIARFS_CACHE_DIR"),
        ("http_proxy", "socks5://proxy", "http_proxy"),
        ("REQUESTS_CA_BUNDLE", "/nonexistent", "/nonexistent"),
    ],
)
def test_a_mistake_in_the_environment_is_one_line_that_names_it(
    variable: str, value: str, said: str
) -> None:
    with sandbox() as box:
        url = "https://archive.test/" if variable == "REQUESTS_CA_BUNDLE" else "http://a.test/"
        done = box.run("mount", box.point, env={"EMPIARFS_ARCHIVE_URL": url, variable: value})

        assert done.returncode == 2, done
        assert said in done.stderr
        assert re.fullmatch(r"empiarfs: error: .*\n(hint: .*\n)?", done.stderr)
