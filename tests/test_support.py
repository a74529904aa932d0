"""Tests of what other tests stand on: Apache, certificates, the served tree, plain users."""

from __future__ import annotations

import gzip
import os
import shutil
import ssl
import stat
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import unquote_to_bytes

import pytest

from tests.support import mounts, tree, users
from tests.support.apache import ApacheServer
from tests.support.certificates import make_certificates


def fetch(
    url: str, *, context: ssl.SSLContext | None = None, headers: Mapping[str, str] | None = None
) -> bytes:
    wanted = urllib.request.Request(url, headers=dict(headers or {}))
    with urllib.request.urlopen(wanted, timeout=10, context=context) as response:
        body: bytes = response.read()
        return body


@pytest.fixture
def root() -> Iterator[Path]:
    with tree.temporary_root() as made:
        yield made


@pytest.mark.apache
def test_apache_lists_what_it_serves_in_the_form_of_the_archive(root: Path) -> None:
    tree.write_file(root / "10002/10002.xml", b"x" * 1000)
    tree.set_times(root)

    with ApacheServer(root) as server:
        page = fetch(server.url + "10002/")

    assert b"<title>Index of /empiar/world_availability/10002</title>" in page
    assert (
        b'<td><a href="10002.xml">10002.xml</a></td>'
        b'<td align="right">2022-02-07 10:32  </td><td align="right">1.0K</td>'
    ) in page


@pytest.mark.apache
def test_apache_logs_each_request_with_its_range_and_status(root: Path) -> None:
    tree.write_file(root / "a b", b"0123456789")

    with ApacheServer(root) as server:
        mark = server.mark()
        fetch(server.url + "a%20b", headers={"Range": "bytes=2-4"})
        [access] = server.requests_since(mark)

    assert (access.method, access.status, access.size, access.range) == (
        "GET",
        206,
        3,
        "bytes=2-4",
    )
    assert access.name == "a b"
    assert access.begin_us <= access.end_us


@pytest.mark.apache
def test_apache_serves_every_odd_name_of_the_tree(root: Path) -> None:
    tree.make_odd_names(root)

    with ApacheServer(root) as server:
        page = fetch(server.url + "10005/data/files/")

    for name in tree.ODD_NAMES:
        assert any(
            unquote_to_bytes(href.replace(b"&amp;", b"&").removeprefix(b"./")) == name
            for href in hrefs(page)
        ), name


def hrefs(page: bytes) -> list[bytes]:
    return [piece.partition(b'"')[0] for piece in page.split(b'<td><a href="')[1:]]


@pytest.mark.apache
def test_apache_hides_what_debian_hides_only_if_told_so(root: Path) -> None:
    tree.make_hidden_names(root)

    with ApacheServer(root) as server:
        hidden = hrefs(fetch(server.url))
    with ApacheServer(root, index_ignore=False) as server:
        shown = hrefs(fetch(server.url))

    assert hidden[1:] == [b"listed.mrc"]
    # Debian's list is configuration; that dotfiles are shown without it is Apache's choice.
    assert len(shown) > len(tree.HIDDEN_NAMES)


@pytest.mark.apache
def test_apache_over_tls_is_trusted_by_its_authority_and_by_nobody_else(
    root: Path, tmp_path: Path
) -> None:
    other = make_certificates(tmp_path, "another authority")

    with ApacheServer(root, tls=True) as server:
        trusting = ssl.create_default_context(cafile=server.environment["SSL_CERT_FILE"])
        page = fetch(server.url, context=trusting)
        with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
            fetch(server.url, context=ssl.create_default_context(cafile=other.authority))

    assert server.url.startswith("https://127.0.0.1:")
    assert b"Index of" in page


@pytest.mark.apache
def test_apache_compresses_listings_if_told_so(root: Path) -> None:
    tree.make_many(root / "many", 100)

    with ApacheServer(root, gzip=True) as server:
        packed = fetch(server.url + "many/", headers={"Accept-Encoding": "gzip"})

    assert b"movie_00099.tif" in gzip.decompress(packed)


@pytest.mark.apache
def test_apache_comes_back_on_the_same_port_after_an_outage(root: Path) -> None:
    with ApacheServer(root) as server:
        url = server.url
        server.stop()
        with pytest.raises(urllib.error.URLError, match="refused"):
            fetch(url)
        server.start()

        assert b"Index of" in fetch(url)
        assert len(server.accesses()) == 1


@pytest.mark.apache
def test_apache_leaves_no_process_and_no_file(root: Path) -> None:
    with ApacheServer(root) as server:
        home = server.home
        assert home.is_dir()
        words = [words for pid, words in mounts.command_lines() if pid == server.pid]
        assert words[0][0] == b"/usr/sbin/apache2"

    assert not home.exists()
    assert not [line for line in mounts.command_lines() if os.fsencode(home) in b" ".join(line[1])]


def test_two_trees_made_the_same_way_are_the_same(root: Path, tmp_path: Path) -> None:
    for place in (root, tmp_path):
        tree.make_entries(place)
        tree.make_odd_names(place)
        tree.set_times(place)

    assert tree.differences(root, tmp_path) == []


def test_every_kind_of_difference_is_found(root: Path, tmp_path: Path) -> None:
    tree.make_entries(root)
    tree.set_times(root)
    shutil.copytree(root, tmp_path / "copy", symlinks=True)
    copy = tmp_path / "copy"
    same_size = copy / "10017/data/one.byte"
    before = same_size.stat()
    same_size.write_bytes(b"?")
    os.utime(same_size, ns=(before.st_atime_ns, before.st_mtime_ns))
    (copy / "10017/data/empty.star").write_bytes(b"more")
    (copy / "10002/10002.xml").unlink()
    (copy / "10028/data/new").mkdir()
    (copy / "10017/10017.xml").unlink()
    (copy / "10017/10017.xml").mkdir()

    found = "\n".join(tree.differences(root, copy))

    assert "different bytes: b'/10017/data/one.byte'" in found
    assert "0 and 4 bytes: b'/10017/data/empty.star'" in found
    assert "changed at" in found
    assert f"only in {root}: b'/10002/10002.xml'" in found
    assert f"only in {copy}: b'/10028/data/new'" in found
    assert "of different kinds: b'/10017/10017.xml'" in found


def test_the_big_file_is_sparse_and_holds_its_markers(root: Path) -> None:
    path = root / "big.mrcs"
    tree.make_big_file(path)

    status = path.stat()
    assert status.st_size == tree.BIG_FILE_SIZE > 2**32
    assert status.st_blocks * 512 < 2**20
    with path.open("rb") as file:
        for marker in tree.BIG_FILE_MARKERS:
            start = max(0, marker.offset - 5)
            file.seek(start)
            assert file.read(30) == tree.big_file_contents(start, 30)
            assert marker.data in tree.big_file_contents(start, 30)


def test_a_plain_user_can_import_the_package_and_not_read_what_is_roots(tmp_path: Path) -> None:
    python = users.plain_python()
    secret = tmp_path / "secret"
    secret.touch(mode=0o600)
    program = "import empiarfs, os, sys; print(os.getuid()); open(sys.argv[1])"
    environment = dict(python.environment)

    done = users.run_as(users.NOBODY, [python.executable, "-c", program, secret], env=environment)

    assert done.stdout.strip() == b"65534"
    assert b"PermissionError" in done.stderr


@pytest.mark.fuse
def test_every_user_may_open_the_fuse_device() -> None:
    users.require_root()
    users.make_fuse_accessible()

    assert stat.S_IMODE(users.FUSE_DEVICE.stat().st_mode) & 0o666 == 0o666


def test_mount_points_are_read_from_the_kernel() -> None:
    assert "/proc" in mounts.mount_points("proc")
