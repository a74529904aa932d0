"""Whether this machine, and this user, can mount: the kernel, libfuse, rights."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from empiarfs import __version__
from empiarfs.doctor.findings import Finding, Verdict
from empiarfs.errors import MountError
from empiarfs.mount import helper
from empiarfs.mount.points import check_fuse, check_helper

_FUSE_CONFIG = Path("/etc/fuse.conf")
_LINGERING = Path("/var/lib/systemd/linger")
_TRY_S = 20.0
_INSTALL = "install libfuse 3: `apt install fuse3`, `dnf install fuse3 fuse3-libs`"
_ENTER = "from empiarfs.mount.namespace import enter; enter()"


def machine_findings() -> Iterator[Finding]:
    """Yield what was found of the machine."""
    yield Finding(
        "versions",
        Verdict.GOOD,
        f"empiarfs {__version__}, Python {platform.python_version()}, "
        f"Linux {platform.release()} ({platform.machine()})",
    )
    yield _device()
    yield from _library()
    yield _others()
    yield _mount_helper()
    yield _namespace()
    if os.geteuid() != 0:
        yield _lingering()


def _device() -> Finding:
    try:
        check_fuse()
    except MountError as exc:
        return Finding("/dev/fuse", Verdict.BAD, str(exc), exc.hint or "")
    return Finding("/dev/fuse", Verdict.GOOD, "can be opened")


def _library() -> Iterator[Finding]:
    try:
        from empiarfs.fuse import VERSION
    except OSError as exc:
        yield Finding(
            "libfuse",
            Verdict.BAD,
            str(exc),
            "install it: `apt install fuse3`, `dnf install fuse3`",
        )
        return
    number = ".".join(map(str, VERSION))
    if VERSION[0] < 3:
        yield Finding(
            "libfuse",
            Verdict.WORTH_KNOWING,
            f"{number}: names and sizes that the kernel keeps are asked for again each second",
            _INSTALL,
        )
    else:
        yield Finding("libfuse", Verdict.GOOD, number)
    try:
        check_helper(VERSION[0])
    except MountError as exc:
        remedy = exc.hint or ""
        yield Finding("fusermount3", Verdict.BAD, str(exc), f"{remedy}; `empiarfs run` needs none")
    else:
        text = "root needs none" if os.geteuid() == 0 else "is there"
        yield Finding("fusermount3", Verdict.GOOD, text)


def _others() -> Finding:
    try:
        check_fuse(allow_other=True)
    except MountError as exc:
        if "allow_other" in str(exc):
            return Finding(
                "allow_other",
                Verdict.WORTH_KNOWING,
                "other users, such as that of CryoSPARC, can't be let into your mounts",
                f"as root, add the line `user_allow_other` to {_FUSE_CONFIG}",
            )
    return Finding("allow_other", Verdict.GOOD, "other users may be let into mounts")


def _mount_helper() -> Finding:
    links = helper.links()
    lost = [link for link in links if not os.access(link, os.X_OK)]
    if lost:
        return Finding(
            "mount -t",
            Verdict.BAD,
            f"{lost[0]} leads to {os.readlink(lost[0])}, which can't be run",
            "`sudo empiarfs install-helper` makes the link anew",
        )
    if not links:
        text = "not set up; only `mount -t empiarfs` and fstab need `empiarfs install-helper`"
    else:
        text = f"`mount -t empiarfs` and fstab run {os.readlink(links[0])}"
    return Finding("mount -t", Verdict.GOOD, text)


def _namespace() -> Finding:
    """Try, in a process of its own, what `empiarfs run` does first."""
    root = str(Path(__file__).resolve().parents[2])
    try:
        tried = subprocess.run(
            [sys.executable, "-c", _ENTER],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TRY_S,
            check=False,
            env={**os.environ, "PYTHONPATH": f"{root}:{os.environ.get('PYTHONPATH', '')}"},
        )
    except (OSError, subprocess.SubprocessError) as exc:
        return Finding("namespaces", Verdict.WORTH_KNOWING, f"can't be tried: {exc}")
    if tried.returncode == 0:
        return Finding("namespaces", Verdict.GOOD, "`empiarfs run` works here")
    *_, said = ["it ended without a word", *tried.stderr.strip().splitlines()]
    return Finding(
        "namespaces",
        Verdict.WORTH_KNOWING,
        f"`empiarfs run` doesn't work here: {said.rpartition('Error: ')[2]}",
        "`empiarfs mount` needs no namespace; an administrator allows them by "
        "user.max_user_namespaces, on Ubuntu kernel.apparmor_restrict_unprivileged_userns=0",
    )


def _lingering() -> Finding:
    import pwd

    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        name = str(os.getuid())
    if not Path("/run/systemd/system").exists() or (_LINGERING / name).exists():
        return Finding("lingering", Verdict.GOOD, "mounts stay when you log out")
    return Finding(
        "lingering",
        Verdict.WORTH_KNOWING,
        "systemd may end your processes, and so mounts, when you log out",
        "`loginctl enable-linger` lets them run on",
    )
