"""Programs run as a plain user, by tests that run as root.

No user is made: `nobody` has an entry in the password file everywhere. A plain user can
often not run the interpreter or read the checkout of the tests (both may lie in root's
home directory); `plain_python` then gives it the system's interpreter of the same version
and a readable copy of the packages.
"""

from __future__ import annotations

import functools
import os
import shutil
import site
import stat
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[2]
FUSE_DEVICE = Path("/dev/fuse")

# Tools that the tests need and the program doesn't; they are most of the bytes.
_NOT_COPIED = (
    "__pycache__", "mypy*", "ruff*", "pandas*", "pyarrow*", "hypothesis*", "rclone*", "grimp*",
    "import*linter*", "pytest*", "_pytest", "setuptools*", "pip", "pip-*", "pkg_resources",
    "*.pth", "tests", "babel*", "material", "mkdocs*", "matplotlib*", "fontTools*",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class User:
    """Who runs a program.

    Attributes:
        uid: User number.
        gid: Group number; there are no other groups.
    """

    uid: int
    gid: int


NOBODY = User(65534, 65534)


@dataclass(frozen=True, slots=True)
class Python:
    """An interpreter that can import empiarfs.

    Attributes:
        executable: Its path.
        environment: Variables that it needs for that.
    """

    executable: str
    environment: Mapping[str, str]


def own_python() -> Python:
    """Return the interpreter of the tests."""
    return Python(sys.executable, {"PYTHONPATH": str(CHECKOUT)})


def identity(user: User | None) -> dict[str, Any]:
    """Return the keywords with which `subprocess` runs a program as `user`."""
    if user is None:
        return {}
    return {"user": user.uid, "group": user.gid, "extra_groups": []}


def run_as(
    user: User | None,
    command: Sequence[str | Path],
    *,
    timeout_s: float = 60,
    env: Mapping[str, str] | None = None,
    cwd: str | Path = "/",
) -> subprocess.CompletedProcess[bytes]:
    """Run a program as `user` (None: as whom the tests run) and return how it ended."""
    return subprocess.run(
        [str(word) for word in command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=timeout_s,
        env=None if env is None else dict(env),
        cwd=cwd,
        check=False,
        **identity(user),
    )


def require_root() -> None:
    """Skip the test unless it may run programs as other users."""
    import pytest  # not at the top: scripts/bench has none

    if os.geteuid() != 0:
        pytest.skip("only root can run programs as another user")


def make_fuse_accessible() -> None:
    """Let every user open /dev/fuse, as udev's rules do on any usual machine."""
    mode = stat.S_IMODE(FUSE_DEVICE.stat().st_mode)
    if mode & 0o666 != 0o666 and os.geteuid() == 0:
        FUSE_DEVICE.chmod(0o666)


def fuse_problem() -> str | None:
    """Return why nothing can be mounted here, or None."""
    if not FUSE_DEVICE.exists():
        return f"{FUSE_DEVICE} is missing"
    make_fuse_accessible()
    try:
        os.close(os.open(FUSE_DEVICE, os.O_RDWR))
    except OSError as exc:
        return f"{FUSE_DEVICE} can't be opened: {exc.strerror}"
    if os.geteuid() != 0 and shutil.which("fusermount3") is None:
        return "fusermount3 is missing (package fuse3)"
    return None


def plain_python() -> Python:
    """Return an interpreter that `NOBODY` can run; skips the test if there is none."""
    import pytest

    require_root()
    found = find_plain_python()
    if found is None:
        pytest.skip("no Python that a plain user can run")
    return found


@functools.cache
def find_plain_python() -> Python | None:
    """Return an interpreter that `NOBODY` can run, or None; only root can ask."""
    own = own_python()
    if _can_import(own):
        return own
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    places = ("/usr/bin/python3", f"/usr/bin/python{version}", f"/usr/local/bin/python{version}")
    packages = _readable_packages()
    candidates = (Python(place, {"PYTHONPATH": str(packages)}) for place in places)
    return next((candidate for candidate in candidates if _can_import(candidate)), None)


def _can_import(python: Python) -> bool:
    """Tell whether `NOBODY` can run it, and it has our version and all packages."""
    check = "import sys, empiarfs, mfusepy, requests; sys.exit(sys.version_info[:2] != {})"
    command = [python.executable, "-c", check.format(tuple(sys.version_info[:2]))]
    environment = {"PATH": os.defpath, **python.environment}
    try:
        return run_as(NOBODY, command, env=environment).returncode == 0
    except OSError:
        return False


@functools.cache
def _readable_packages() -> Path:
    """Copy empiarfs and what it needs to where every user can read it."""
    copies = Path(tempfile.mkdtemp(prefix="empiarfs-packages-"))
    _TO_REMOVE.append(copies)
    installed = Path(sysconfig.get_path("purelib"))
    if not installed.is_dir():
        installed = Path(site.getsitepackages()[0])
    ignored = shutil.ignore_patterns(*_NOT_COPIED, "empiarfs*")
    shutil.copytree(installed, copies, ignore=ignored, dirs_exist_ok=True)
    shutil.copytree(CHECKOUT / "empiarfs", copies / "empiarfs", ignore=ignored)
    subprocess.run(["chmod", "-R", "a+rX", str(copies)], check=True, timeout=60)
    return copies


_TO_REMOVE: list[Path] = []


def remove_copies() -> None:
    """Remove what `plain_python` copied; called once, at the end of the tests."""
    while _TO_REMOVE:
        shutil.rmtree(_TO_REMOVE.pop())
