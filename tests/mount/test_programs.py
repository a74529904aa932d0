"""Programs of every day read the mount as they read a local copy.

Each is run in the served tree and in the mounted one; what it prints and leaves must be
the same.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mount.conftest import Served
from tests.support import tree
from tests.support.mounts import Mount

pytestmark = [pytest.mark.fuse, pytest.mark.apache]

THREE_BLOCKS = "10017/data/three_blocks.dat"


def shell(mount: Mount, where: Path, script: str) -> bytes:
    """Run a script of bash in `where`; it must succeed and not complain."""
    done = mount.run("bash", "-euo", "pipefail", "-c", script, cwd=where)

    assert (done.returncode, done.stderr) == (0, b""), script
    return done.stdout


@pytest.mark.parametrize(
    "script",
    [
        "find . -print0 | sort -z",
        r"find . -type f -printf '%P %s %Ts %y\n' | sort",
        "find . -type f -empty -print0 | sort -z",
        "find . -type f -size +1M -newermt 2022-02-07 | sort",
        "find . -type f -print0 | sort -z | xargs -0 md5sum",
        "find . -type f -print0 | sort -z | xargs -0 -P 8 -n 5 md5sum | sort",
        "find . -type f -print0 | sort -z | xargs -0 file -b --",
        "find . -type f -print0 | sort -z | xargs -0 -n 1 tail -c 100 --",
        "find . -type f -print0 | sort -z | xargs -0 -n 1 head -c 100 --",
        "find . -type f -print0 | sort -z | xargs -0 wc -c",
        "find . -type f -print0 | sort -z | xargs -0 du -b --apparent-size",
        "ls -1A --quoting-style=c 10005/data/files",
        "ls -1AR --quoting-style=escape",
        "grep -rl schemaVersion . | sort",
        "cat 10017/data/*.dat | md5sum",
        f"dd if={THREE_BLOCKS} bs=1 skip=1048570 count=12 status=none | md5sum",
        f"dd if={THREE_BLOCKS} bs=1000 skip=37 count=1234 status=none | md5sum",
        f"dd if={THREE_BLOCKS} bs=65537 status=none | md5sum",
        f"dd if={THREE_BLOCKS} bs=3M status=none | md5sum",
        f"dd if={THREE_BLOCKS} bs=131071 skip=7 status=none | md5sum",
        f"tac -b {THREE_BLOCKS} | md5sum",
        f"cmp {THREE_BLOCKS} <(cat {THREE_BLOCKS})",
        f"split -b 700001 --filter=md5sum {THREE_BLOCKS}",
    ],
)
def test_a_program_prints_the_same(served: Served, mount: Mount, script: str) -> None:
    assert shell(mount, mount.path, script) == shell(mount, served.root, script)


def test_du_shows_what_the_files_take(mount: Mount) -> None:
    status = (mount.path / THREE_BLOCKS).stat()

    [kilobytes, _] = shell(mount, mount.path, f"du -k {THREE_BLOCKS}").split()

    assert int(kilobytes) == -(-status.st_size // 1024)


def test_cp_copies_everything_with_its_times(served: Served, mount: Mount, tmp_path: Path) -> None:
    shell(mount, mount.path, f"cp -a . {tmp_path}/copy")

    assert tree.differences(served.root, tmp_path / "copy") == []


def test_rsync_copies_everything_and_then_finds_nothing_to_do(
    served: Served, mount: Mount, tmp_path: Path
) -> None:
    shell(mount, mount.path, f"rsync -a ./ {tmp_path}/copy/")
    again = shell(mount, mount.path, f"rsync -ai --omit-dir-times ./ {tmp_path}/copy/")
    by_checksum = shell(mount, mount.path, f"rsync -aic --omit-dir-times ./ {tmp_path}/copy/")

    assert tree.differences(served.root, tmp_path / "copy") == []
    assert (again, by_checksum) == (b"", b"")


@pytest.mark.parametrize("option", ["", "--sparse"])
def test_tar_packs_everything(served: Served, mount: Mount, tmp_path: Path, option: str) -> None:
    (tmp_path / "copy").mkdir()
    shell(mount, mount.path, f"tar {option} -cf - . | tar -xf - -C {tmp_path}/copy")

    assert tree.differences(served.root, tmp_path / "copy") == []


def test_tar_finds_nothing_changed_while_it_reads(
    served: Served, mount: Mount, tmp_path: Path
) -> None:
    shell(mount, mount.path, f"tar -cf {tmp_path}/all.tar 10017")

    shell(mount, mount.path, f"tar -df {tmp_path}/all.tar")


def test_several_processes_map_one_file_at_once(served: Served, mount: Mount) -> None:
    program = (
        "import hashlib, mmap, sys\n"
        "with open(sys.argv[1], 'rb') as file:\n"
        "    with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:\n"
        "        print(hashlib.md5(mapped).hexdigest())\n"
    )
    path = mount.path / "10017/data/Falcon_2012_06_12-14_33_35_0.mrc"
    expected = hashlib.md5((served.root / path.relative_to(mount.path)).read_bytes()).hexdigest()

    readers = [
        subprocess.Popen(
            [sys.executable, "-I", "-c", program, path], stdout=subprocess.PIPE, text=True
        )
        for _ in range(6)
    ]
    printed = [reader.communicate(timeout=60)[0].strip() for reader in readers]

    assert printed == [expected] * 6


def test_a_file_is_copied_by_every_call_that_the_kernel_has(
    served: Served, mount: Mount, tmp_path: Path
) -> None:
    expected = (served.root / THREE_BLOCKS).read_bytes()
    target = tmp_path / "sent"
    with (mount.path / THREE_BLOCKS).open("rb") as source, target.open("wb") as sink:
        sent = 0
        while sent < len(expected):
            sent += os.sendfile(sink.fileno(), source.fileno(), sent, 2**20)
    pieces = bytearray(len(expected))
    with (mount.path / THREE_BLOCKS).open("rb", buffering=0) as source:
        halves = [memoryview(pieces)[:1_000_001], memoryview(pieces)[1_000_001:]]
        os.preadv(source.fileno(), halves, 0)

    assert target.read_bytes() == expected
    assert bytes(pieces) == expected


def test_locks_are_granted(mount: Mount) -> None:
    path = mount.path / THREE_BLOCKS

    assert shell(mount, mount.path, f"flock --shared --nonblock {path} echo locked") == b"locked\n"


def test_a_reader_that_is_killed_does_not_disturb_the_next(served: Served, mount: Mount) -> None:
    name = "10028/data/sizes/10433536"
    with subprocess.Popen(["cat", mount.path / name], stdout=subprocess.PIPE) as reader:
        assert reader.stdout is not None
        reader.stdout.read(1)
        reader.kill()

    assert (mount.path / name).read_bytes() == (served.root / name).read_bytes()
