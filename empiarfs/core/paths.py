"""Names and paths of the archive: what can be served, where it lies, what it is called.

Paths are relative to the archive's root, without a slash at either end; "" is the root.
Names are bytes to the kernel and to the server, so a text stands for exactly one row of
bytes: what isn't UTF-8 is kept as surrogates (`surrogateescape`), and nothing is ever
normalised, folded or trimmed. The one exception is an entry's other name, `EMPIAR-10934`.

Pure functions, safe from any thread.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from urllib.parse import quote

LONGEST_NAME = 255
"""Bytes that the kernel allows for a name; a longer one would spoil its whole directory."""

ROOT_INODE = 1

_ALIAS = re.compile(r"EMPIAR-([0-9]+)(?=/|\Z)", re.IGNORECASE | re.ASCII)

# What shells, editors, file managers, version control, search tools and databases look for
# in every directory they come by. None of it means anything in an archive of images, and a
# request for each would be most of what a desktop asks for. `.empiar` is our own, where it is
# shown; where it isn't, only people who know of it ask.
_LOCAL_NAMES = frozenset(
    {
        ".bzr",
        ".directory",
        ".ds_store",
        ".editorconfig",
        ".empiar",
        ".env",
        ".envrc",
        ".fdignore",
        ".fseventsd",
        ".git",
        ".gitattributes",
        ".gitignore",
        ".gitmodules",
        ".hg",
        ".hgignore",
        ".hidden",
        ".idea",
        ".ignore",
        ".localized",
        ".metadata_never_index",
        ".nomedia",
        ".python-version",
        ".rgignore",
        ".spotlight-v100",
        ".stignore",
        ".svn",
        ".thumbnails",
        ".tool-versions",
        ".trash",
        ".trashes",
        ".trackerignore",
        ".venv",
        ".vscode",
        ".xdg-volume-info",
        "$recycle.bin",
        "autorun.inf",
        "desktop.ini",
        "system volume information",
        "thumbs.db",
    }
)
_LOCAL_PREFIXES = (".#", ".fuse_hidden", ".goutputstream-", ".nfs", ".trash-", ".~lock.")
# SQLite looks for all three beside each database it opens.
_LOCAL_SUFFIXES = ("-journal", "-shm", "-wal")
_ENTRY = re.compile(r"[0-9]{5,}", re.ASCII)
_SWAP_FILE = re.compile(r"\..+\.sw[a-p]\Z", re.DOTALL)  # Vim's

# Apache's stock IndexIgnore: .??* *~ *# HEADER* README* RCS CVS *,v *,t
_HIDDEN_PREFIXES = (".", "HEADER", "README")
_HIDDEN_SUFFIXES = ("~", "#", ",v", ",t")
_HIDDEN_NAMES = frozenset({"CVS", "RCS"})


def name_problem(name: str) -> str | None:
    """Return why no file or directory can be served under this name; None if it can.

    >>> name_problem("a b.mrc"), name_problem("..")
    (None, 'not a name')
    """
    if name in ("", ".", ".."):
        return "not a name" if name else "empty"
    if "/" in name:
        return "contains a slash"
    if "\0" in name:
        return "contains a NUL"
    try:
        size = len(_raw(name))
    except UnicodeEncodeError:  # a surrogate that stands for no byte
        return "not made of bytes"
    return f"longer than {LONGEST_NAME} bytes" if size > LONGEST_NAME else None


def split(path: str) -> tuple[str, str]:
    """Return the path's directory and its last component; twice "" for the root.

    >>> split("10934/data/x.mrc"), split("10934")
    (('10934/data', 'x.mrc'), ('', '10934'))
    """
    parent, _, name = path.rpartition("/")
    return parent, name


def join(parent: str, name: str) -> str:
    """Return the path of the child `name` of the directory `parent`.

    >>> join("", "10934"), join("10934", "data")
    ('10934', '10934/data')
    """
    return f"{parent}/{name}" if parent else name


def likely_directories(parent: str, name: str) -> tuple[str, ...]:
    """Return what of `parent/name` and below is most likely a directory somebody goes to.

    An entry has its files in `data`; what has a dot in its name is a file, mostly.

    >>> likely_directories("", "10028")
    ('10028', '10028/data')
    >>> likely_directories("10028", "data")
    ('10028/data',)
    >>> likely_directories("10028/data", "10028.xml")
    ()
    """
    if not name or "." in name:
        return ()
    path = join(parent, name)
    if parent:
        return (path,)
    return (path, join(path, "data")) if _ENTRY.fullmatch(name) else ()


def url_path(path: str) -> str:
    """Return the path percent-encoded, to be put behind the archive's URL.

    Encoding happens once: a name that looks encoded is a name like any other.

    >>> url_path("99999/a b/50%20.mrc")
    '99999/a%20b/50%2520.mrc'
    """
    return quote(_raw(path), safe="/")


def canonical(path: str) -> str:
    """Return the path under the entry's directory name, whichever of its names is used.

    >>> canonical("EMPIAR-10017/data"), canonical("10017/EMPIAR-10017")
    ('10017/data', '10017/EMPIAR-10017')
    """
    return _ALIAS.sub(r"\1", path, count=1) if _ALIAS.match(path) else path


def is_local_only(name: str) -> bool:
    """Return whether only programs on this machine ask for a file of this name.

    Such a name is absent without a question, unless a listing holds it.

    >>> is_local_only(".Trash-1000"), is_local_only("run.db-journal"), is_local_only(".zattrs")
    (True, True, False)
    """
    folded = name.casefold()  # file managers spell theirs in several ways
    return (
        folded in _LOCAL_NAMES
        or folded.startswith(_LOCAL_PREFIXES)
        or folded.endswith(_LOCAL_SUFFIXES)
        or _SWAP_FILE.match(folded) is not None
    )


def is_hidden_by_apache(name: str) -> bool:
    """Return whether Apache, as it is delivered, leaves the name out of its listings.

    That a listing lacks such a name says nothing.

    >>> is_hidden_by_apache("README.md"), is_hidden_by_apache("readme.md")
    (True, False)
    """
    return (
        name.startswith(_HIDDEN_PREFIXES)
        or name.endswith(_HIDDEN_SUFFIXES)
        or name in _HIDDEN_NAMES
    )


def inode_of(path: str) -> int:
    """Return the inode number that the path hashes to: 64 bits, never 0, and 1 for the root.

    It is the same on every machine and after every restart; two paths of one archive share
    theirs with a probability of 1 in 10,000 at 60 million files.
    """
    if not path:
        return ROOT_INODE
    number = int.from_bytes(blake2b(_raw(path), digest_size=8).digest(), "big")
    # 0 means "no inode" to the kernel and 1 is the root.
    return number if number > ROOT_INODE else number + 2


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
