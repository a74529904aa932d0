"""The helper of mount(8): put in place, tried, used by mount(8) and fstab, removed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.machine import LINKS, Machine, made_machine
from tests.support.mounts import command_lines
from tests.support.sandbox import sandbox
from tests.support.users import CHECKOUT, NOBODY, plain_python, run_as
from tests.support.waiting import wait_until

pytestmark = pytest.mark.fuse

WAYS = ["mount -t fuse.empiarfs empiar", "mount -t empiarfs empiar"]
GENERATOR = Path("/usr/lib/systemd/system-generators/systemd-fstab-generator")


@pytest.fixture
def machine() -> Iterator[Machine]:
    with made_machine() as made:
        yield made


def left_by(folder: Path) -> list[int]:
    """The processes whose command line names something below a folder."""
    needle = os.fsencode(folder)
    return [pid for pid, words in command_lines() if any(needle in word for word in words)]


def test_it_is_put_in_place_tried_and_removed(machine: Machine) -> None:
    folder = machine.box.home / "tmp"
    folder.mkdir()
    done = machine.sh('"$E" install-helper', TMPDIR=str(folder))

    assert done.returncode == 0, done.stderr
    assert "error" not in done.stderr
    assert list(folder.iterdir()) == []
    assert machine.links == LINKS
    assert {os.readlink(machine.sbin / name) for name in LINKS} == {str(machine.program)}
    for way in WAYS:
        assert f"works    {way}\n" in done.stdout
    wait_until(lambda: not left_by(folder), 20)

    removed = machine.sh('"$E" install-helper --remove && "$E" install-helper --remove')
    assert (removed.returncode, removed.stderr) == (0, "")
    assert removed.stdout.splitlines()[-1] == "nothing was there"
    assert machine.links == []


def test_mount_knows_both_types_and_refuses_to_remount(machine: Machine) -> None:
    machine.link()
    done = machine.sh(
        """
for type in empiarfs fuse.empiarfs; do
    mount -t $type empiar "$P" -o "$O"
    grep " $P " /proc/mounts
    mount -o remount,cache_size=1G "$P" || echo status $?
    ls -d "$P/.empiar" && umount "$P"
done
"""
    )

    assert done.returncode == 0, done.stderr
    shown = [line for line in done.stdout.splitlines() if line.startswith("empiar ")]
    assert len(shown) == 2
    assert all(" fuse.empiarfs ro,nosuid,nodev," in line for line in shown)
    assert done.stdout.count("status 1\n") == 2
    assert done.stderr.count("a mount can't be changed; unmount it") == 2


def test_a_line_of_fstab_is_mounted_once_by_mount_a(machine: Machine) -> None:
    machine.link()
    options = f"_netdev,nofail,x-systemd.automount,allow_other,{machine.options}"
    (machine.box.home / "fstab").write_text(f"empiar {machine.box.point} empiarfs {options} 0 0\n")
    done = machine.sh('mount -a\nmount -a\ngrep " $P " /proc/mounts\numount "$P"')

    assert (done.returncode, done.stderr) == (0, "")
    (shown,) = done.stdout.splitlines()
    assert "allow_other" in shown


def test_mount_says_and_counts_what_went_wrong(machine: Machine) -> None:
    machine.link()
    done = machine.sh(
        """
mount -t empiarfs empiar "$P/nowhere" -o "$O" || echo failed $?
mount -t empiarfs empiar "$P" -o cash_dir=/x || echo usage $?
mount -t empiarfs empir "$P" || echo usage $?
"""
    )

    # Those of mount(8), not ours.
    assert done.stdout == "failed 32\nusage 1\nusage 1\n"
    assert "did you mean cache_dir?" in done.stderr
    assert "did you mean empiar?" in done.stderr


@pytest.mark.parametrize("place", ["empiar", "link", "elsewhere"])
def test_the_source_may_be_a_file_where_mount_runs(machine: Machine, place: str) -> None:
    # As in "/", with /empiar to mount on: mount(8) makes a path of the source then.
    home = machine.box.home
    (home / "target").mkdir()
    if place == "link":
        (home / "empiar").symlink_to("target")
    else:
        (home / "empiar").mkdir()
    point = home / ("target" if place == "elsewhere" else "empiar")
    (home / "fstab").write_text(f"empiar {point} empiarfs {machine.options} 0 0\n")
    machine.link()
    done = machine.sh(
        f"""
cd "$BOX"
mount {point.name}
mount -a
cd /
mount -a
grep -c " {os.path.realpath(point)} fuse.empiarfs " /proc/mounts
mount -o remount {point} || echo "refused $?"
umount {point}
"""
    )

    assert done.stdout.splitlines() == ["1", "refused 1"], done.stderr
    assert "a mount can't be changed" in done.stderr


def test_a_plain_user_mounts_and_unmounts_what_fstab_lets_users_mount() -> None:
    with made_machine(plain_python(), NOBODY) as machine:
        box = machine.box
        line = f"empiar {box.point} empiarfs noauto,user,_netdev,allow_other,{machine.options}"
        (box.home / "fstab").write_text(f"{line} 0 0\n")
        (box.home / "fuse.conf").write_text("user_allow_other\n")
        machine.link()
        done = machine.sh(
            """
as_user() { setpriv --reuid 65534 --regid 65534 --clear-groups "$@"; }
as_user mount "$P"
grep " $P " /proc/mounts
as_user ls -d "$P/.empiar"
as_user umount "$P"
grep " $P " /proc/mounts || echo gone
"""
        )

        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        shown, listed, gone = done.stdout.splitlines()
        assert "user_id=65534" in shown
        assert "nosuid,nodev,noexec" in shown
        assert (listed, gone) == (f"{box.point}/.empiar", "gone")


def test_fstab_is_what_systemd_makes_an_automount_of(machine: Machine) -> None:
    if not GENERATOR.exists() or shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not installed")
    fstab, units = machine.box.home / "fstab", machine.box.home / "units"
    units.mkdir()
    options = "_netdev,noauto,user,x-systemd.automount,allow_other"
    fstab.write_text(f"empiar /empiar empiarfs {options} 0 0\n")
    environment = {"SYSTEMD_FSTAB": str(fstab), "PATH": os.defpath}
    made = run_as(None, [GENERATOR, units, units, units], env=environment)

    assert made.returncode == 0, made.stderr
    mount = (units / "empiar.mount").read_text()
    assert "Type=empiarfs\n" in mount
    assert f"Options={options}\n" in mount
    verified = run_as(None, ["systemd-analyze", "verify", units / "empiar.automount"])
    assert b"empiar" not in verified.stderr, verified.stderr.decode()


def test_what_stands_in_its_place_is_left_alone(machine: Machine) -> None:
    other = machine.sbin / "mount.empiarfs"
    other.write_text("#!/bin/sh\n")
    other.chmod(0o755)
    done = machine.sh('"$E" install-helper || echo $?; "$E" install-helper --remove')

    assert done.stdout == "1\nnothing was there\n"
    assert "/sbin/mount.empiarfs is there and not ours" in done.stderr
    assert other.read_text() == "#!/bin/sh\n"
    assert machine.links == []


@pytest.mark.parametrize("mistake", ["owner", "mode"])
def test_a_program_that_others_can_change_never_becomes_roots(
    machine: Machine, mistake: str
) -> None:
    if mistake == "owner":
        os.chown(machine.program.parent, NOBODY.uid, NOBODY.gid)
    else:
        machine.program.chmod(0o777)
    done = machine.sh('"$E" install-helper', SUDO_UID="")

    assert done.returncode == 1
    assert "can be changed by" in done.stderr
    assert "hint: install empiarfs where only root can write" in done.stderr
    assert machine.links == []


def test_an_installation_of_who_calls_sudo_will_do_and_is_told(machine: Machine) -> None:
    os.chown(machine.program.parent, NOBODY.uid, NOBODY.gid)
    if CHECKOUT.stat().st_uid != 0:
        pytest.skip("the checkout is not root's")
    done = machine.sh('"$E" install-helper', SUDO_UID=str(NOBODY.uid))

    assert done.returncode == 0
    assert f"note: {machine.program.parent} is yours" in done.stderr
    assert machine.links == LINKS


def test_a_program_that_needs_somebodys_environment_is_refused(machine: Machine) -> None:
    machine.program.write_text(
        f"#!{sys.executable}\nimport os, sys\n"
        f"sys.path.insert(0, {str(CHECKOUT)!r})\nos.environ['BOX']\n"
        "from empiarfs.cli import main\nmain()\n"
    )
    done = machine.sh('"$E" install-helper')

    assert done.returncode == 1
    assert "doesn't run without your environment: KeyError: 'BOX'" in done.stderr
    assert machine.links == []


def test_doctor_tells_where_the_links_lead(machine: Machine) -> None:
    def told() -> tuple[str, str]:
        done = machine.sh('"$E" doctor --offline --json || true')
        findings = json.loads(done.stdout)["findings"]
        (found,) = [each for each in findings if each["name"] == "mount -t"]
        return found["verdict"], found["text"]

    verdict, text = told()
    assert (verdict, text.partition(";")[0]) == ("ok", "not set up")
    assert machine.sh('"$E" install-helper').returncode == 0
    assert told() == ("ok", f"`mount -t empiarfs` and fstab run {machine.program}")
    (machine.sbin / LINKS[0]).unlink()
    (machine.sbin / LINKS[0]).symlink_to("/gone/empiarfs")
    text = f"/sbin/{LINKS[0]} leads to /gone/empiarfs, which can't be run"
    assert told() == ("PROBLEM", text)


def test_a_test_names_what_does_not_work(machine: Machine) -> None:
    missing = machine.sh('"$E" install-helper --test')
    assert (missing.returncode, missing.stdout) == (1, "")
    assert "/sbin/mount.fuse.empiarfs is missing" in missing.stderr

    (machine.sbin / "mount.fuse3").unlink(missing_ok=True)
    for name in LINKS:
        (machine.sbin / name).symlink_to("/bin/false" if name == LINKS[0] else machine.program)
    done = machine.sh('"$E" install-helper --test')
    assert done.returncode == 1
    assert f"works    {WAYS[0]}\n" in done.stdout
    assert f"empiarfs: error: {WAYS[1]}: " in done.stderr


def test_a_plain_user_is_told_how_to_become_root() -> None:
    with sandbox(plain_python(), NOBODY) as box:
        done = box.run("install-helper", "--remove")

    assert done.returncode == 1
    error, hint = done.stderr.splitlines()
    assert error == "empiarfs: error: only root can do that"
    assert hint.startswith("hint: run it by sudo: sudo /")
    assert hint.endswith("install-helper --remove")


def test_removing_and_trying_at_once_is_wrong_usage() -> None:
    with sandbox() as box:
        done = box.run("install-helper", "--remove", "--test")

    assert done.returncode == 2
    assert "exclude each other" in done.stderr


def test_ctrl_c_ends_a_try_with_its_mount(machine: Machine) -> None:
    # mount(8) that takes its time stands for a machine that does.
    (machine.sbin / LINKS[0]).symlink_to(machine.program)
    (machine.sbin / LINKS[1]).write_text('#!/bin/sh\ntouch "${0%/*}/began"\nexec sleep 100\n')
    (machine.sbin / LINKS[1]).chmod(0o755)
    folder = machine.box.home / "tmp"
    folder.mkdir()
    words = machine.words('exec "$E" install-helper --test')
    with subprocess.Popen(
        words,
        env={**machine.environment, "TMPDIR": str(folder)},
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            wait_until(lambda: (machine.sbin / "began").exists(), 30)
        finally:
            os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=120)

    assert (process.returncode, said.strip()) == (130, "empiarfs: interrupted")
    wait_until(lambda: not left_by(folder) and not list(folder.iterdir()), 20)
