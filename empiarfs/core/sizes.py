"""What a listing says of a file's size and time, and which versions that fits.

Apache prints sizes in four characters, rounded, so that a text stands for a whole range of
sizes. The text never becomes a size, but an exact size that doesn't print as the text can't
be that of the listed file: a change, or an answer that belongs to another file.

    size                        printed as
    --------------------------  ----------------------------------------------------------
    below 973 bytes             the bytes, "650"
    up to 9 units and 972/1024  one decimal, "1.0K" .. "9.9K"; halves are rounded up
    up to 972 units and 1023    two or three digits, "10K" .. "973K"
    above                       the same in the next unit: K, M, G, T, P, E, steps of 1024

The scale works on 1024ths of the unit and drops what is smaller, which is why "10M" begins
at 9 + 973/1024 MiB. Pure functions, safe from any thread.
"""

from __future__ import annotations

import re
from datetime import datetime, timezone

from empiarfs.core.files import FileVersion

LARGEST_SIZE = 2**63 - 1
"""The largest size of a file that a Unix system can tell, in bytes."""

_UNITS = "KMGTPE"
# From this count on Apache takes the next unit: 973/1024 would print as 1.0 of it.
_NEXT_UNIT = 973
# The largest number of 1024ths that is printed with a decimal.
_LAST_WITH_DECIMAL = 9 * 1024 + _NEXT_UNIT - 1
_LAST_IN_UNIT = _NEXT_UNIT * 1024 - 1

_EXACT = re.compile(r"0|[1-9][0-9]{0,18}")
_ROUNDED = re.compile(r"(?:([0-9])\.([0-9])|([1-9][0-9]{1,2}))([KMGTPE])")
_MINUTE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2}) ([0-9]{2}):([0-9]{2})")

_HOUR_S = 3600
# Zones reach from -12 to +14 hours, and the two clocks may be in any two of them.
_FURTHEST_ZONES_S = 26 * _HOUR_S


def size_text(size: int) -> str:
    """Return `size` as Apache's listing shows it, without the blanks around it.

    Args:
        size: Bytes, at most `LARGEST_SIZE`.

    Raises:
        ValueError: No file can have this size.

    >>> [size_text(size) for size in (0, 972, 973, 569_560_224)]
    ['0', '972', '1.0K', '543M']
    """
    if not 0 <= size <= LARGEST_SIZE:
        raise ValueError(f"a file can't have {size} bytes")
    if size < _NEXT_UNIT:
        return str(size)
    # `scaled` counts 1024ths of the unit.
    scaled, unit = size, 0
    while scaled > _LAST_IN_UNIT:
        scaled, unit = scaled >> 10, unit + 1
    whole, rest = divmod(scaled, 1024)
    if scaled > _LAST_WITH_DECIMAL:
        return f"{whole + (rest >= 512)}{_UNITS[unit]}"
    tenths = 10 * whole + (rest * 5 + 256) // 512
    return f"{tenths // 10}.{tenths % 10}{_UNITS[unit]}"


def bounds_of(text: str) -> tuple[int, int] | None:
    """Return the smallest and the largest size in bytes that a listing shows as `text`.

    A number without unit is exact, however long: Apache rounds from 973 bytes on, but other
    servers print all digits.

    Returns:
        Both bounds, inclusive; or None if no size is shown so.

    >>> bounds_of("543M"), bounds_of("10M"), bounds_of("650")
    ((568852480, 569901055), (10433536, 11010047), (650, 650))
    """
    text = text.strip()
    if _EXACT.fullmatch(text):
        size = int(text)
        return (size, size) if size <= LARGEST_SIZE else None
    match = _ROUNDED.fullmatch(text)
    if match is None:
        return None
    whole, decimal, number, letter = match.groups()
    if number is None:
        low, high = _bounds_with_decimal(10 * int(whole) + int(decimal))
    else:
        low, high = _bounds_without_decimal(int(number))
    unit = 1024 ** _UNITS.index(letter)
    low, high = low * unit, min((high + 1) * unit - 1, LARGEST_SIZE)
    return (low, high) if low <= high else None


def fits(version: FileVersion, size_text: str, modified_text: str) -> bool:
    """Return whether this version may be the one that a listing shows so.

    Args:
        version: The version that a request found.
        size_text: `ListingItem.size_text`; fits any size if it is empty or can't be read.
        modified_text: `ListingItem.modified_text`, in the server's local time; fits any time
            if it is empty or can't be read.

    >>> fits(FileVersion(569_560_224, 1_738_957_790), "543M", "2025-02-07 19:49")
    True
    >>> fits(FileVersion(569_560_224, 1_738_957_790), "544M", "2025-02-07 19:49")
    False
    """
    bounds = bounds_of(size_text)
    if bounds is not None and not bounds[0] <= version.size <= bounds[1]:
        return False
    listed_s = _seconds_of(modified_text)
    if listed_s is None or version.modified_s is None:
        return True
    # The listing cuts the seconds off, and tells neither the zone nor whether it is summer.
    distance_s = version.modified_s - version.modified_s % 60 - listed_s
    return distance_s % _HOUR_S == 0 and abs(distance_s) <= _FURTHEST_ZONES_S


def _bounds_with_decimal(tenths: int) -> tuple[int, int]:
    """Return which counts of 1024ths print as that many tenths, both bounds inclusive."""
    # A rest r of 1024 gives (5 r + 256) // 512 tenths: both bounds are solved for r, rounded
    # up. Ten tenths of a whole are the next whole with none.
    whole, decimal = divmod(tenths, 10)
    low = 1024 * whole - (-(512 * decimal - 256) // 5)
    high = 1024 * whole - (-(512 * decimal + 256) // 5) - 1
    return max(low, _NEXT_UNIT), min(high, _LAST_WITH_DECIMAL)


def _bounds_without_decimal(number: int) -> tuple[int, int]:
    """Return which counts of 1024ths print as that whole number, both bounds inclusive."""
    low, high = 1024 * number - 512, 1024 * number + 511
    return max(low, _LAST_WITH_DECIMAL + 1), min(high, _LAST_IN_UNIT)


def _seconds_of(modified_text: str) -> int | None:
    """Return a listing's time in seconds since 1970, as if it were UTC; None if unreadable."""
    match = _MINUTE.fullmatch(modified_text)
    if match is None:
        return None
    year, month, day, hour, minute = map(int, match.groups())
    try:
        moment = datetime(year, month, day, hour, minute, tzinfo=timezone.utc)
    except ValueError:
        return None  # the 31st of February, or hour 25
    return int(moment.timestamp())
