"""What readers need of whoever has the bytes: the fetcher, or what stands in front of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from empiarfs.core.files import RemoteFile
from empiarfs.core.ranges import ByteRange
from empiarfs.patience import Patience


class Source(Protocol):
    """A way to the bytes of the archive's files; see `Fetcher`, which keeps these promises."""

    @property
    def worthwhile_size(self) -> int:
        """How many bytes a request should be for, lest it cost more than it brings."""
        ...

    @property
    def room(self) -> int:
        """How many bytes of whole pieces more may be foreseen now; negative or 0 if none."""
        ...

    def read(
        self,
        file: RemoteFile,
        wanted: ByteRange,
        patience: Patience,
        waiting: Callable[[], Sequence[ByteRange]] = tuple,
    ) -> tuple[bytes, bool]:
        """Return the bytes `wanted`, and whether they had to be waited for."""
        ...

    def prefetch(self, file: RemoteFile, foreseen: ByteRange) -> None:
        """Fetch what a planner foresees, when nothing more pressing is to be done."""
        ...

    def warm(self, file: RemoteFile, wanted: ByteRange, patience: Patience) -> int:
        """Fetch what is missing of a range; return how many bytes were."""
        ...

    def prepare(self, size: int) -> None:
        """Have connections at hand for `size` bytes that somebody has begun to read."""
        ...

    def drop_foreseen(self, file: RemoteFile) -> None:
        """Forget what was foreseen of `file` and isn't on its way yet."""
        ...

    def closed(self, file: RemoteFile) -> None:
        """Note that somebody who had `file` open has closed it."""
        ...

    def cached_bytes(self, file: RemoteFile) -> int:
        """Return how many bytes of `file` the cache directory holds."""
        ...

    def usage(self) -> dict[str, int]:
        """Return what is in memory and under way, for `status`."""
        ...
