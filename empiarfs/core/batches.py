"""Lists of files for other tools: `globus transfer --batch` and `aria2c --input-file`.

Globus CLI reads a line as a shell would read the words of a command, and takes what Python's
`str.splitlines` takes for the end of a line as one: source, destination, and before them
`--recursive` for a directory. Paths are text to it. (Its `transfer --help`, and its sources,
release 3.43.)

aria2 reads bytes: a URI in a line of its own, below it options that begin with a blank, such
as `out=`, the path below `--dir`. Blanks around the value of an option are lost. (Its manual,
"Input File", and release 1.36.)

A name that can't be said in such a list is refused; it would become another file's.

EMBL-EBI serves its public files by one Globus collection, whose paths are those of
https://ftp.ebi.ac.uk/. That is how BioStudies' API gives its links (`globusLink`), and how
MetaboLights and users of EMPIAR describe it; it could not be tried where this was written.

Pure functions, safe from any thread.
"""

from __future__ import annotations

import re
import shlex

GLOBUS_NAME = "EMBL-EBI Public Data"
GLOBUS_ID = "47772002-3e5b-4fd3-b97c-18cee38d6df2"
GLOBUS_ROOT = "/empiar/world_availability/"

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def globus_line(path: str, *, is_directory: bool = False) -> str:
    """Return the line that has Globus transfer a file, or all that is in a directory.

    The destination is the same path, below the one that is given on Globus' command line.

    Args:
        path: Below the archive's root; not empty.
        is_directory: Whether it is a directory.

    Raises:
        ValueError: Globus can't be told this name.

    >>> globus_line("10934/data/a b.mrc")
    "'/empiar/world_availability/10934/data/a b.mrc' '10934/data/a b.mrc'"
    >>> globus_line("10934/data", is_directory=True)
    '--recursive /empiar/world_availability/10934/data/ 10934/data/'
    """
    if len(path.splitlines()) != 1 or "\0" in path:
        raise ValueError("its name has an end of line in it")
    try:
        path.encode()
    except UnicodeEncodeError:
        raise ValueError("its name isn't UTF-8") from None
    slash = "/" * is_directory
    words = (f"{GLOBUS_ROOT}{path}{slash}", f"{path}{slash}")
    return "--recursive " * is_directory + " ".join(map(shlex.quote, words))


def aria2_lines(url: str, path: str) -> str:
    r"""Return the lines that have aria2 fetch a file.

    Args:
        url: The file's, percent-encoded.
        path: Where it goes, below the directory that is given on aria2's command line.

    Raises:
        ValueError: aria2 can't be told this name.

    >>> aria2_lines("https://host/10934/a%20b.mrc", "10934/a b.mrc")
    'https://host/10934/a%20b.mrc\n  out=10934/a b.mrc'
    """
    if _CONTROL.search(path):
        raise ValueError("its name has a control character in it")
    if path != path.strip():
        raise ValueError("its name begins or ends with a blank")
    return f"{url}\n  out={path}"
