"""Fetches whole files: to a local directory, resumable and with checksums, or into the cache.

A copy goes through a file of its own beside the place where it belongs, and is renamed once
it is whole: what has its right name is whole and right. `DEST/SHA256SUMS` says what was
written, in the form that `sha256sum -c` reads.

It reads as a mount does, by `empiarfs.vfs`, so that what is cached isn't fetched again.

Threading: `Downloads` starts threads of its own; the rest belongs to one thread at a time.
"""

from empiarfs.downloads.manifest import Manifest
from empiarfs.downloads.running import Downloads, Progress, Wanted, is_copy
from empiarfs.downloads.warming import Warming

__all__ = ["Downloads", "Manifest", "Progress", "Wanted", "Warming", "is_copy"]
