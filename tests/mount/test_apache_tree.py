"""The mounted tree equals the served one: names as bytes, sizes, times, bytes, attributes."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from tests.mount.conftest import Served
from tests.support import tree
from tests.support.apache import ApacheServer
from tests.support.mounts import Mount, mounted

pytestmark = [pytest.mark.fuse, pytest.mark.apache]


def read(root: Path, path: bytes) -> bytes:
    with open(os.fsencode(root) + path, "rb") as file:
        return file.read()


def test_the_mounted_tree_equals_the_served_one(served: Served, mount: Mount) -> None:
    assert tree.differences(served.root, mount.path, mtime="second") == []


def test_diff_finds_no_difference(served: Served, mount: Mount) -> None:
    done = mount.run("diff", "-r", served.root, mount.path)

    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_names_are_the_served_bytes(mount: Mount) -> None:
    files = os.listdir(os.fsencode(mount.path / "10005/data/files"))
    directories = os.listdir(os.fsencode(mount.path / "10005/data/directories"))

    assert sorted(files) == sorted(tree.ODD_NAMES)
    assert sorted(directories) == sorted(tree.ODD_NAMES)


@pytest.mark.parametrize("name", tree.ODD_NAMES, ids=repr)
def test_an_odd_name_is_found_without_listing_its_directory(
    served: Served, mount: Mount, name: bytes
) -> None:
    inside = b"/10005/data/directories/" + name + b"/inside.dat"

    assert read(mount.path, inside) == read(served.root, inside)


def test_sizes_are_exact_around_each_step_of_the_printed_ones(mount: Mount) -> None:
    sizes = mount.path / "10028/data/sizes"

    assert {name: (sizes / name).stat().st_size for name in os.listdir(sizes)} == {
        name: int(name) for name in os.listdir(sizes)
    }


def test_an_entry_is_found_by_its_accession_code_too(mount: Mount) -> None:
    by_number = mount.path / "10017/10017.xml"
    by_code = mount.path / "EMPIAR-10017/10017.xml"

    assert by_code.read_bytes() == by_number.read_bytes()
    assert by_code.stat().st_ino == by_number.stat().st_ino
    assert "EMPIAR-10017" not in os.listdir(mount.path)


@pytest.mark.parametrize("path", ["99999", "10017/data/nothing", "10017/10017.xml.gz", ".git"])
def test_what_the_archive_does_not_have_is_absent(mount: Mount, path: str) -> None:
    with pytest.raises(FileNotFoundError):
        (mount.path / path).stat()


def test_a_file_is_no_directory_and_a_directory_no_file(mount: Mount) -> None:
    with pytest.raises(NotADirectoryError):
        os.listdir(mount.path / "10017/10017.xml")
    with pytest.raises(NotADirectoryError):
        (mount.path / "10017/10017.xml/inside").stat()
    with pytest.raises(IsADirectoryError):
        (mount.path / "10017/data").read_bytes()


def test_attributes_are_those_that_programs_rely_on(mount: Mount) -> None:
    for where, directories, files in os.walk(mount.path):
        for name in files:
            status = os.lstat(os.path.join(where, name))
            assert status.st_blocks == -(-status.st_size // 512)
            assert stat.filemode(status.st_mode) == "-rw-r--r--"
            assert (status.st_nlink, status.st_blksize) == (1, 4096)
            assert status.st_ctime_ns == status.st_mtime_ns
            assert (status.st_uid, status.st_gid) == (os.geteuid(), os.getegid())
        for name in directories:
            status = os.lstat(os.path.join(where, name))
            assert stat.filemode(status.st_mode) == "drwxr-xr-x"


def test_inode_numbers_differ_and_outlive_a_remount(served: Served) -> None:
    with mounted(served.server.url) as mount:
        before = _inodes(mount.path)
        mount.remount()
        after = _inodes(mount.path)

    assert after == before
    assert len(set(before.values())) == len(before)
    assert not {0, 1} & set(before.values())


def _inodes(root: Path) -> dict[str, int]:
    return {
        os.path.join(where, name): os.lstat(os.path.join(where, name)).st_ino
        for where, directories, files in os.walk(root)
        for name in (*directories, *files)
    }


def test_the_mount_is_read_only_and_without_suid_and_devices(mount: Mount) -> None:
    options = os.statvfs(mount.path).f_flag

    assert options & os.ST_RDONLY
    assert options & os.ST_NOSUID
    assert options & os.ST_NODEV


def test_names_that_apache_hides_are_found_when_asked_for(root: Path) -> None:
    tree.make_hidden_names(root / "10002/data")
    with ApacheServer(root) as server, mounted(server.url) as mount:
        directory = mount.path / "10002/data"

        assert os.listdir(directory) == ["listed.mrc"]
        for name in tree.HIDDEN_NAMES:
            assert read(directory, b"/" + name) == tree.contents(name, 500), name


def test_a_directory_that_apache_may_not_read_is_forbidden(root: Path) -> None:
    tree.write_file(root / "10002/data/secret/a.mrc", b"secret")
    refusal = f'<Directory "{root}/10002/data/secret">\nRequire all denied\n</Directory>'
    with ApacheServer(root, extra_config=refusal) as server, mounted(server.url) as mount:
        # Apache leaves out of its listings what it would refuse, but answers 403 for it.
        mount.warnings_expected = True
        with pytest.raises(OSError, match="secret") as caught:
            os.listdir(mount.path / "10002/data/secret")

    assert caught.value.errno == errno.EACCES


@pytest.mark.slow
def test_twenty_thousand_names_are_listed_with_their_sizes(root: Path) -> None:
    movies = root / "10511/data"
    tree.make_many(movies, 20_000)
    tree.set_times(root)
    # Closing after 100 requests, Apache would allow a thousand sizes a second, since no more
    # than ten connections are opened in one.
    with ApacheServer(root, keep_alive_requests=0) as server, mounted(server.url) as mount:
        assert len(os.listdir(mount.path / "10511/data")) == 20_000
        assert tree.differences(movies, mount.path / "10511/data", bytes_too=False) == []
        listings = [access for access in server.accesses() if access.path.endswith("/data/")]

    assert len(listings) == 1
