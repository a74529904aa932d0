"""The examples of docs/facilities.md do what the page says."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.support.machine import Machine, made_machine
from tests.support.pages import examples, shown_by
from tests.support.users import CHECKOUT

PAGE = CHECKOUT / "docs" / "facilities.md"

pytestmark = pytest.mark.fuse


@pytest.fixture
def machine() -> Iterator[Machine]:
    with made_machine() as made:
        yield made


def blocks(kind: str) -> list[str]:
    """Return the page's blocks of one kind."""
    text = PAGE.read_text(encoding="utf-8")
    return re.findall(rf"^```{kind}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def test_the_line_of_fstab_mounts_what_the_helper_is_put_in_place_for(machine: Machine) -> None:
    (line,) = blocks("fstab")
    ((command, shown),) = [each for each in examples(PAGE) if "install-helper" in each[0]]
    home = machine.box.home
    (home / "fstab").write_text(
        line.replace("/empiar ", f"{machine.box.point} ").replace(
            "cache_dir=/var/cache/empiarfs", machine.options
        )
    )
    # As root there is no need of sudo, which may be missing.
    done = machine.sh(
        f'PATH="$BOX/bin:$PATH"\n{command.removeprefix("sudo ")}\n'
        'mount "$P"\ngrep " $P " /proc/mounts\numount "$P"'
    )

    assert done.returncode == 0, done.stderr
    *installed, mounted = done.stdout.splitlines()
    assert shown_by(shown, "\n".join(installed))
    assert mounted.startswith(f"empiar {machine.box.point} fuse.empiarfs ro,nosuid,nodev")
    assert "allow_other" in mounted


def test_mount_fuse3_takes_the_path_of_the_program(machine: Machine) -> None:
    if not (machine.sbin / "mount.fuse3").exists():
        pytest.skip("mount.fuse3 is missing (package fuse3)")
    text = PAGE.read_text(encoding="utf-8")
    (command,) = re.findall(r"`(mount -t fuse3 [^`]*)`", text)
    command = command.replace("/opt/empiarfs/bin/empiarfs", str(machine.program))
    command = command.replace(" /empiar ", ' "$P" ') + ',"$O"'
    done = machine.sh(f'{command}\ngrep " $P " /proc/mounts\numount "$P"')

    assert (done.returncode, done.stderr) == (0, "")
    assert "fuse.empiarfs" in done.stdout
    assert "allow_other" in done.stdout
