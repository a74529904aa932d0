"""A machine whose /sbin, /etc/fstab and /etc/fuse.conf are a test's, for mount(8).

Scripts run in a mount namespace in which these are files of a sandbox, with copies
of the machine's programs that tests need, so that the machine's own are never written.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.mounts import command_lines
from tests.support.sandbox import Sandbox, sandbox
from tests.support.users import CHECKOUT, Python, User, own_python, require_root, run_as
from tests.support.waiting import wait_until

LINKS = ["mount.empiarfs", "mount.fuse.empiarfs"]
ETC = """
mount --bind "$BOX/sbin" /sbin
mount --bind "$BOX/fstab" /etc/fstab
mount --bind "$BOX/fuse.conf" /etc/fuse.conf
"""


class Machine:
    """A machine whose /sbin, /etc/fstab and /etc/fuse.conf are the test's.

    Attributes:
        box: Where all of it lies.
        program: An installed `empiarfs`.
        python: What runs it.
    """

    def __init__(self, box: Sandbox, python: Python) -> None:
        self.box = box
        self.python = python
        self.program = box.home / "bin/empiarfs"
        for name in ("bin", "sbin"):
            (box.home / name).mkdir()
        for name in ("fstab", "fuse.conf"):
            (box.home / name).write_text("")
        self.program.write_text(
            f"#!{python.executable}\nimport sys\n"
            f"sys.path.insert(0, {python.environment['PYTHONPATH']!r})\n"
            "from empiarfs.cli import main\nmain()\n"
        )
        self.program.chmod(0o755)
        for name in ("mount.fuse3", "runuser"):
            found = shutil.which(name, path="/usr/sbin:/sbin")
            if found:
                shutil.copy2(found, box.home / "sbin")
        # mount(8) hands no environment on; settings for tests stand in the options.
        self.options = f"archive_url=http://127.0.0.1:9/,cache_dir={box.home}/c"
        self.options += f",log_file={box.home}/log"

    @property
    def links(self) -> list[str]:
        """The names in its /sbin that are links."""
        return sorted(path.name for path in self.sbin.iterdir() if path.is_symlink())

    @property
    def sbin(self) -> Path:
        return self.box.home / "sbin"

    @property
    def environment(self) -> dict[str, str]:
        """What a script gets."""
        return {
            "PATH": self.box.environment["PATH"],
            "XDG_RUNTIME_DIR": self.box.environment["XDG_RUNTIME_DIR"],
            "XDG_STATE_HOME": str(self.box.home / "state"),
            "BOX": str(self.box.home),
            "P": str(self.box.point),
            "E": str(self.program),
            "O": self.options,
            # Whoever owns the checkout counts as root, as one who calls sudo does.
            "SUDO_UID": str(CHECKOUT.stat().st_uid),
        }

    def link(self) -> None:
        """Put in place what `install-helper` does, without trying it."""
        for name in LINKS:
            (self.sbin / name).symlink_to(self.program)

    @staticmethod
    def words(script: str) -> list[str]:
        """Return a command that runs a script on this machine."""
        return ["unshare", "--mount", "sh", "-c", "set -e\n" + ETC + script]

    def sh(self, script: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a script in which `$E` is the program and `$P` the mount point."""
        words = self.words(script)
        done = run_as(None, words, env=self.environment | variables, timeout_s=180)
        assert b"Traceback" not in done.stderr, done.stderr.decode()
        return subprocess.CompletedProcess(
            words, done.returncode, done.stdout.decode(), done.stderr.decode()
        )

    def daemons(self) -> list[int]:
        """The processes that serve mounts of this machine."""
        needle = os.fsencode(self.box.point)
        return [pid for pid, words in command_lines() if needle in words]


@contextmanager
def made_machine(python: Python | None = None, user: User | None = None) -> Iterator[Machine]:
    """Make a machine, and clear it up; skips the test unless it runs as root."""
    require_root()
    python = python or own_python()
    with sandbox(python, user) as box:
        made = Machine(box, python)
        yield made
        wait_until(lambda: not made.daemons(), 20)
