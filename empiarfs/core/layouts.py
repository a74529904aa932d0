"""Where a local copy of an entry lies, by the way in which it was made. Pure.

    DIR/10934/data/x.mrc                                     `empiarfs get`, Globus, Aspera,
                                                             wget -r -nH --cut-dirs=2
    DIR/EMPIAR-10934/data/x.mrc                              a folder that a person has named
    DIR/world_availability/10934/data/x.mrc                  the folder above, by Globus
    DIR/empiar/world_availability/10934/data/x.mrc           wget -r -nH
    DIR/ftp.ebi.ac.uk/empiar/world_availability/10934/…      wget -r, wget -m

And DIR may be the entry's own folder, if it has the entry's name. Names below the entry are
the archive's, byte for byte: what a program has written otherwise isn't found.
"""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

_ABOVE = ("world_availability", "empiar/world_availability")


def entry_folders(entry: str, archive_url: str, own_name: str) -> tuple[str, ...]:
    """Return where an entry may lie in a directory with local copies.

    >>> entry_folders("10934", "https://h.org/a/b/", "empiar")[:5]
    ('10934', 'EMPIAR-10934', 'b/10934', 'a/b/10934', 'h.org/a/b/10934')
    >>> entry_folders("10934", "https://h.org/", "EMPIAR-10934")[0]
    '.'

    Args:
        entry: The first component of the archive's path.
        archive_url: URL of the archive's root.
        own_name: The directory's own name.

    Returns:
        Paths below the directory, "." for itself; what is usual comes first.
    """
    names = [entry]
    if entry.isascii() and entry.isdigit():
        names.append(f"EMPIAR-{entry}")
    parts = urlsplit(archive_url)
    above = [parts.netloc, *(unquote(word) for word in parts.path.split("/") if word)]
    folders = ["."] if own_name in names else []
    folders += names
    for start in range(len(above) - 1, -1, -1):
        folders.append("/".join((*above[start:], entry)))
    # What was copied from EMPIAR stays as it is where another archive of its kind is mounted.
    folders += [f"{each}/{entry}" for each in _ABOVE]
    return tuple(dict.fromkeys(folders))


def is_safe(path: str) -> bool:
    """Tell whether a path of the archive stays below what it is joined to."""
    return not any(name in ("", ".", "..") or "\0" in name for name in path.split("/"))
