"""Whatever a mount writes is for its user only, whatever the umask; and no link is followed.

By root and by a plain user, through the commands.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.broken_server import BrokenServer
from tests.support.sandbox import Sandbox, sandbox
from tests.support.users import NOBODY, plain_python, require_root, run_as
from tests.support.waiting import wait_until

pytestmark = pytest.mark.fuse

CONTENT = bytes(range(256)) * 4096 * 2  # two blocks


@pytest.fixture(scope="module")
def server() -> Iterator[BrokenServer]:
    with BrokenServer() as server:
        server.put("10002/data/a.mrc", CONTENT)
        yield server


@pytest.fixture(params=["root", "plain user"])
def box(request: pytest.FixtureRequest, server: BrokenServer) -> Iterator[Sandbox]:
    as_plain = request.param == "plain user"
    if as_plain:
        require_root()
    with sandbox(plain_python(), NOBODY) if as_plain else sandbox() as made:
        made.environment["EMPIARFS_ARCHIVE_URL"] = server.url
        # The defaults below the home directory: these are made by us, too.
        del made.environment["EMPIARFS_CACHE_DIR"]
        made.environment["EMPIARFS_LOG_FILE"] = str(made.home / "state/logs/mnt.log")
        yield made


def mount_and_read(box: Sandbox, umask: int) -> None:
    done = box.run("mount", box.point, umask=umask)
    assert (done.returncode, done.stderr) == (0, ""), done
    read = run_as(box.user, ["cat", box.point / "10002/data/a.mrc"])
    assert read.stdout == CONTENT


def cache_of(box: Sandbox) -> Path:
    return box.home / ".cache/empiarfs/v1"


def block_files(box: Sandbox) -> list[Path]:
    return list(cache_of(box).glob("blocks-1/gen-*/??/*"))


def ours(box: Sandbox) -> list[Path]:
    """Return everything that a mount has made, but for what is in the mount."""
    found = []
    for where, folders, files in os.walk(box.home):
        folders[:] = [name for name in folders if Path(where) / name != box.point]
        found += [Path(where) / name for name in (*folders, *files)]
    return [path for path in found if path not in (box.home / "run", box.point)]


@pytest.mark.parametrize("umask", [0o000, 0o777], ids=oct)
def test_all_files_are_for_their_owner_only(box: Sandbox, umask: int) -> None:
    mount_and_read(box, umask)
    wait_until(lambda: len(block_files(box)) == 2)

    kinds = {"cache.db", "limit", "current", ".sock", ".json", ".log", "catalog-"}
    seen = set()
    for path in ours(box):
        found = path.lstat()
        if stat.S_ISDIR(found.st_mode):
            assert stat.S_IMODE(found.st_mode) == 0o700, path
        else:
            assert stat.S_IMODE(found.st_mode) == 0o600, path
        seen |= {kind for kind in kinds if kind in path.name}
    assert seen == kinds
    assert (
        run_as(box.user, ["stat", "-c", "%a", box.point / "10002/data/a.mrc"]).stdout == b"644\n"
    )
    assert box.run("umount", box.point).returncode == 0


# Each group is met by one mount: behind another `current`, nobody looks into the old folder.
@pytest.mark.parametrize("names", [["limit", "gen-1/cache.db", "gen-1/00"], ["current"]], ids=str)
def test_no_link_in_the_cache_is_followed(box: Sandbox, names: list[str]) -> None:
    mount_and_read(box, 0o022)
    wait_until(lambda: len(block_files(box)) == 2)
    assert box.run("umount", box.point).returncode == 0
    for number, name in enumerate(names):
        lay_link(box, box.home / f"precious{number}", cache_of(box) / "blocks-1" / name)

    mount_and_read(box, 0o022)
    wait_until(lambda: len(block_files(box)) >= 2)

    for precious in box.home.glob("precious*"):
        if precious.is_dir():
            assert list(precious.iterdir()) == []
        else:
            assert precious.read_text() == "kept"
    assert box.run("umount", box.point).returncode == 0


def lay_link(box: Sandbox, target: Path, link: Path) -> None:
    """Put a link in the place of a file or folder, as the user of the sandbox would."""
    make = "mkdir" if link.name == "00" else "printf kept >"
    script = f'{make} "$1" && rm -rf "$2" && ln -s "$1" "$2"'
    laid = run_as(box.user, ["sh", "-c", script, "sh", target, link])
    assert (laid.returncode, laid.stderr) == (0, b"")
