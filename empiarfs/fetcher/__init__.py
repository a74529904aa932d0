"""Gets bytes to whoever wants them: from memory, from the cache directory, else by HTTP.

`Fetcher` is the one way to the bytes of the archive. It keeps four promises:

* one fetch for a piece, however many readers want it (single-flight);
* bytes are handed out as they arrive, a piece of 64 KiB at a time;
* what was asked for goes before what was foreseen;
* memory is bounded: recent pieces, pieces on their way, pieces not yet on disk.

Modules: `whereabouts` (where pieces are), `flights` (recent ones and those on their way),
`spans` (adjacent pieces and those who wait for them), `queue` (which span goes next), `workers`
(the threads that fetch them), `attempts` (one GET), `plans` (what is foreseen), `config`
(bounds), `fetching` (the `Fetcher`).
"""

from __future__ import annotations

from empiarfs.fetcher.config import FetcherConfig
from empiarfs.fetcher.fetching import Fetcher
from empiarfs.fetcher.source import Source

__all__ = ["Fetcher", "FetcherConfig", "Source"]
