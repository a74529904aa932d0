"""The examples of docs/facilities.md do what the page says."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.mount.test_passed import passed
from tests.support.machine import Machine, made_machine
from tests.support.pages import examples, shown_by
from tests.support.sandbox import sandbox
from tests.support.users import CHECKOUT, NOBODY, plain_python

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
    (command,) = re.findall(r"`(mount -t fuse3 [^`]*allow_other)`", text)
    command = command.replace("/opt/empiarfs/bin/empiarfs", str(machine.program))
    command = command.replace(" /empiar ", ' "$P" ') + ',"$O"'
    done = machine.sh(f'{command}\ngrep " $P " /proc/mounts\numount "$P"')

    assert (done.returncode, done.stderr) == (0, "")
    assert "fuse.empiarfs" in done.stdout
    assert "allow_other" in done.stdout


def test_the_recipe_is_what_the_unit_says_that_it_needs(machine: Machine) -> None:
    recipe = blocks("sh")[0].splitlines()
    (written,) = [line for line in recipe if "systemd-unit" in line]
    command = written.replace("/opt/empiarfs/bin/empiarfs", '"$E"').partition(" | ")[0]
    (machine.box.home / "passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    done = machine.sh(f'mount --bind "$BOX/passwd" /etc/passwd\n{command}')

    assert "\nUser=empiarfs\n" in done.stdout
    needed = re.findall(r"^empiarfs: note: [^:]*: (.*)$", done.stderr, re.MULTILINE)
    assert len(needed) == 2, done.stderr
    assert set(needed) <= set(recipe)


def test_another_place_user_and_option_are_those_of_the_page(machine: Machine) -> None:
    text = PAGE.read_text(encoding="utf-8")
    (words,) = re.findall(r"`empiarfs (systemd-unit /[^`]*)`", text)
    done = machine.sh(f'"$E" {words}')

    assert "\nUser=cryosparc\n" in done.stdout
    assert " -o allow_other,wait=1h /data/empiar\n" in done.stdout


def test_the_recipe_for_one_user_writes_a_unit_where_systemd_looks(machine: Machine) -> None:
    lines = blocks("sh")[1].splitlines()
    script = "\n".join(line for line in lines if not line.startswith(("systemctl", "loginctl")))
    done = machine.sh(f'PATH="$BOX/bin:$PATH"\n{script}', HOME=str(machine.box.home))

    assert (done.returncode, done.stderr) == (0, "")
    unit = machine.box.home / ".config/systemd/user/empiarfs.service"
    assert f" {machine.box.home}/empiar\n" in unit.read_text()


def test_the_scripts_for_slurm_mount_for_a_job_and_unmount_after_it() -> None:
    prolog, epilog = blocks("bash")
    with made_machine(plain_python(), NOBODY) as machine:
        home, program = machine.box.home, machine.program
        for name, text in (("prolog", prolog), ("epilog", epilog)):
            path = home / name
            path.write_text(
                text.replace("/run/empiar", f"{home}/jobs").replace(
                    "/opt/empiarfs/bin/empiarfs", str(program)
                )
            )
            path.chmod(0o755)
        done = machine.sh(
            """
"$BOX/prolog"
grep "$BOX/jobs/17 " /proc/mounts
setpriv --reuid 65534 --regid 65534 --clear-groups ls "$BOX/jobs/17/.empiar"
"$BOX/epilog"
ls "$BOX/jobs"
""",
            SLURM_JOB_ID="17",
            SLURM_JOB_USER="nobody",
            SLURM_JOB_UID=str(NOBODY.uid),
            EMPIARFS_ARCHIVE_URL="http://127.0.0.1:9/",
            EMPIARFS_CACHE_DIR=f"{home}/c",
            EMPIARFS_LOG_FILE=f"{home}/log",
        )

        assert (done.returncode, done.stderr) == (0, "")
        mounted, *names = done.stdout.splitlines()
        assert f"user_id={NOBODY.uid}" in mounted
        assert "README.txt" in names
        assert "17" not in names


def test_a_prolog_never_fails_and_so_drains_no_node(machine: Machine) -> None:
    prolog = blocks("bash")[0].replace("/run/empiar", f"{machine.box.home}/jobs")
    (machine.box.home / "prolog").write_text(prolog.replace("/opt/empiarfs", "/nonexistent"))
    done = machine.sh(
        'bash "$BOX/prolog"', SLURM_JOB_ID="17", SLURM_JOB_USER="nobody", SLURM_JOB_UID="65534"
    )

    assert done.returncode == 0


def test_what_apptainer_makes_of_the_fusemount_is_served() -> None:
    (spec,) = re.findall(r'--fusemount "host:([^"]*)"', PAGE.read_text(encoding="utf-8"))
    # The last word is the mount point, in whose place Apptainer puts the descriptor.
    program, *words, point = spec.split()
    with sandbox() as box:
        found = passed(box, "umount", *words, "{}", "-f")

    assert (program, point) == ("/opt/empiarfs/bin/empiarfs", "/empiar")
    assert "README.txt" in found["seen"]
    assert found["ended"] == 0
