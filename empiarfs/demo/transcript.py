"""Shows what is done, as a terminal would: the command, what it prints, what it cost.

Programs run with a time limit and never in this process: a mount that hangs must not hang
whoever shows it.

Threading: used from one thread.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from empiarfs.demo.server import ServerCounts
from empiarfs.errors import MountError

WIDTH = 88
# Every step takes a second or so; a mount that waits for its archive gives up before this.
_STEP_S = 120.0


def amount(size: int) -> str:
    """Return a number of bytes for people, in powers of 1000.

    >>> amount(999), amount(65536), amount(2098176)
    ('999 bytes', '65.5 kB', '2.1 MB')
    """
    if size < 1000:
        return f"{size} bytes"
    for unit, factor in (("kB", 10**3), ("MB", 10**6)):
        if size < 1000 * factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size / 10**9:.1f} GB"


def _counted(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


class StepFailedError(MountError):
    """A command of a step failed.

    Attributes:
        reason: What it said, on one line.
    """

    def __init__(self, command: str, reason: str) -> None:
        super().__init__(f"{command}: {reason}")
        self.reason = reason


class Place(Protocol):
    """What steps stand on; `Stage` is one."""

    @property
    def work(self) -> Path:
        """Where commands are run, so that the paths in them are short."""
        ...

    def environment(self) -> dict[str, str]:
        """Return the environment of the commands."""
        ...

    def counts(self) -> ServerCounts:
        """Return what the server has answered so far."""
        ...


class Transcript:
    """Prints steps; not thread-safe.

    Args:
        say: Takes one line, without its end.
        place: What the steps stand on.
        whole: Show all lines of what programs print, and all of each line.
    """

    def __init__(self, say: Callable[[str], None], place: Place, *, whole: bool = False) -> None:
        self._say = say
        self._place = place
        self._whole = whole
        self._steps = 0
        self._before = ServerCounts()

    def title(self, text: str) -> None:
        """Begin a step."""
        self._steps += 1
        self._before = self._place.counts()
        self._say("")
        self._say(f"{self._steps}. {text}")

    def line(self, text: str = "") -> None:
        """Print a line, cut where a narrow terminal would break it."""
        printable = text.encode("utf-8", "replace").decode()
        fits = self._whole or len(printable) <= WIDTH
        self._say(printable if fits else f"{printable[: WIDTH - 1]}…")

    def checked(self, claim: str, holds: bool) -> None:
        """State what was compared, or fail.

        Raises:
            MountError: It doesn't hold.
        """
        if not holds:
            raise MountError(f"a comparison failed: {claim}")
        self.line(f"  ✓ {claim}")

    def wire(self) -> ServerCounts:
        """Print what came over the wire since `title`, and return it."""
        cost = self._place.counts() - self._before
        if cost.requests == 0:
            self.line("  over the wire: nothing")
            return cost
        kinds = (
            (cost.listings, "listing"),
            (cost.heads, "HEAD"),
            (cost.ranges, "range"),
            (cost.wholes, "whole file"),
            (cost.others, "other"),
        )
        parts = ", ".join(_counted(number, kind) for number, kind in kinds if number)
        requests = _counted(cost.requests, "request")
        self.line(f"  over the wire: {requests} ({parts}), {amount(cost.sent_bytes)}")
        return cost

    def shell(self, shown: str, argv: Sequence[str], *, most: int = 12) -> str:
        """Run a command, show it and what it prints, and return that.

        Args:
            shown: The command as a user would type it.
            argv: The command as it is run.
            most: Lines to show of what it prints; of the others only their number, or, if
                this is 0, nothing.

        Raises:
            MountError: It fails, or takes too long.
        """
        for number, part in enumerate(shown.split("\n")):
            self.line(f"$ {part}" if number == 0 else f"      {part}")
        output = self._run(argv, shown)
        self._show(output, most)
        return output

    def python(self, shown: Sequence[str], hidden: Sequence[str] = ()) -> str:
        """Run lines of Python in a process of their own, show them and what they print.

        Args:
            shown: Lines as a user would type them.
            hidden: Lines that run after these and aren't shown, such as saving a result.

        Raises:
            MountError: They fail, or take too long.
        """
        for text in shown:
            self.line(f">>> {text}")
        program = "\n".join([*shown, *hidden])
        output = self._run([sys.executable, "-c", program], shown[-1])
        self._show(output, 12)
        return output

    def _show(self, output: str, most: int) -> None:
        lines = output.splitlines()
        most = len(lines) if self._whole else most
        for text in lines[:most]:
            self.line(text)
        if 0 < most < len(lines):
            self.line(f"… {len(lines) - most} more lines")

    def _run(self, argv: Sequence[str], shown: str) -> str:
        what = shown.partition("\n")[0].removesuffix(" \\")
        try:
            done = subprocess.run(
                argv,
                # What runs from a checkout must find the package where this process found it.
                cwd=None if argv[:2] == [sys.executable, "-m"] else self._place.work,
                env=self._place.environment(),
                timeout=_STEP_S,
                check=False,
                stdin=subprocess.DEVNULL,
                capture_output=True,
            )
        except OSError as exc:
            raise StepFailedError(what, f"{argv[0]}: {exc.strerror}") from exc
        except subprocess.TimeoutExpired as exc:
            raise StepFailedError(what, f"no end after {_STEP_S:.0f} s") from exc
        output = done.stdout.decode("utf-8", "backslashreplace")
        if done.returncode != 0:
            complaint = done.stderr.decode("utf-8", "backslashreplace").strip()
            reason = complaint or output.strip() or f"exit status {done.returncode}"
            raise StepFailedError(what, reason.removeprefix("empiarfs: error: "))
        return output
