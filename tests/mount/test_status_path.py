"""`status PATH`: what a slow read waited for, on real mounts of a server that is slow on order."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.support.broken_server import BrokenServer, Fault
from tests.support.mounts import Mount, mounted

pytestmark = [pytest.mark.fuse, pytest.mark.slow]

DATA = os.urandom(300_000)
FILES = {f"10934/data/{name}.mrc": DATA for name in ("late", "good", "shut", "never")}


def of(path: str) -> Any:
    return lambda request: request.method == "GET" and request.path == path


def heads_of(path: str) -> Any:
    return lambda request: request.method == "HEAD" and request.path == path


def told(mount: Mount, path: Path) -> dict[str, Any]:
    done = mount.command("status", path, "--json")
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def names(answer: dict[str, Any]) -> list[str]:
    return [reason["name"] for reason in answer["reasons"]]


def test_a_path_tells_why_its_reads_were_slow_or_failed() -> None:
    with BrokenServer(FILES) as server, mounted(server.url) as mount:
        mount.expect_log("read '10934/data/shut.mrc': ")
        data = mount.path / "10934/data"
        server.fault(of("10934/data/late.mrc"), Fault.delay(1.1), times=99)
        server.fault(of("10934/data/shut.mrc"), Fault.answer(403), times=99)
        assert (data / "late.mrc").read_bytes() == DATA
        assert (data / "good.mrc").read_bytes() == DATA
        with pytest.raises(PermissionError):
            (data / "shut.mrc").read_bytes()

        late = told(mount, data / "late.mrc")
        assert (late["size"], late["is_directory"]) == (len(DATA), False)
        assert late["reads"]["slow"] >= 1
        assert late["reads"]["failed"] == 0
        assert names(late)[0] == "first_byte"
        first = next(each for each in late["slow_reads"] if each["offset"] == 0)
        assert (first["pid"], first["errno"]) == (os.getpid(), None)
        assert first["waited"]["first_byte"] > 1.0
        assert first["archive_bytes"] > 0
        shown = mount.command("status", data / "late.mrc").stdout
        assert "why: the archive sent its first byte only after up to " in shown
        assert "  what helps: `empiarfs warm` fetches it before it is read" in shown
        assert f"(process {os.getpid()})" in shown

        good = told(mount, data / "good.mrc")["reads"]
        assert (good["failed"], good["archive_bytes"] + good["memory_bytes"]) == (0, len(DATA))

        shut = told(mount, data / "shut.mrc")
        assert shut["reads"]["failed"] >= 1
        assert (shut["slow_reads"][-1]["errno"], names(shut)[0]) == ("EACCES", "ForbiddenError")
        shown = mount.command("status", data / "shut.mrc").stdout
        assert "why: the archive refuses to hand it out" in shown
        assert "  EACCES: " in shown

        # Of a directory, all of that together.
        below = told(mount, data)
        assert (below["is_directory"], below["reads"]["files"]) == (True, 3)
        assert {"first_byte", "ForbiddenError"} <= set(names(below))

        never = told(mount, data / "never.mrc")
        assert (never["reads"], never["slow_reads"], never["size"]) == (None, [], len(DATA))
        assert "no read of it is remembered" in mount.command("status", data / "never.mrc").stdout


def test_a_limit_and_an_archive_out_of_reach_are_told_apart() -> None:
    with BrokenServer(FILES) as server:
        options = ["wait=4s", "limit_rate=100k"]
        with mounted(server.url, options=options) as mount:
            mount.warnings_expected = True
            data = mount.path / "10934/data"
            (data / "never.mrc").stat()
            assert (data / "good.mrc").read_bytes() == DATA

            limited = told(mount, data / "good.mrc")
            assert names(limited)[0] == "limit_rate"
            assert limited["limit_rate"] == 102_400
            server.stop()
            assert mount.run("cat", data / "never.mrc").returncode == 1

            gone = told(mount, data / "never.mrc")
            assert {"OfflineError", "UnreachableError"} & set(names(gone))
            assert gone["reads"]["failed"] >= 1


def test_who_asks_for_what_is_not_there_is_told_so_and_no_bytes_are_fetched(
    tmp_path: Path,
) -> None:
    with BrokenServer(FILES) as server, mounted(server.url) as mount:
        told(mount, mount.path / "10934/data/never.mrc")
        assert not any(map(of("10934/data/never.mrc"), server.requests))
        for words, status, said in (
            ((mount.path / "10934/data/nothing.mrc",), 1, "the archive has nothing at"),
            ((tmp_path / "file",), 1, "no empiarfs of yours is mounted on"),
            ((mount.path / "10934/data", "--watch"), 2, "--watch shows mounts"),
        ):
            done = mount.command("status", *words)
            assert (done.returncode, done.stdout) == (status, "")
            assert said in done.stderr
        # A way to the mount by a link is as good, and the alias of an entry.
        (tmp_path / "link").symlink_to(mount.path)
        assert (mount.path / "10934/data/good.mrc").read_bytes() == DATA
        found = told(mount, tmp_path / "link/EMPIAR-10934/data/good.mrc")
        assert found["archive_path"] == "10934/data/good.mrc"
        assert found["reads"]["count"] >= 1
        quiet = mount.command("status", "--quiet", mount.path / "10934/data/good.mrc")
        assert (quiet.returncode, quiet.stdout) == (0, "")


def test_look_ups_that_were_slow_or_failed_are_told_too() -> None:
    files = {f"10934/{name}/x.mrc": DATA for name in ("slow", "shut")}
    with BrokenServer(files) as server, mounted(server.url) as mount:
        mount.warnings_expected = True
        server.fault(heads_of("10934/slow/x.mrc"), Fault.delay(1.1), times=99)
        server.fault(lambda r: r.path == "10934/shut/", Fault.answer(403), times=99)
        slow = mount.path / "10934/slow/x.mrc"
        assert slow.stat().st_size == len(DATA)
        with pytest.raises(PermissionError):
            (mount.path / "10934/shut/x.mrc").stat()

        found = told(mount, slow)
        looked_up = [each for each in found["slow_reads"] if each["path"] == "10934/slow/x.mrc"]
        assert [(each["call"], each["offset"]) for each in looked_up] == [("stat", None)]
        assert (names(found)[0], found["reads"]) == ("names", None)
        shown = mount.command("status", slow).stdout
        assert "why: the archive took so long to tell names, sizes and times (" in shown
        assert " stat of x.mrc  (names and sizes " in shown

        # Its directory can't be listed; that stands at the file as well.
        shut = told(mount, mount.path / "10934/shut/x.mrc")
        assert shut["slow_reads"][-1]["errno"] == "EACCES"
        assert "ForbiddenError" in names(shut)
        assert shut["trouble"] is not None


def test_a_read_under_way_tells_what_it_waits_for_now() -> None:
    from empiarfs.core.waits import Course, Wait
    from empiarfs.fuse.readers import Readers

    readers, course = Readers(lambda pid: (pid, "relion"), lambda: 100.0), Course(0.0)
    readers.opened(7, 12, "10934/data/a.mrc")
    reading = readers.begin(7, 4096, 10)
    following = reading.account.follow(course, 0.0)
    course.turn(Wait.OFFLINE, 1.0)
    found = readers.reads_of(lambda path: path == "10934/data/a.mrc")

    assert found["reads"] is None
    assert isinstance(found["under_way"], list)
    (waiting,) = found["under_way"]
    assert (waiting["waits_for"], waiting["program"], waiting["pid"]) == ("offline", "relion", 12)
    assert (waiting["offset"], waiting["size"]) == (4096, 10)
    following.end(2.0)
    readers.ended(7, reading, 10)
    assert readers.reads_of(lambda path: True)["under_way"] == []
    assert readers.reads_of(lambda path: False)["reads"] is None
    readers.looked_up("opendir", "10934", 12, -5.0)
    on_the_way = readers.reads_of(lambda path: False, lambda path: path == "10934")["slow_reads"]
    assert isinstance(on_the_way, list)
    assert [(each["call"], each["program"]) for each in on_the_way] == [("opendir", "relion")]


def test_what_is_remembered_is_bounded() -> None:
    from empiarfs.fuse.readers import Readers

    readers = Readers(lambda pid: (pid, "p"), lambda: 100.0)
    for number in range(2_000):
        readers.looked_up("stat", f"10934/{number}", 1, 0.0, OSError("x"), "EIO")
    for number in range(2_000):
        readers.opened(number, 1, f"10934/data/{number}")
        reading = readers.begin(number, 0, 10)
        readers.failed(number, reading, OSError("x" * 10_000), "EIO")
        readers.released(number)
    found = readers.reads_of(lambda path: True)

    assert isinstance(found["slow_reads"], list)
    assert found["under_way"] == []
    assert len(found["slow_reads"]) == 100
    assert len(readers._reads.files()) == 256
    assert len(list(readers._reads.slow())) == 200 + 50
    assert len(json.dumps(found)) < 100_000
