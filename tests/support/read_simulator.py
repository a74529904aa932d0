"""A reader on a simulated link: what a planner costs the archive and saves the reader.

No clock: time is counted in round trips. Bytes come a round trip after they were asked for,
one after the other at the link's rate; a read waits until its last piece has come.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from empiarfs.core.blocks import PIECE_SIZE, pieces_covering
from empiarfs.core.ranges import ByteRange
from empiarfs.core.readahead import Expectation, ReadAhead, ReadAheadConfig

_READS = Path(__file__).parents[1] / "data" / "reads"


@dataclass(frozen=True)
class Recording:
    """What a program read of one file.

    Attributes:
        file_size: In bytes.
        handles: The reads of each handle, as (offset, size).
    """

    file_size: int
    handles: tuple[tuple[tuple[int, int], ...], ...]

    @property
    def reads(self) -> tuple[tuple[int, int], ...]:
        """The reads of the only handle."""
        (reads,) = self.handles
        return reads


def recording(name: str) -> Recording:
    """Return the reads recorded under a name, see tests/data/reads/README.md."""
    text = (_READS / f"{name}.txt").read_text()
    _, size_line, rest = text.split("\n", 2)
    handles = tuple(
        tuple((int(offset), int(size)) for offset, size in map(str.split, block.splitlines()))
        for block in rest.strip().split("\n\n")
    )
    return Recording(int(size_line.split()[-2]), handles)


@dataclass
class SimulatedReader:
    """Reads through a planner, on a link with `rate` bytes for each round trip.

    Attributes:
        file_size: In bytes.
        config: The planner's.
        rate: 4.8 MB for each round trip are 120 MB/s over 40 ms.
        expected: What the planner knows before.
        time: Round trips so far.
        waits: Reads that had to wait.
        requests: Ranges asked for, of which something was missing.
        touched: Pieces that were read.
        plans: What was planned after each read.
    """

    file_size: int
    config: ReadAheadConfig = field(default_factory=ReadAheadConfig)
    rate: float = 4.8e6
    expected: Expectation | None = None
    time: float = 0.0
    waits: int = 0
    requests: int = 0
    touched: set[int] = field(default_factory=set)
    plans: list[tuple[ByteRange, ...]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.planner = ReadAhead(self.file_size, self.config, self.expected)
        self._comes: dict[int, float] = {}
        self._link_free = 0.0

    @property
    def fetched_bytes(self) -> int:
        """What came over the link."""
        return len(self._comes) * PIECE_SIZE

    @property
    def touched_bytes(self) -> int:
        """What would have come without any planning."""
        return len(self.touched) * PIECE_SIZE

    @property
    def waste(self) -> float:
        """Bytes fetched and never read, for each byte that was needed."""
        return self.fetched_bytes / self.touched_bytes - 1

    def run(self, reads: Iterable[tuple[int, int]]) -> SimulatedReader:
        """Do all of the reads, one after the other; return this."""
        for offset, size in reads:
            self.read(ByteRange(offset, offset + size).clamp(self.file_size))
        return self

    def read(self, wanted: ByteRange) -> None:
        """Do one read."""
        planned = self.planner.asked(wanted)
        pieces = pieces_covering(wanted)
        self.touched.update(pieces)
        self._fetch([wanted, *planned])
        comes = max(self._comes[piece] for piece in pieces)
        if comes > self.time:
            more = self.planner.starved(wanted)
            self._fetch(more)
            planned += more
            self.waits += 1
            self.time = comes
        self.plans.append(planned)

    def _fetch(self, ranges: Iterable[ByteRange]) -> None:
        for wanted in ranges:
            missing = [p for p in pieces_covering(wanted) if p not in self._comes]
            self.requests += bool(missing)
            for piece in missing:
                begins = max(self._link_free, self.time + 1)
                self._link_free = begins + PIECE_SIZE / self.rate
                self._comes[piece] = self._link_free
