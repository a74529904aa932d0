"""What the commands about entries share: what knows them, a download, an age in words."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from empiarfs.config import Config
from empiarfs.mount.entries import PATIENCE_S, entry_store, known_entries
from empiarfs.patience import Patience
from empiarfs.stats import Counters

__all__ = ["PATIENCE_S", "age_words", "downloaded", "entry_store", "known_entries"]

# A snapshot of all entries has some 7 MB.
_MOST_BYTES = 256 * 1024 * 1024
_DOWNLOAD_S = 600.0


@contextlib.contextmanager
def downloaded(config: Config, url: str, counters: Counters) -> Iterator[Path]:
    """Lend a temporary file with what is at a URL.

    Raises:
        ArchiveError: It can't be had.
        ConfigError: It isn't a URL that can be asked for.
    """
    import tempfile
    from urllib.parse import unquote

    from empiarfs.archive.client import ArchiveClient, ClientConfig

    folder, _, name = url.rpartition("/")
    client = ArchiveClient(
        ClientConfig(
            base_url=f"{folder}/",
            max_connections=config.max_connections,
            limit_rate=config.limit_rate,
        ),
        counters,
    )
    try:
        path = unquote(name, errors="surrogateescape")
        data = client.document(path, bytes, limit=_MOST_BYTES, patience=Patience(_DOWNLOAD_S))
    finally:
        client.close()
    with tempfile.TemporaryDirectory(prefix="empiarfs-") as directory:
        file = Path(directory) / (Path(path).name or "snapshot")
        file.write_bytes(data)
        yield file


def age_words(at_s: float, now_s: float | None = None) -> str:
    """Return how long ago something was, for people.

    >>> age_words(0.0, 90.0), age_words(0.0, 3 * 86400.0), age_words(10.0, 0.0)
    ('1 minute old', '3 days old', 'new')
    """
    seconds = (time.time() if now_s is None else now_s) - at_s
    for unit, name in ((86400, "day"), (3600, "hour"), (60, "minute")):
        count = int(seconds // unit)
        if count >= 1:
            return f"{count} {name}{'s' * (count > 1)} old"
    return "new"
