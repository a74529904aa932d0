"""Runs the demo: with a mount if this machine can mount, else without.

Threading: used from one thread.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable

from empiarfs.demo.direct import DirectWalkthrough, opened_files
from empiarfs.demo.stage import Stage
from empiarfs.demo.transcript import amount
from empiarfs.demo.walkthrough import Walkthrough
from empiarfs.errors import MountError
from empiarfs.mount.points import check_fuse, check_helper


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
        steps = Walkthrough(stage, say)
        problem = _problem_with_mounting(steps)
        if problem is None:
            _use_mount(steps)
        else:
            say(f"Nothing can be mounted here ({problem}); the rest is shown without a mount.")
            _use_parts(stage, say)
        if keep and problem is None:
            _leave(stage, say)
            return
        if problem is None:
            steps.unmount()
    say("")
    say("Every comparison held. The demo's processes and files are gone.")


def _problem_with_mounting(steps: Walkthrough) -> str | None:
    """Mount; return why this machine doesn't allow it, or None.

    Raises:
        MountError: It failed for a reason that isn't the machine's.
    """
    try:
        check_fuse()
        importlib.import_module("empiarfs.fuse")  # loads libfuse
        check_helper(3)
    except MountError as exc:
        return str(exc)
    except OSError:
        return "libfuse is not installed"
    try:
        steps.mount()
    except MountError as exc:
        # In a container without the right to mount. The message is the C library's.
        if "not permitted" not in str(exc):
            raise
        return str(exc).partition("\n")[0]
    return None


def _use_mount(steps: Walkthrough) -> None:
    steps.look_around()
    steps.read_header()
    steps.read_frame()
    steps.read_particle()
    steps.copy()
    steps.read_again()
    steps.mount_again()
    steps.account()


def _use_parts(stage: Stage, say: Callable[[str], None]) -> None:
    with opened_files(stage) as files:
        steps = DirectWalkthrough(stage, files, say)
        steps.look_around()
        steps.read_header()
        steps.read_frame()
        steps.read_whole()
        steps.account()


def _leave(stage: Stage, say: Callable[[str], None]) -> None:
    stage.keep()
    say("")
    say(f"Every comparison held. The archive stays mounted at {stage.mount_point}")
    say(f"End it with:  empiarfs umount {stage.mount_point}")
    say("Its server and files go with it; forgotten, they go a day after their last use.")
