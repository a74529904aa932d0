"""What a listing shows behind a link: the time and the size, in any of its forms.

    form                  behind the link
    --------------------  ---------------------------------------------------------------
    table                 `</td><td align="right">2025-02-07 19:49  </td><td …>543M</td>`
    preformatted, Apache  blanks, `2025-02-07 19:49  543M`, maybe a description
    preformatted, nginx   blanks, `07-Feb-2025 19:49   569560224`
    plain list            nothing

Not thread-safe: a `RowTails` remembers what it has read, since most rows of a directory end
alike.
"""

from __future__ import annotations

import re
import sys

from empiarfs.core.sizes import bounds_of

_MARKUP = re.compile(rb"<[^<>]*>|&nbsp;")
_DAY = re.compile(rb"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_OLD_DAY = re.compile(rb"([0-9]{2})-([A-Z][a-z]{2})-([0-9]{4})")
_MINUTE = re.compile(rb"[0-9]{2}:[0-9]{2}")
_MONTHS = b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
# At most 1.2 KB each.
_REMEMBERED = 1024


class RowTails:
    """Reads the ends of the rows of one page. Not thread-safe."""

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[str, str]] = {}

    def read(self, tail: bytes) -> tuple[str, str]:
        """Return the size and the time as texts, either empty if it isn't shown.

        Both are shared between the rows that have the same.

        >>> RowTails().read(b'</td><td>2025-02-07 19:49  </td><td> 62M')
        ('62M', '2025-02-07 19:49')
        """
        known = self._known.get(tail)
        if known is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            known = self._known[tail] = _texts_of(tail)
        return known


def _texts_of(tail: bytes) -> tuple[str, str]:
    fields = _MARKUP.sub(b" ", tail).split(None, 3)
    modified = ""
    if len(fields) >= 2 and _MINUTE.fullmatch(fields[1]):
        day = _day_of(fields[0])
        if day:
            modified = f"{day} {fields[1].decode('ascii')}"
            del fields[:2]
    size = fields[0].decode("latin-1") if fields else ""
    return sys.intern(size if bounds_of(size) else ""), sys.intern(modified)


def _day_of(text: bytes) -> str:
    """Return the day as "2025-02-07", or nothing if it is none."""
    if _DAY.fullmatch(text):
        return text.decode("ascii")
    match = _OLD_DAY.fullmatch(text)
    if match is None or match[2] not in _MONTHS:
        return ""
    day, month, year = match.groups()
    return f"{year.decode('ascii')}-{_MONTHS.index(month) + 1:02}-{day.decode('ascii')}"
