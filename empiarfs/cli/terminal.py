"""What may be written to a terminal: names hold whatever their authors put into them.

Pure.
"""

from __future__ import annotations

import re

# What ends a line, steers a terminal, or turns the direction of what stands beside it.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def in_one_line(text: str) -> str:
    r"""Return text that can be shown: printable, in one line.

    >>> in_one_line("a\nb\x1b[2J"), in_one_line("\udcff")
    ('a\\nb\\x1b[2J', '\\xff')
    """
    printable = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return _CONTROL.sub(lambda m: m[0].encode("unicode_escape").decode("ascii"), printable)


def amount(size: int) -> str:
    """Return a number of bytes for people, in powers of 1000.

    >>> amount(999), amount(6_010_000_000_000)
    ('999 B', '6.01 TB')
    """
    value, units = float(size), iter(("B", "KB", "MB", "GB", "TB", "PB"))
    unit = next(units)
    while value >= 999.5:
        value, unit = value / 1000, next(units, "EB")
        if unit == "EB":
            break
    return f"{value:.3g} {unit}"
