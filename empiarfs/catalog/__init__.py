"""What is known of names, sizes and versions; on disk, shared by processes, and checked.

The catalog remembers listings as the archive sent them, and beside each row the version of
the file as far as it has been learnt. It survives restarts and answers while the archive
can't be reached. It decides nothing: how old a listing may be, and whether a version still
holds, is for its user to say. It never asks the archive, and never hands out what fails a
check: a flipped bit in a size would otherwise become a wrong `st_size`.

    known.py        the values that go in and come out
    pages.py        how rows are packed, compressed and checksummed (pure)
    directories.py  the SQL statements
    database.py     the file: made, opened, set aside when it can't be believed
    session.py      one connection, and the border where SQLite's errors stop
    recorder.py     short transactions
    writer.py       the one thread that writes, and what waits for it
    catalog.py      `Catalog`, which the rest of the program uses

Threading: a `Catalog` may be used from any thread, and any number of processes may have
one on the same file. Reads share one connection, in a thread that may hang with the disk and
is waited for during some seconds only; writes have another, in another thread. Of the
package's locks, no two are ever held together.
"""

from empiarfs.catalog.catalog import DEFAULT_LIMIT, Catalog
from empiarfs.catalog.known import KnownDirectory, KnownRow, SiftedDirectory

__all__ = ["DEFAULT_LIMIT", "Catalog", "KnownDirectory", "KnownRow", "SiftedDirectory"]
