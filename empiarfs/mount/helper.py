"""The helper by which mount(8) knows us: links in /sbin, made, tried and removed.

mount(8) runs `/sbin/mount.TYPE SOURCE MOUNTPOINT -o …`, with hardly any environment and
without the PATH of whoever calls it. So the program must be named by a path that holds for
root and for every user, as sshfs's link does:

    link in /sbin           for
    ----------------------  -----------------------------------------------------------
    mount.fuse.empiarfs     `mount -t fuse.empiarfs`, fstab, and by its path mount.fuse3
    mount.empiarfs          `mount -t empiarfs`

Nothing is replaced or removed that isn't a link to a program called `empiarfs`.

Threading: for a process with one thread; `tried` leaves it in a mount namespace of its own.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import empiarfs
from empiarfs.errors import MountError
from empiarfs.mount import namespace
from empiarfs.mount.ending import end_mount
from empiarfs.mount.points import check_fuse
from empiarfs.mount.probe import probe
from empiarfs.mount.table import mount_at

# Where mount(8) looks first, in every distribution.
PLACE = Path("/sbin")
NAMES = ("mount.fuse.empiarfs", "mount.empiarfs")

_PROGRAM = "empiarfs"
_DEADLINE_S = 60.0
_ANSWER_S = 30.0
# What mount(8) leaves to a helper that systemd has it run for.
_BARE = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
# Nobody listens there: to try the helper needs no archive, and asks none.
_NO_ARCHIVE = "http://127.0.0.1:9/"


@dataclass(frozen=True, slots=True)
class Tried:
    """One way to mount, as it was tried.

    Attributes:
        command: What was run, for people.
        problem: Why it didn't work; "" if it did.
    """

    command: str
    problem: str = ""


def own_program() -> Path:
    """Return the absolute path of the program `empiarfs` that this process belongs to.

    Raises:
        MountError: There is none, since only the modules are there.
    """
    candidates = [
        Path(os.path.abspath(sys.argv[0])),
        Path(sysconfig.get_path("scripts")) / _PROGRAM,
        Path(sys.executable).parent / _PROGRAM,
    ]
    for path in candidates:
        if path.name == _PROGRAM and path.is_file() and os.access(path, os.X_OK):
            return path
    raise MountError(
        f"there is no program {_PROGRAM} in {candidates[-1].parent}",
        hint="install it as a package: `pipx install .` or `pip install .`",
    )


def check_trust(program: Path, environ: Mapping[str, str]) -> str | None:
    """Check that only those can change the program who are root anyway.

    root runs it through the helper, so whoever can write to it would be root, too.

    Args:
        program: Its path.
        environ: The environment, in which sudo says who called it.

    Returns:
        The folder of the user who called sudo, if it is his installation; else None.

    Raises:
        MountError: Somebody else could.
    """
    caller = environ.get("SUDO_UID", "")
    trusted = {0} | ({int(caller)} if caller.isdecimal() else set())
    own = None
    for path in _what_runs(program):
        found = path.stat()
        writable = found.st_mode & stat.S_IWOTH and not found.st_mode & stat.S_ISVTX
        if writable or found.st_uid not in trusted:
            who = "everybody" if writable else f"user {found.st_uid}"
            raise MountError(
                f"{path} can be changed by {who}, who would become root by the helper",
                hint="install empiarfs where only root can write, such as "
                "`sudo python3 -m venv /opt/empiarfs && sudo /opt/empiarfs/bin/pip install .`",
            )
        if found.st_uid != 0:
            own = str(path)
    return own


def _what_runs(program: Path) -> list[Path]:
    """Return the program, what it runs, and all folders above, without symbolic links."""
    named = (program, program.resolve(), Path(sys.executable).resolve(), Path(empiarfs.__file__))
    found = {path for name in named for path in (name.parent.resolve(), name.resolve())}
    return sorted(found | {parent for path in found for parent in path.parents})


def install(program: Path) -> list[Path]:
    """Make the links, and return them.

    Raises:
        MountError: The program can't be run as mount(8) runs it, something else stands in a
            link's place, or it can't be written.
    """
    _check_that_it_runs(program)
    wanted = [PLACE / name for name in NAMES]
    for link in wanted:
        if os.path.lexists(link) and not _is_ours(link):
            raise MountError(f"{link} is there and not ours", hint="move it out of the way")
    for link in wanted:
        unfinished = link.with_name(f".{link.name}-{os.getpid()}")
        try:
            unfinished.symlink_to(program)
            unfinished.replace(link)
        except OSError as exc:
            unfinished.unlink(missing_ok=True)
            raise MountError(f"cannot write {link}: {exc.strerror}") from exc
    return wanted


def remove() -> list[Path]:
    """Remove the links that are there and ours, and return them.

    Raises:
        MountError: It can't be done.
    """
    found = links()
    try:
        for link in found:
            link.unlink()
    except OSError as exc:
        raise MountError(f"cannot remove {exc.filename}: {exc.strerror}") from exc
    return found


def links() -> list[Path]:
    """Return the links that are there and ours, whether they lead anywhere or not."""
    return [PLACE / name for name in NAMES if _is_ours(PLACE / name)]


def _is_ours(link: Path) -> bool:
    return link.is_symlink() and os.path.basename(os.readlink(link)) == _PROGRAM


def _check_that_it_runs(program: Path) -> None:
    problem = _problem([str(program), "--version"])
    if problem:
        raise MountError(
            f"{program} doesn't run without your environment: {problem}",
            hint="install it as a package into a virtual environment, or by pipx",
        )


def tried() -> Iterator[Tried]:
    """Mount by each name, where nobody sees it, and yield how that went.

    Raises:
        MountError: This machine can't mount at all.
    """
    check_fuse()
    missing = [str(PLACE / name) for name in NAMES if not os.access(PLACE / name, os.X_OK)]
    if missing:
        raise MountError(
            f"{missing[0]} is missing, or leads to no program",
            hint="`empiarfs install-helper` puts it in place",
        )
    namespace.enter()
    # After Ctrl-C a daemon may still be about to end, and to write there.
    with tempfile.TemporaryDirectory(prefix="empiarfs-", ignore_cleanup_errors=True) as folder:
        point = Path(folder, "mnt")
        point.mkdir()
        options = f"archive_url={_NO_ARCHIVE},cache_dir={folder}/cache,log_file={folder}/log"
        for kind, source in _ways():
            words = ["mount", "-t", kind, source, str(point), "-o", options]
            try:
                # Its list of errors is nothing to be kept.
                problem = _problem(words, XDG_STATE_HOME=folder) or _unmounted(point)
            finally:
                with suppress(OSError):  # unmounted, as it should be
                    namespace.detach(str(point))
            yield Tried(f"mount -t {kind} {source}", problem)


def _ways() -> Iterator[tuple[str, str]]:
    """Yield the type and the source of each way to mount that this machine has."""
    yield "fuse.empiarfs", "empiar"
    yield "empiarfs", "empiar"
    if (PLACE / "mount.fuse3").exists():
        yield "fuse3", f"{PLACE / NAMES[0]}#empiar"


def _unmounted(point: Path) -> str:
    """Return what is wrong with a mount that was made, which is unmounted; "" for nothing."""
    if mount_at(str(point)) is None:
        return "mount(8) said that it was done, and nothing is mounted"
    try:
        probe(str(point), _ANSWER_S)
        end_mount(str(point))
    except (OSError, MountError) as exc:
        return str(exc)
    return ""


def _problem(words: list[str], **variables: str) -> str:
    """Run a program without our environment, and return what it complained of; "" if not."""
    if shutil.which(words[0], path=_BARE["PATH"]) is None:
        return f"{words[0]} is missing"
    try:
        done = subprocess.run(
            words,
            cwd="/",
            env=_BARE | variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_DEADLINE_S,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as exc:
        return str(exc)
    if done.returncode == 0:
        return ""
    said = (done.stderr or done.stdout).decode(errors="replace").splitlines()
    # Ours begins with what went wrong, a traceback ends with it.
    first = next((line for line in said if line.startswith("empiarfs: ")), "")
    return first.removeprefix("empiarfs: error: ") or (said or [f"status {done.returncode}"])[-1]
