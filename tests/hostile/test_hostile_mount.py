"""A hostile listing through a real mount: programs see the good names and nothing else.

Run by root and by a plain user.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.broken_server import BrokenServer
from tests.support.listing_cases import page_of
from tests.support.mounts import Mount, mounted
from tests.support.users import NOBODY, User, require_root

pytestmark = pytest.mark.fuse

# What is served, and how a listing links it; contents are the names themselves.
GOOD = {
    b"good.mrc": b"good.mrc",
    b"-rf": b"-rf",
    b"a b.mrc": b"a%20b.mrc",
    b"line\nbreak": b"line%0abreak",
    b"\x1b[2J\x07\x7f": b"%1b[2J%07%7f",
    b"$(reboot)`id`": b"$(reboot)%60id%60",
    b"javascript:alert(1)": b"./javascript:alert(1)",
    b"latin1_\xe9": b"latin1_%e9",
    b"..hidden": b"..hidden",
    b"...": b"...",
    b"a&amp;b": b"a&amp;amp;b",
    b"<script>": b"%3cscript%3e",
    b"n" * 255: b"n" * 255,
    "e\u0301\u202egnp.exe".encode(): b"e%cc%81%e2%80%aegnp.exe",
}
# What would leave the directory or the archive, or can be no name.
BAD = [
    b"..", b"../", b"../../../etc/passwd", b"/etc/passwd", b"a/b", b"a%2fb", b"%2e%2e%2fx",
    b"%2e%2e", b".", b"%00", b"a%00b", b"a&#0;b", b"", b"n" * 256, b"n" * 10_000,
    b"https://evil.example/x", b"//evil.example/x", b"javascript:alert(1)", b"file:///etc/passwd",
    b"x?y=1", b"x#y", b"&#x110000;x", b"good.mrc", b"good.mrc/", b"sub",
]  # fmt: skip
# Links that aren't names and are no refusals either: the parent and the directory itself.
NEUTRAL = {b"../", b"."}


def hostile_page() -> bytes:
    row = b'<tr><td><a href="%b">x</a></td><td align="right">2020-09-13 12:27  </td></tr>\n'
    links = [*GOOD.values(), b"sub/", *BAD]
    rows = b"".join(row % link for link in links)
    unclosed = b'<tr><td><a href="unclosed.mrc">x<td><b><i>' + b"<div>" * 500
    heading = b'<tr><th><a href="?C=N;O=D">Name</a></th></tr>'
    title = b"Index of /archive/10002/data"
    return page_of(b"<table>" + heading + rows + unclosed + b"</table>", title)


@pytest.fixture(scope="module")
def server() -> Iterator[BrokenServer]:
    with BrokenServer() as server:
        for name in [*GOOD, b"unclosed.mrc", b"sub/inside"]:
            path = "10002/data/" + name.decode("utf-8", "surrogateescape")
            server.put(path, name)
        server.listings["10002/data/"] = hostile_page()
        yield server


@pytest.fixture(scope="module", params=[None, NOBODY], ids=["root", "plain user"])
def mount(request: pytest.FixtureRequest, server: BrokenServer) -> Iterator[Mount]:
    user: User | None = request.param
    if user is not None:
        require_root()
    with mounted(server.url, user=user) as made:
        made.warnings_expected = True  # the refused names
        yield made


def expected_names() -> set[bytes]:
    return {*GOOD, b"unclosed.mrc", b"sub"}


def test_ls_shows_the_good_names_only(mount: Mount) -> None:
    listed = mount.run("ls", "-laU", "--quoting-style=escape", mount.path / "10002/data")
    plain = mount.run(
        "find", mount.path / "10002/data", "-mindepth", "1", "-maxdepth", "1", "-print0"
    )

    assert (listed.returncode, listed.stderr) == (0, b"")
    assert len(listed.stdout.splitlines()) == len(expected_names()) + 3
    assert {os.path.basename(path) for path in plain.stdout.split(b"\0")[:-1]} == expected_names()
    kinds = mount.run("find", mount.path, "!", "-type", "f", "!", "-type", "d")
    assert (kinds.returncode, kinds.stdout) == (0, b"")


@pytest.mark.parametrize("program", ["cp", "rsync", "tar"])
def test_a_copy_has_the_good_names_only_and_stays_in_its_place(mount: Mount, program: str) -> None:
    # In the mount's own home, so that a plain user may write there.
    place = mount.path.parent / "home" / program
    source = f"{mount.path}/10002"
    command = {
        "cp": ["cp", "-r", "--", source, str(place)],
        "rsync": ["rsync", "-a", "--", f"{source}/", str(place)],
        "tar": ["sh", "-c", f"mkdir {place} && tar -C {source} -c . | tar -C {place} -x"],
    }[program]

    done = mount.run(*command)

    assert (done.returncode, done.stderr) == (0, b"")
    copied = os.fsencode(place / "data")
    assert set(os.listdir(copied)) == expected_names()
    for name in GOOD:
        assert Path(os.fsdecode(copied + b"/" + name)).read_bytes() == name
    assert {path.name for path in place.parent.iterdir()} <= {"cp", "rsync", "tar"} | HOME
    assert all(not path.is_symlink() for path in place.rglob("*"))


HOME = {".cache", ".local", ".config"}


def test_refused_names_are_absent_even_if_asked_for(mount: Mount, server: BrokenServer) -> None:
    before = len(server.requests)
    for name in ("n" * 256, "n" * 10_000):
        done = mount.run("stat", f"{mount.path}/10002/data/{name}")
        assert done.returncode != 0
    outside = mount.run("cat", f"{mount.path}/10002/data/../../../etc/passwd")

    assert outside.returncode != 0
    asked = {request.path for request in server.requests[before:]}
    assert not any("evil" in path or "passwd" in path or ".." in path for path in asked)


def test_every_request_stays_inside_the_archive(mount: Mount, server: BrokenServer) -> None:
    mount.run("find", mount.path / "10002", "-type", "f", "-exec", "cat", "{}", "+")

    paths = {request.path for request in server.requests}
    inside = {"", "10002/", "10002/data/", "10002/data/sub/"}
    files = {f"10002/data/{name}" for name in [*map(os.fsdecode, [*GOOD, b"unclosed.mrc"])]}
    assert paths <= inside | files | {"10002/data/sub/inside", "10002", "10002/data"}


def test_status_and_log_tell_the_refused_names_escaped(mount: Mount) -> None:
    mount.run("ls", mount.path / "10002/data")
    status = mount.status()

    refused = len([link for link in BAD if link not in NEUTRAL])
    [told] = status["refused_names"]
    assert (told["directory"], told["count"]) == ("10002/data", refused)
    assert len(told["names"]) == 10
    assert all(line.isascii() and line.isprintable() for line in told["names"])
    assert "out of the directory" in " ".join(told["names"])
    [line] = [line for line in mount.log.splitlines() if "can't be served, such as" in line]
    assert f"{refused} names" in line
    assert len(line) < 10_000
    assert line.isprintable()


def test_attributes_of_hostile_names_are_those_of_files(mount: Mount) -> None:
    for name in GOOD:
        path = os.fsdecode(os.fsencode(mount.path) + b"/10002/data/" + name)

        found = mount.run("stat", "-c", "%s %F", path)

        assert found.stdout == b"%d regular file\n" % len(name)
