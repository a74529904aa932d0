"""The border to the kernel: what FUSE asks, answered by the file system.

    adapter.py         requests become calls of `files.Files`
    arguments.py       what handlers are given
    config.py          what is set once for a mount
    answers.py         whatever happens in a handler, it ends in a result or an errno
    xattr.py           the same with extended attributes
    journeys.py        all look-ups of one system call share a deadline
    errnos.py          which errno for which error
    stat_structure.py  attributes become a `stat`
    handles.py         what is open
    callers.py         who asks, and whether they still wait
    readers.py         which programs read how much
    reads.py           what is remembered of slow and failed reads
    long_reads.py      which programs read through a directory for a day
    invalidation.py    tells the kernel what has changed
    session.py         mounts
    library.py         picks libfuse; the only module to import mfusepy

Importing this package loads libfuse, and raises OSError where there is none.
"""

from __future__ import annotations

from empiarfs.fuse.adapter import FuseAdapter
from empiarfs.fuse.config import AdapterConfig
from empiarfs.fuse.crawls import Crawls
from empiarfs.fuse.errnos import ERRNO_BY_ERROR, errno_for
from empiarfs.fuse.files import Files
from empiarfs.fuse.invalidation import Invalidator
from empiarfs.fuse.library import VERSION, can_invalidate
from empiarfs.fuse.long_reads import LongReads
from empiarfs.fuse.readers import Readers
from empiarfs.fuse.session import SUBTYPE, SessionOptions, serve
from empiarfs.fuse.xattr import XattrFuseAdapter

__all__ = [
    "ERRNO_BY_ERROR",
    "SUBTYPE",
    "VERSION",
    "AdapterConfig",
    "Crawls",
    "Files",
    "FuseAdapter",
    "Invalidator",
    "LongReads",
    "Readers",
    "SessionOptions",
    "XattrFuseAdapter",
    "can_invalidate",
    "errno_for",
    "serve",
]
