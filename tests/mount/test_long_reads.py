"""A program that sets out to read a directory for days is named, in a real mount."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import tree
from tests.support.apache import ApacheServer
from tests.support.mounts import Mount, mounted
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.fuse, pytest.mark.apache, pytest.mark.slow]

MOVIES = 120
HUGE = 4 * 1024**4

# Reads files, some in a second, as a slow link would let it.
READER = """
import os, sys, time
for name in sorted(os.listdir(sys.argv[1])):
    if name.startswith("z"):
        break
    with open(os.path.join(sys.argv[1], name), "rb", buffering=0) as file:
        file.read(int(sys.argv[2]))
    time.sleep(0.1)
print("done", flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def mount() -> Iterator[Mount]:
    with tree.temporary_root() as root:
        # What a program has read of a file, the kernel doesn't ask for again.
        for name, movies in (("data", MOVIES), ("heads", 20)):
            folder = root / "10934" / name
            folder.mkdir(parents=True)
            for number in range(movies):
                (folder / f"movie{number:03}.mrc").write_bytes(os.urandom(300_000))
            for number in range(3):
                (folder / f"z{number}.mrc").touch()
                os.truncate(folder / f"z{number}.mrc", HUGE)
        with ApacheServer(root) as server, mounted(server.url) as made:
            yield made


def reader(mount: Mount, folder: str, size: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [mount._python.executable, "-c", READER, str(mount.path / folder), str(size)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


def long_reads(mount: Mount) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = mount.status()["long_reads"]
    return found


def test_who_looks_at_headers_is_not_named(mount: Mount) -> None:
    with reader(mount, "10934/heads", 20_000) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"done\n"
        assert long_reads(mount) == []
        process.communicate()
    assert "long read" not in mount.log


def test_who_reads_on_for_days_is_named_with_what_is_left(mount: Mount) -> None:
    with reader(mount, "10934/data", -1) as process:
        try:
            wait_until(lambda: long_reads(mount), 60)
            (found,) = long_reads(mount)
            shown = mount.command("status").stdout
            detail = mount.command("status", mount.path).stdout
            inside = json.loads(Path(mount.path / ".empiar/status.json").read_text())
        finally:
            process.kill()
            process.communicate()

    assert (found["pid"], found["path"], found["entry"]) == (process.pid, "10934/data", "10934")
    assert found["left_bytes"] <= 3 * HUGE + MOVIES * 300_000 <= found["left_bytes_at_most"] * 1.01
    assert found["left_s"] > 86_400
    assert found["globus"]["path"] == "/empiar/world_availability/10934/data/"
    words = f"(process {process.pid}) reads through 10934/data at "
    assert f"long read on {mount.path}: " in shown
    for text in (shown, detail):
        assert words in text
        assert " are left there, " in text
        assert "`empiarfs plan 10934/data` says what it takes, and Globus is faster: " in text
    assert [each["pid"] for each in inside["long_reads"]] == [process.pid]
    assert mount.log.count(f"(process {process.pid}) reads through '10934/data'") == 1
    # Whoever has ended reads no more.
    assert long_reads(mount) == []
