"""Runs the demo: with a mount if this machine can mount, else without.

Threading: used from one thread.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

from empiarfs.demo.direct import DirectWalkthrough, opened_files
from empiarfs.demo.stage import Stage
from empiarfs.demo.transcript import StepFailedError, Transcript, amount
from empiarfs.demo.walkthrough import Walkthrough
from empiarfs.errors import MountError
from empiarfs.mount.points import check_fuse, check_helper


def run(*, keep: bool, say: Callable[[str], None], whole: bool = False) -> Path | None:
    """Make an archive, serve it, mount it, use it, and clear up.

    Args:
        keep: Leave server and mount running, if there is a mount.
        say: Takes one line of output, without its end.
        whole: Show all lines of what programs print, and all of each line.

    Returns:
        The mount point of what was left running, or None: nothing was.

    Raises:
        EmpiarFSError: A step failed, or a comparison didn't hold.
    """
    with Stage() as stage:
        say(f"A small archive was made for this demo: {stage.files} files, {amount(stage.size)}.")
        say(f"It is served by this machine at {stage.url}")
        transcript = Transcript(say, stage, whole=whole)
        steps = Walkthrough(stage, transcript)
        problem = _problem_with_mounting(steps)
        if problem is None:
            _use_mount(steps)
        else:
            say(f"No mount here: {problem}. The rest is shown without one.")
            _use_parts(stage, transcript)
        if keep and problem is None:
            stage.keep()
            say("")
            say("Every comparison held.")
            return stage.mount_point
        if problem is None:
            steps.unmount()
    say("")
    say("Every comparison held. The demo's processes and files are gone.")
    return None


def _problem_with_mounting(steps: Walkthrough) -> str | None:
    """Mount; return why this machine doesn't allow it, or None.

    Raises:
        MountError: It failed for a reason that isn't the machine's.
    """
    try:
        check_fuse()
        check_helper(importlib.import_module("empiarfs.fuse").VERSION[0])
    except MountError as exc:
        return str(exc)
    except OSError:  # that module loads it
        return "libfuse is not installed"
    try:
        steps.mount()
    except StepFailedError as exc:
        # In a container without the right to mount. The message is the C library's.
        if "not permitted" not in exc.reason:
            raise
        return exc.reason.partition("\n")[0]
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


def _use_parts(stage: Stage, transcript: Transcript) -> None:
    with opened_files(stage) as files:
        steps = DirectWalkthrough(stage, files, transcript)
        steps.look_around()
        steps.read_header()
        steps.read_frame()
        steps.read_whole()
        steps.account()
