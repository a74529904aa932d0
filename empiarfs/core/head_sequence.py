"""Which answer belongs to which of several HEAD requests sent back to back.

An answer carries no name: it belongs to the request at its place in the sequence. A server
or a balancer that drops one answer in the middle shifts every later size by one file,
without a sign. About 3 % of EMPIAR's requests are never answered, so this must be expected.
Four checks stand between an answer and a size that is believed:

1. *The tag.* Each HEAD asks for one byte, at an offset that differs from request to request:
   `Range: bytes=17-17`. Apache honours it for HEAD and answers 206 with
   `Content-Range: bytes 17-17/569560224`: the request's own mark and the exact size in one
   line. An answer with another tag belongs to another request. The offset must lie inside
   the file whatever its exact size, so it stays below the smallest size that prints as the
   listing's text; it repeats only after as many requests, 4,096 at most and 32 at least.
2. *The row.* The size must print as the listing's text and the time must fit its minute.
   Alone it proves little: a data set is often thousands of files of one size.
3. *The count.* An answer without a tag (a file below 32 bytes, a size the listing doesn't
   tell, a server that ignores ranges for HEAD) is held back until it is certain that none
   was dropped before it: until a later answer bears its right tag, or until nothing is in
   flight and so as many answers came as requests went. A dropped one never lets the counts
   meet. At most `IN_FLIGHT` are held at once, fewer where the server ignores tags; then
   the sequence drains first.
4. *One by one.* If any of this fails, whatever is held back or in flight is in doubt, and
   the owner asks for those files on their own. What bore its own tag stands.

An answer that is true to its tag but doesn't fit its row isn't shifted: the file changed
since it was listed, or the listing is wrong. It is asked for on its own, and that counts.

    answer to a request   with a tag                        without a tag
    --------------------  --------------------------------  --------------------------------
    206, the tag          certain, and all before it        mixed up
    206, another tag      mixed up                          mixed up
    200 with a size       as without a tag, if this server  held back if it fits its row,
                          never honoured one; else mixed up else mixed up
    anything else         to be asked for on its own        to be asked for on its own

A `HeadSequence` belongs to one connection. No I/O, no clock; not thread-safe.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from empiarfs.core.files import FileVersion
from empiarfs.core.listing import ListingItem
from empiarfs.core.responses import content_range, head_from, version_from
from empiarfs.core.sizes import bounds_of, fits
from empiarfs.errors import ArchiveError, BadResponseError

IN_FLIGHT = 16
BARE_IN_FLIGHT = 8
_FEWEST_TAGS = 32
_MOST_TAGS = 4096


class MixedUpError(BadResponseError):
    """An answer that isn't the one to its request: none in doubt may be believed."""


@dataclass(slots=True)
class HeadRow:
    """A file to ask for, and how often it was the one that an answer didn't come for."""

    item: ListingItem
    stalls: int = 0


@dataclass(frozen=True, slots=True)
class Certain:
    """A size that may be believed."""

    name: str
    version: FileVersion


@dataclass(frozen=True, slots=True)
class _Asked:
    row: HeadRow
    tag: int | None
    sent_s: float


@dataclass(slots=True)
class Outcome:
    """What an answer settles.

    Attributes:
        certain: Sizes that may be believed from here on.
        singly: Rows that have to be asked for on their own.
        latency_s: Seconds from the request to its answer.
    """

    certain: list[Certain] = field(default_factory=list)
    singly: list[HeadRow] = field(default_factory=list)
    latency_s: float = 0.0


class HeadSequence:
    """The HEAD requests of one connection, in their order.

    Args:
        bare: Most requests without proof at once, where the server ignores tags. One answer
            that doesn't come costs all of these.
        hopeful: Whether tags are expected to be honoured until the first answer tells.

    Attributes:
        sent: How many requests were sent.
        answers: How many answers came.
        settled: How many rows an outcome named; what is held back isn't among them.
        depth: How many requests may be under way where the server honours tags.
    """

    def __init__(self, *, bare: int = BARE_IN_FLIGHT, hopeful: bool = True) -> None:
        self._bare = bare
        self._hopeful = hopeful
        self.sent = 0
        self.answers = 0
        self.settled = 0
        self.depth = IN_FLIGHT
        self._in_flight: deque[_Asked] = deque()
        self._held: list[tuple[_Asked, FileVersion]] = []
        self._honours_tags: bool | None = None

    @property
    def oldest(self) -> HeadRow | None:
        """The row whose answer is the next one, or None if nothing is in flight."""
        return self._in_flight[0].row if self._in_flight else None

    @property
    def room(self) -> int:
        """How many more requests may be sent now."""
        flying = len(self._in_flight)
        if self._honours_tags is False or (self._honours_tags is None and not self._hopeful):
            return self._bare - flying - len(self._held)
        unproven = sum(asked.tag is None for asked in self._in_flight) + len(self._held)
        return self.depth - max(flying, unproven)

    @property
    def is_bare(self) -> bool:
        """Whether the server was seen to ignore tags."""
        return self._honours_tags is False

    def ask(self, row: HeadRow, now_s: float) -> str:
        """Note that `row` is asked for next; returns the Range header line to send, or ""."""
        tag = self._tag_for(row.item)
        self.sent += 1
        self._in_flight.append(_Asked(row, tag, now_s))
        return "" if tag is None else f"Range: bytes={tag}-{tag}"

    def answered(
        self, status: int, headers: Mapping[str, str], *, url: str, now_s: float
    ) -> Outcome:
        """Take the next answer.

        Args:
            status: HTTP status code.
            headers: Of the answer; keys compare without case.
            url: What was asked for, for messages.
            now_s: Time on the clock that `ask` was given.

        Raises:
            MixedUpError: It isn't the answer to its request; `doubtful` says what to drop.
        """
        asked = self._in_flight[0]
        outcome = Outcome(latency_s=now_s - asked.sent_s)
        if status == 206:
            self._take_tagged(asked, headers, outcome, url)
        elif status == 200:
            self._take_bare(asked, headers, outcome, url)
        else:
            outcome.singly.append(asked.row)
        self._in_flight.popleft()
        self.answers += 1
        if not self._in_flight:
            # As many answers as requests: none was dropped.
            outcome.certain += self._release()
        self.settled += len(outcome.certain) + len(outcome.singly)
        return outcome

    def doubtful(self) -> list[HeadRow]:
        """Return the rows that aren't settled, in order, and forget them."""
        rows = [asked.row for asked, _ in self._held] + [asked.row for asked in self._in_flight]
        self._held.clear()
        self._in_flight.clear()
        return rows

    def _tag_for(self, item: ListingItem) -> int | None:
        bounds = bounds_of(item.size_text)
        if bounds is None or bounds[0] < _FEWEST_TAGS:
            return None
        return self.sent % min(bounds[0], _MOST_TAGS)

    def _take_tagged(
        self, asked: _Asked, headers: Mapping[str, str], outcome: Outcome, url: str
    ) -> None:
        part = content_range(headers)
        tag = asked.tag
        if tag is None or part is None or (part.range.start, part.range.stop) != (tag, tag + 1):
            raise MixedUpError(f"tag {tag} answered by {part}", url=url)
        self._honours_tags = True
        # Who honours tags and left one out before spoke of something else.
        outcome.singly += [held.row for held, _ in self._held if held.tag is not None]
        self._held = [(held, version) for held, version in self._held if held.tag is None]
        outcome.certain += self._release()
        version = version_from(headers, part.size)
        if "Content-Encoding" not in headers and _fits(asked, version):
            outcome.certain.append(Certain(asked.row.item.name, version))
        else:
            outcome.singly.append(asked.row)

    def _take_bare(
        self, asked: _Asked, headers: Mapping[str, str], outcome: Outcome, url: str
    ) -> None:
        if asked.tag is not None:
            if self._honours_tags:
                raise MixedUpError("an answer without the tag", url=url)
            self._honours_tags = False
        try:
            head = head_from(200, headers, url=url, now_s=0.0)
        except ArchiveError:
            head = None
        if head is not None and head.version is not None:
            version = head.version
        elif head is None and asked.row.item.size_text == "0" and "Last-Modified" in headers:
            # Apache leaves out a Content-Length of 0; the listing says that it is one.
            version = version_from(headers, 0)
        else:
            outcome.singly.append(asked.row)
            return
        if not _fits(asked, version):
            raise MixedUpError(f"{version.size} bytes don't fit the listing", url=url)
        self._held.append((asked, version))

    def _release(self) -> list[Certain]:
        certain = [Certain(asked.row.item.name, version) for asked, version in self._held]
        self._held.clear()
        return certain


def _fits(asked: _Asked, version: FileVersion) -> bool:
    return fits(version, asked.row.item.size_text, asked.row.item.modified_text)
