"""What a command's TARGET stands for: one grammar for all commands.

    10934  10934/data/x.mrc           an entry by its number, and what is in it
    EMPIAR-10934/data/x.mrc           the same, by its accession code
    empiar:10934/data/x.mrc           the same; whatever stands behind the colon is a path
    empiar  empiar:                   all of the archive
    10.6019/EMPIAR-10934/data         by its DOI, also after `doi:` or as a doi.org URL
    https://…/10934/data/x.mrc        by its URL below the archive's, percent-encoded
    ftp://…/10934/data/x.mrc          the same place by FTP
    https://www.ebi.ac.uk/empiar/EMPIAR-10934/   the entry's page

Any other word is left to others: it may be a path in a mount. A relative path that looks
like one of these is written with `./` in front.

Pure functions, safe from any thread.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes, urlsplit

from empiarfs.core import paths
from empiarfs.core.secrets import shown_url
from empiarfs.errors import ConfigError

ALL = "empiar"

_NUMBER = re.compile(r"[0-9]{5,9}(?=/|\Z)", re.ASCII)
_ENTRY = re.compile(r"[0-9]{1,9}(?=/|\Z)", re.ASCII)
_ACCESSION = re.compile(r"EMPIAR-[0-9]{1,9}(?=/|\Z)", re.IGNORECASE | re.ASCII)
_DOI = re.compile(
    r"(?:doi:\s*|https?://(?:dx\.)?doi\.org/)?10\.6019/(?=EMPIAR-[0-9]{1,9}(?:/|\Z))",
    re.IGNORECASE | re.ASCII,
)
_PAGE = re.compile(
    r"https?://(?:www\.)?(?:ebi\.ac\.uk/(?:pdbe/emdb/)?empiar|empiar\.org)/(?:entry/)?"
    r"(?:EMPIAR-)?([0-9]{1,9})/?(?:[?#].*)?\Z",
    re.IGNORECASE | re.ASCII | re.DOTALL,
)
_URL = re.compile(r"(?:https?|ftp)://", re.IGNORECASE)
_DEFAULT_PORTS = {"http": 80, "https": 443, "ftp": 21}


@dataclass(frozen=True, slots=True)
class Target:
    """A place in the archive, and how it was spelt.

    Attributes:
        path: Below the archive's root; "" for the root.
        spelt: As given, without a slash at the end.
        prefix: What `spell` puts before the path below the target; it ends with a slash or
            a colon, or is "".
        encoded: The spelling is a URL's, percent-encoded.
    """

    path: str
    spelt: str
    prefix: str
    encoded: bool = False

    def at_end(self, old: str, new: str) -> Target:
        """Return the target that has the components `new` at its end in place of `old`.

        >>> parse_target("EMPIAR-10934/data/*", "https://host/").at_end("*", "a/b").spelt
        'EMPIAR-10934/data/a/b'
        """
        path, spelt = (text[: len(text) - len(old)] + new for text in (self.path, self.spelt))
        return Target(path, spelt, f"{spelt}/")

    def spell(self, below: str, *, is_directory: bool = False) -> str:
        """Return what lies at the path `below` this target, spelt as the target was.

        A directory has a slash at its end. The word can be given to a command again.

        Args:
            below: Path below the target; "" for the target itself.
            is_directory: Whether it is a directory.
        """
        slash = "/" * is_directory
        if not below:
            # All of the archive is `empiar` or `empiar:`, or a URL; only that has a slash.
            return self.spelt + (slash if self.encoded or self.path else "")
        return self.prefix + (paths.url_path(below) if self.encoded else below) + slash


def parse_target(word: str, archive_url: str) -> Target | None:
    """Return the place in the archive that a word names.

    Args:
        word: As a user gave it; bytes that aren't UTF-8 stand in it as surrogates.
        archive_url: The archive's root, with a trailing slash.

    Returns:
        The target, or None if the word has none of the forms, and so may be a local path.

    Raises:
        ConfigError: It is a URL, but of nothing in this archive; or no path at all.

    >>> parse_target("EMPIAR-10934/data/", "https://host/a/").path
    '10934/data'
    >>> parse_target("https://host/a/10934/a%20b", "https://host/a/").path
    '10934/a b'
    >>> parse_target("data/x.mrc", "https://host/a/")
    """
    spelt = word.rstrip("/")
    doi = _DOI.match(spelt)
    if doi is not None:
        path = spelt[doi.end() :]
        return _plain(path, spelt, shorter=path)
    page = _PAGE.match(word)
    if page is not None:
        return _plain(page[1], spelt, shorter=page[1])
    if _URL.match(word):
        return _from_url(word, archive_url)
    if spelt.lower() in (ALL, f"{ALL}:"):
        return Target("", spelt, f"{ALL}:")
    if spelt.lower().startswith(f"{ALL}:"):
        return _plain(spelt[len(ALL) + 1 :], spelt)
    if _NUMBER.match(spelt) or _ACCESSION.match(spelt):
        return _plain(spelt, spelt)
    return None


def local_target(path: str, spelt: str) -> Target:
    """Return the target at `path` of the archive that a user named by a path in a mount.

    >>> local_target("10934/data", "./data/").spell("x.mrc")
    './data/x.mrc'
    """
    short = spelt.rstrip("/") or "/"
    return Target(path, short, short if short == "/" else f"{short}/")


def entry_number(path: str) -> int | None:
    """Return the number of the entry that a path of the archive lies in, None if in none.

    >>> entry_number("10934/data"), entry_number("10934"), entry_number("")
    (10934, 10934, None)
    """
    found = _ENTRY.match(path)
    return int(found[0]) if found else None


def ftp_url(url: str) -> str:
    """Return the address by FTP of what the archive has at `url`; the paths are the same.

    >>> ftp_url("https://ftp.ebi.ac.uk/empiar/world_availability/10934/")
    'ftp://ftp.ebi.ac.uk/empiar/world_availability/10934/'
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    return f"ftp://{f'[{host}]' if ':' in host else host}{parts.path}"


def _plain(path: str, spelt: str, shorter: str | None = None) -> Target:
    prefix = shorter or spelt
    return Target(paths.canonical(_tidy(path.split("/"), spelt)), spelt, f"{prefix}/")


def _from_url(word: str, archive_url: str) -> Target:
    url = re.split(r"[?#]", word, maxsplit=1)[0]
    below = _below(url, archive_url)
    if below is None:
        raise ConfigError(
            f"{shown_url(word)} is not below {archive_url}; --archive-url names another archive"
        )
    parts = [
        unquote_to_bytes(part.encode("utf-8", "surrogateescape")).decode(
            "utf-8", "surrogateescape"
        )
        for part in below.split("/")
    ]
    if any("/" in part or "\0" in part for part in parts):
        raise ConfigError(f"{shown_url(word)} names nothing: a name has no slash and no NUL")
    spelt = url.rstrip("/")
    return Target(paths.canonical(_tidy(parts, word)), spelt, f"{spelt}/", encoded=True)


def _below(url: str, archive_url: str) -> str | None:
    """Return the encoded path of `url` below the archive's, None if it isn't below it."""
    try:
        ours, theirs = urlsplit(archive_url), urlsplit(url)
        ports = [p.port or _DEFAULT_PORTS.get(p.scheme, 0) for p in (ours, theirs)]
    except ValueError:
        return None
    if theirs.hostname != ours.hostname or "@" in theirs.netloc:
        return None
    # FTP's port says nothing about that of HTTP; http and https are served alike by EMPIAR.
    usual = set(_DEFAULT_PORTS.values())
    if ports[0] != ports[1] and not (theirs.scheme == "ftp" or set(ports) <= usual):
        return None
    path = theirs.path if theirs.path.endswith("/") else f"{theirs.path}/"
    return path[len(ours.path) :] if path.startswith(ours.path) else None


def _tidy(parts: list[str], word: str) -> str:
    """Return the path that these names make, without empty ones, `.` and `..`."""
    kept: list[str] = []
    for part in parts:
        if part == "..":
            if not kept:
                raise ConfigError(f"{shown_url(word)} leads out of the archive")
            kept.pop()
        elif part not in ("", "."):
            kept.append(part)
    return "/".join(kept)
