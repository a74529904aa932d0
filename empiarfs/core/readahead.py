"""The read-ahead planner of one open file: which bytes to fetch before anyone asks for them.

The planner is a pure state machine. It is told about each read of one handle and answers
with the range to prefetch; it never fetches, waits, locks or looks at a clock.
`empiarfs.reader` holds one `ReadAhead` for each handle and carries the plans out.

A handle may have several readers (threads, `xargs -P` on an inherited descriptor), so a
plan holds a few *streams*. A read belongs to the stream that it starts near: within `slack`
bytes of where that one is expected to go on, before or after, because the kernel splits
large reads and may deliver the pieces out of order, which must not look like a seek.

    read                        window afterwards             prefetch
    --------------------------  ----------------------------  ----------------------------
    near no stream              0 (a new stream)              nothing: one read is no proof
    goes on a stream            as before                     up to `window` past the read
    goes on a stream, starved   `initial`, then doubled,      up to `window` past the read
                                up to `maximum`

A reader *starves* when it had to wait for its bytes: only then is more needed. One that
finds all of them on disk starves never, and nobody looks ahead for it. A plan is handed out
in steps of a quarter window, so that the requests made of it are large.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from empiarfs.core.ranges import ByteRange


@dataclass(frozen=True, slots=True)
class ReadAheadConfig:
    """How far ahead to plan.

    Attributes:
        slack: Bytes that a read may be off its stream's expected offset. 1 MiB holds eight
            of the kernel's requests, more than it keeps under way for one reader.
        initial: First window of a proven stream, in bytes.
        maximum: Largest window, in bytes. It must keep the link full for the time that a
            request takes: 120 MB/s for 0.2 s are 24 MB.
        streams: How many readers of one handle are told apart.
    """

    slack: int = 1024 * 1024
    initial: int = 1024 * 1024
    maximum: int = 32 * 1024 * 1024
    streams: int = 4


@dataclass(frozen=True, slots=True)
class Stream:
    """One reader of a handle.

    Attributes:
        next_offset: Where it reads next if it is sequential.
        window: Bytes to keep planned ahead of it; 0 until it proves to be sequential and
            has starved.
        planned_to: Offset one past the last byte planned.
    """

    next_offset: int
    window: int = 0
    planned_to: int = 0


@dataclass(frozen=True, slots=True)
class ReadAhead:
    """Where the readers of one handle are, and how far ahead of them data has been planned.

    Attributes:
        streams: The known readers, the one that read last first.
    """

    streams: tuple[Stream, ...] = ()

    def after(
        self, read: ByteRange, *, starved: bool, file_size: int, config: ReadAheadConfig
    ) -> tuple[ReadAhead, ByteRange]:
        """Return the state after `read`, and the range to prefetch (empty for nothing).

        Args:
            read: The bytes that were asked for; not empty, inside the file.
            starved: Whether the read before this one had to wait for its bytes.
            file_size: Size of the file in bytes; nothing is planned beyond it.
            config: How far ahead to plan.
        """
        stream = self._stream_of(read, config)
        if stream is None:
            fresh = Stream(next_offset=read.stop, planned_to=read.stop)
            return ReadAhead((fresh, *self.streams)[: config.streams]), ByteRange(0, 0)
        advanced, prefetch = _advance(stream, read, starved, file_size, config)
        others = tuple(other for other in self.streams if other is not stream)
        return ReadAhead((advanced, *others)), prefetch

    def _stream_of(self, read: ByteRange, config: ReadAheadConfig) -> Stream | None:
        near = [s for s in self.streams if abs(read.start - s.next_offset) <= config.slack]
        return min(near, key=lambda s: abs(read.start - s.next_offset), default=None)


def _advance(
    stream: Stream, read: ByteRange, starved: bool, file_size: int, config: ReadAheadConfig
) -> tuple[Stream, ByteRange]:
    # A piece delivered late ends before its predecessor; the reader never moves back.
    next_offset = max(stream.next_offset, read.stop)
    window = stream.window
    if starved:
        window = min(2 * window, config.maximum) if window else config.initial
    start = max(stream.planned_to, next_offset)
    ahead = start - next_offset
    advanced = replace(stream, next_offset=next_offset, window=window, planned_to=start)
    if not window or ahead > window - window // 4:
        return advanced, ByteRange(0, 0)
    prefetch = ByteRange(start, next_offset + window).clamp(file_size)
    return replace(advanced, planned_to=max(start, prefetch.stop)), prefetch
