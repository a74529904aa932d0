"""An archive that changes while it is used, and what a client of it may show at any time.

`ChangingServer` is a `BrokenServer` whose files are replaced, added and removed; it keeps the
whole history of each path, its `Timeline`. A `Sight` says how much of it a client has shown:
what it shows next is as new or newer. So a test needs no idea of when a client looks: what is
shown must be a state at or above a floor, and raises the floor to it.

Not safe for use from several threads, but for the server's own.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from tests.support.broken_server import BrokenServer as _BrokenServer
from tests.support.broken_server import Fault, Request
from tests.support.tree import contents

# Each new version is so much younger than all before it, so that its listing's row differs.
_STEP_S = 3_600
_FIRST_S = 1_600_000_020


@dataclass(frozen=True, slots=True)
class Version:
    """What a path holds for a while.

    Attributes:
        data: All its bytes.
        modified_s: Its Last-Modified, which no other version of any path has.
    """

    data: bytes
    modified_s: int


class Timeline:
    """What a path was, oldest first, None where it wasn't there."""

    def __init__(self, state: Version | None = None) -> None:
        self.states: list[Version | None] = [state]

    @property
    def latest(self) -> Version | None:
        """What the archive holds."""
        return self.states[-1]

    def become(self, state: Version | None) -> None:
        """Let the archive hold something else from here on."""
        self.states.append(state)


class Sight:
    """How much of a timeline one way of looking has shown, which is never undone.

    Attributes:
        timeline: What there was to show.
    """

    def __init__(self, timeline: Timeline) -> None:
        self.timeline = timeline
        self._floor = 0
        self._due = 0

    @property
    def state(self) -> Version | None:
        """The oldest state that may still be shown."""
        return self.timeline.states[self._floor]

    def saw(self, fits: Callable[[Version | None], bool]) -> bool:
        """Note what was shown, by what it fits; False if it mustn't have been shown."""
        for number in range(self._floor, len(self.timeline.states)):
            if fits(self.timeline.states[number]):
                self._floor = number
                return True
        return False

    def becomes_due(self) -> None:
        """Note that whoever can ask the archive must ask, and so shows the present or later."""
        self._due = len(self.timeline.states) - 1

    def has_asked(self) -> None:
        """Note that the archive could be asked."""
        self._floor = max(self._floor, self._due)


class ChangingServer(_BrokenServer):
    """Serves files that change; `hidden` ones are served and not listed.

    Args:
        files: Sizes by path, to begin with; None for what will be there later.
        hidden: Those of the paths that listings never show, as Apache hides `README*`.
    """

    def __init__(self, files: Mapping[str, int | None], hidden: Iterable[str] = ()) -> None:
        super().__init__()
        self.hidden = frozenset(hidden)
        self.timelines: dict[str, Timeline] = {}
        self.met: Counter[str] = Counter()
        self._planned = 0
        self._losing: dict[str, bytes] = {}
        self._changes = 0
        for path, size in files.items():
            self.begin(path, size, path in self.hidden)

    def begin(self, path: str, size: int | None, is_hidden: bool) -> None:
        """Add a path: its size, or None for what will be there later."""
        if is_hidden:
            self.hidden |= {path}
        if size is None:
            self.timelines[path] = Timeline()
        else:
            self.replace(path, size)

    def forget_faults(self) -> None:
        """Do everything right from here on."""
        super().forget_faults()
        self._planned = self.met.total()
        self._losing.clear()

    def replace(self, path: str, size: int) -> Version:
        """Put a new version in place; it differs from all others in its bytes and time."""
        self._changes += 1
        modified_s = _FIRST_S + _STEP_S * self._changes
        version = Version(_contents(path, self._changes, size), modified_s)
        self._become(path, version)
        self.put(path, version.data, version.modified_s)
        return version

    def remove(self, path: str) -> None:
        """Take a path away."""
        self._become(path, None)
        self.files.pop(path, None)

    def _become(self, path: str, state: Version | None) -> None:
        if path in self.timelines:
            self.timelines[path].become(state)
        else:
            self.timelines[path] = Timeline(state)

    @property
    def faults_pending(self) -> int:
        """How many of the faults planned by `break_next` no request has met yet."""
        return self._planned - self.met.total()

    def break_next(
        self, name: str, fault: Fault, applies: Callable[[Request], bool], times: int
    ) -> None:
        """Do the next so many requests of a kind wrong, and count them by a name."""

        def met(request: Request) -> bool:
            # Asked under the server's lock, and true means that the request meets it.
            is_met = applies(request)
            self.met[name] += is_met
            return is_met

        self._planned += times
        self.fault(met, fault, times=times)

    def lose_row(self, path: str) -> None:
        """Leave a file out of the next listing of its directory, as one of several back ends."""
        directory, _, name = path.rpartition("/")
        self._planned += 1
        self._losing[directory + "/"] = f'">{name}</a>'.encode()

    def _listing(self, path: str) -> bytes | None:
        page = super()._listing(path)
        lost = self._losing.pop(path, None)
        if lost is None or page is None:
            return page
        self.met["lost row"] += 1
        return b"\n".join(row for row in page.split(b"\n") if lost not in row)


@functools.lru_cache(256)
def _contents(path: str, change: int, size: int) -> bytes:
    return contents(f"{path} {change}".encode(), size)


def is_for_bytes(request: Request) -> bool:
    """Tell whether a request asks for bytes of a file."""
    return request.method == "GET" and not request.path.endswith("/") and request.path != ""


def is_for_headers(request: Request) -> bool:
    """Tell whether a request asks for the size of a file."""
    return request.method == "HEAD" and not request.path.endswith("/")


# What a client gets over by asking again, and soon.
FAULTS: Mapping[str, Fault] = {
    "html page": Fault.html_page(),
    "server error": Fault.answer(500),
    "bad gateway": Fault.html_page(502),
    "busy": Fault.busy(503, "0"),
    "too many requests": Fault.busy(429, "0"),
    "reset before the headers": Fault.reset("request"),
    "reset in the headers": Fault.reset("headers"),
    "reset in the body": Fault.reset("body", 1000),
    "close": Fault.close(),
    "garbage": Fault.garbage(),
    "short body": Fault.short_body(),
    "long body": Fault.long_body(),
    "redirect elsewhere": Fault.redirect("http://127.0.0.1:9/elsewhere"),
    "redirect to itself": Fault.redirect("/archive/"),
    "packed": Fault.gzip_body(),
    "chunked": Fault.chunked(),
    "until the end": Fault.until_end(),
    "late": Fault.delay(0.1),
}
# What only makes sense where bytes are asked for.
RANGE_FAULTS: Mapping[str, Fault] = {
    "whole file": Fault.whole_file(),
    "wrong range": Fault.content_range("bytes 3-1/2"),
    "no range": Fault.content_range(""),
}
