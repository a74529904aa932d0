"""Mounts that another program has made, whose descriptor is passed to us as /dev/fd/N."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from empiarfs.mount.passed import mount_of, passed_descriptor
from tests.support.machine import made_machine
from tests.support.sandbox import Sandbox, sandbox
from tests.support.users import CHECKOUT, NOBODY, plain_python, require_root, run_as
from tests.support.waiting import wait_until

pytestmark = pytest.mark.fuse

PASSING = CHECKOUT / "tests/support/passing.py"


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with sandbox() as made:
        yield made


def passed(box: Sandbox, end: str, *words: str) -> dict[str, Any]:
    """Have a mount served by `empiarfs` with these words, and tell what was seen."""
    require_root()
    command: list[str | Path] = ["unshare", "--mount", sys.executable, PASSING, box.point, end]
    command += box.words(*words)
    done = run_as(None, command, env=box.environment, timeout_s=120)
    assert done.returncode == 0, done.stderr.decode()
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


@pytest.mark.parametrize("words", [("empiar", "-f", "{}"), ("mount", "{}", "--foreground")])
def test_it_is_served_until_whoever_made_it_unmounts(box: Sandbox, words: list[str]) -> None:
    found = passed(box, "umount", *words)

    assert "README.txt" in found["seen"]
    assert found["written"] == "Read-only file system"
    assert (found["ended"], found["left"]) == (0, [])
    assert "unmounted" in box.log
    if found["status"]:  # this kernel tells which mount a descriptor serves
        assert json.loads(found["status"])["mount_point"] == str(box.point)


def test_a_signal_ends_it_at_once_and_the_mount_is_left_to_its_maker(box: Sandbox) -> None:
    found = passed(box, "TERM", "empiar", "{}", "-f")

    assert found["ended"] == 0
    assert found["left"] == ["Transport endpoint is not connected"]
    assert " WARNING " not in box.log


def test_in_the_background_the_command_returns_and_the_daemon_serves() -> None:
    if shutil.which("mount.fuse3", path="/usr/sbin:/sbin") is None:
        pytest.skip("mount.fuse3 is missing (package fuse3)")
    # It mounts, gives up all rights, becomes a plain user and runs us, by this option.
    with made_machine(plain_python(), NOBODY) as machine:
        source = f"{machine.program}#empiar"
        options = f"drop_privileges,setuid=nobody,allow_other,{machine.options}"
        done = machine.sh(
            f'mount -t fuse3 {source} "$P" -o {options}\n'
            'ls "$P/.empiar"\ngrep " $P " /proc/mounts\numount "$P"'
        )
        wait_until(lambda: "unmounted /dev/fd/" in machine.box.log, 30)

    assert (done.returncode, done.stderr) == (0, "")
    assert "README.txt" in done.stdout
    assert "allow_other" in done.stdout


@pytest.mark.parametrize(
    ("descriptor", "said"),
    [("99", "/dev/fd/99: no such descriptor was passed"), ("0", "/dev/fd/0 is no descriptor of")],
)
def test_what_is_no_descriptor_of_a_mount_is_told(
    box: Sandbox, descriptor: str, said: str
) -> None:
    done = box.run("mount", f"/dev/fd/{descriptor}")

    assert done.returncode == 1
    assert said in done.stderr
    assert box.daemons() == []


def test_libfuse_2_knows_no_such_mounts(box: Sandbox) -> None:
    device = os.open("/dev/fuse", os.O_RDWR)
    try:
        with box.start(
            "mount", f"/dev/fd/{device}", pass_fds=[device], env={"EMPIARFS_LIBFUSE": "2"}
        ) as process:
            _, said = process.communicate(timeout=60)
    finally:
        os.close(device)

    if "can't be used" in said:
        pytest.skip("no libfuse 2")
    assert process.returncode == 1
    assert "needs libfuse 3.3" in said


@pytest.mark.parametrize(
    "path", ["/dev/fd/", "/dev/fd/x", "/dev/fd/03", "/dev/fd/3/", "dev/fd/3", "/dev/fd/-1"]
)
def test_other_paths_are_paths(path: str) -> None:
    assert passed_descriptor(path) is None


def test_a_descriptor_that_serves_nothing_has_no_mount(tmp_path: Path) -> None:
    device = os.open("/dev/fuse", os.O_RDWR)
    try:
        assert mount_of(device) is None
    finally:
        os.close(device)
    assert mount_of(device) is None
