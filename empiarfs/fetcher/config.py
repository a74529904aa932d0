"""Bounds of the fetcher."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FetcherConfig:
    """Bounds of the fetcher.

    Attributes:
        max_connections: GETs under way at once; the client's budget bounds them as well.
        reserved_connections: Of these, how many foreseen spans must leave free.
        memory: Bytes of recent pieces.
        in_flight: Bytes on their way, or waiting for the disk, above which nothing more is
            foreseen.
        foreseen: Of these, bytes that may be on their way without anybody waiting for them.
        pending: Of these, bytes that may wait for the disk.
        smallest_span: A GET asks for at least so many bytes, where as many are missing.
        largest_span: And for no more than these.
    """

    max_connections: int = 12
    reserved_connections: int = 2
    memory: int = 64 * 1024 * 1024
    in_flight: int = 80 * 1024 * 1024
    foreseen: int = 48 * 1024 * 1024
    pending: int = 32 * 1024 * 1024
    smallest_span: int = 256 * 1024
    largest_span: int = 8 * 1024 * 1024
