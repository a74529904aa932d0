"""Runs the demo: with a mount if this machine can mount, else without.

Threading: used from one thread.
"""

from __future__ import annotations

import importlib
import os
import shutil
from collections.abc import Callable

from empiarfs.demo.direct import DirectWalkthrough, opened_files
from empiarfs.demo.stage import Stage
from empiarfs.demo.transcript import amount
from empiarfs.demo.walkthrough import Walkthrough


def run(*, keep: bool, say: Callable[[str], None]) -> None:
    """Make an archive, serve it, mount it, use it, and clear up.

    Args:
        keep: Leave server and mount running, and say how to end them.
        say: Takes one line of output, without its end.

    Raises:
        EmpiarFSError: A step failed, or a comparison didn't hold.
    """
    with Stage() as stage:
        say(f"A small archive was made for this demo: {stage.files} files, {amount(stage.size)}.")
        say(f"It is served by this machine at {stage.url}")
        problem = mount_problem()
        if problem is None:
            _with_mount(stage, say, keep=keep)
        else:
            say(f"Nothing can be mounted here ({problem}); the rest is shown without a mount.")
            _without_mount(stage, say)
    if not keep or problem is not None:
        say("")
        say("Every comparison held. The demo's processes and files are gone.")


def mount_problem() -> str | None:
    """Return why this machine can't mount, or None if it seems to be able to."""
    if not os.path.exists("/dev/fuse"):
        return "there is no /dev/fuse"
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "/dev/fuse may not be opened"
    # root mounts by itself; others need the helper with the right to.
    if os.geteuid() != 0 and not (shutil.which("fusermount3") or shutil.which("fusermount")):
        return "fusermount3 is not installed"
    try:
        importlib.import_module("empiarfs.fuse")  # loads libfuse
    except OSError:
        return "libfuse is not installed"
    return None


def _with_mount(stage: Stage, say: Callable[[str], None], *, keep: bool) -> None:
    steps = Walkthrough(stage, say)
    steps.mount()
    steps.look_around()
    steps.read_header()
    steps.read_frame()
    steps.read_particle()
    steps.copy()
    steps.read_again()
    steps.mount_again()
    steps.account()
    if not keep:
        steps.unmount()
        return
    stage.keep()
    say("")
    say(f"Every comparison held. The archive stays mounted at {stage.mount_point}")
    say(f"End it with:  empiarfs umount {stage.mount_point}")
    say("Its server and files go with it; forgotten, they go a day after their last use.")


def _without_mount(stage: Stage, say: Callable[[str], None]) -> None:
    with opened_files(stage) as files:
        steps = DirectWalkthrough(stage, files, say)
        steps.look_around()
        steps.read_header()
        steps.read_frame()
        steps.read_whole()
        steps.account()
