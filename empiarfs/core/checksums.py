r"""Lists of checksums, as `md5sum`, `sha1sum` and `sha256sum` print them. Pure.

    9f86d081884c7d65…  10934/data/x.mrc        a line of coreutils; ` *` for binary mode
    \9f86d081884c7d65…  a\nb                   a name with a newline or backslash, escaped
    MD5 (10934/data/x.mrc) = 9f86d081…         with --tag, and on BSD and macOS

Which sum it is follows from its length. Lines of another form are passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_KINDS = {32: "md5", 40: "sha1", 64: "sha256"}
_LINE = re.compile(rb"(\\?)([0-9A-Fa-f]{32,64}) [ *](.+)", re.DOTALL)
_TAGGED = re.compile(rb"(\\?)(?:MD5|SHA1|SHA256) \((.+)\) = ([0-9A-Fa-f]{32,64})", re.DOTALL)
_ESCAPED = re.compile(rb"\\([\\nr])")
_MEANING = {b"\\": b"\\", b"n": b"\n", b"r": b"\r"}


@dataclass(frozen=True, slots=True)
class Checksum:
    """One line of a list.

    Attributes:
        name: The file's, as it stands there; bytes that aren't UTF-8 are surrogates.
        kind: "md5", "sha1" or "sha256", as hashlib calls them.
        digest: In hexadecimal, lower case.
    """

    name: str
    kind: str
    digest: str


def parse_checksums(raw: bytes) -> Iterator[Checksum]:
    r"""Yield the checksums of a list.

    >>> [(each.name, each.kind) for each in parse_checksums(b"0" * 32 + b"  ./a b\nnone\n")]
    [('./a b', 'md5')]
    """
    for line in raw.split(b"\n"):
        line = line.rstrip(b"\r")
        found = _LINE.fullmatch(line)
        if found is not None:
            escape, digest, name = found.groups()
        else:
            found = _TAGGED.fullmatch(line)
            if found is None:
                continue
            escape, name, digest = found.groups()
        kind = _KINDS.get(len(digest))
        if kind is None:
            continue
        if escape:
            name = _ESCAPED.sub(lambda match: _MEANING[match[1]], name)
        yield Checksum(
            name.decode("utf-8", "surrogateescape"), kind, digest.decode("ascii").lower()
        )
