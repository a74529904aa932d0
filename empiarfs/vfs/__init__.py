"""The archive as a tree of files and directories, with handles. Knows no FUSE.

`FileSystem` is what the FUSE adapter serves and what Python code may use directly. It turns
paths into nodes and attributes (`empiarfs.tree`), and open files into handles with a reader
each (`empiarfs.reader`).

A handle is pinned to the version of the file that was there when it was opened. When the
archive shows another one, all handles to older versions are stale: their reads fail, for
good, and a new open sees the new bytes. Two versions are never mixed.

Paths have no leading slash; "" is the root. `EMPIAR-10017` is an alias of `10017`: it can be
looked up and is never listed.

    file_system.py  `FileSystem`
    open_files.py   which of the archive's files are open, in which version
    note_files.py   what is below `.empiar` (`empiarfs.notes`), with handles
    extended.py     the extended attributes
    values.py       what is told of a node

Threading: safe from any thread.
"""

from empiarfs.vfs.file_system import FileSystem
from empiarfs.vfs.values import Attributes, OpenedFile, SpaceUsage

__all__ = ["Attributes", "FileSystem", "OpenedFile", "SpaceUsage"]
