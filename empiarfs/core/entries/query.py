"""What entries are searched for: words and filters, and how ranges are written.

2024-01..        from January 2024 on         0.5..1.2   from 0.5 to 1.2
..2023           until the end of 2023        1.0        exactly that
2022-03          in March 2022
"""

from __future__ import annotations

import calendar
import math
import re
from dataclasses import dataclass

_DATE = re.compile(r"([0-9]{4})(?:-([0-9]{1,2}))?(?:-([0-9]{1,2}))?")
_EMDB = re.compile(r"(?:EMD-?)?([0-9]{4,6})", re.IGNORECASE)
# A pixel size is as exact as it was rounded.
_EQUAL = 1e-6


@dataclass(frozen=True, slots=True)
class DateRange:
    """Days from `first` to `last`, both included, as "2024-01-31"."""

    first: str = "0000-00-00"
    last: str = "9999-99-99"


@dataclass(frozen=True, slots=True)
class NumberRange:
    """Numbers from `least` to `most`, both included."""

    least: float = 0.0
    most: float = math.inf


@dataclass(frozen=True, slots=True)
class Query:
    """What to search for; of an entry all of it must hold, and of one image set all of its part.

    Attributes:
        words: Each must occur, or begin a word, somewhere in what is known of the entry.
        emdb: A related entry of EMDB, as "EMD-12602".
        experiment_type: Such as "EMDB"; without regard to case, and so the next two.
        data_format: Of an image set, such as "EER".
        category: Of an image set, or a part of it.
        min_size: Bytes; an entry whose size isn't known doesn't match, and so the others.
        max_size: Bytes.
        released: When.
        pixel: Of an image set, in Å.
    """

    words: tuple[str, ...] = ()
    emdb: str | None = None
    experiment_type: str | None = None
    data_format: str | None = None
    category: str | None = None
    min_size: int | None = None
    max_size: int | None = None
    released: DateRange | None = None
    pixel: NumberRange | None = None


def parse_dates(text: str) -> DateRange:
    """Return the days that a text stands for.

    Raises:
        ValueError: It isn't a year, a month, a day, or a range of them.

    >>> parse_dates("2024-02")
    DateRange(first='2024-02-01', last='2024-02-29')
    >>> parse_dates("2024-01..").first, parse_dates("..2023").last
    ('2024-01-01', '2023-12-31')
    """
    first, dots, last = text.strip().partition("..")
    if not (first or last):
        raise ValueError(_dates_problem(text))
    if not dots:
        last = first
    begin = _days(first, text)[0] if first else DateRange().first
    end = _days(last, text)[1] if last else DateRange().last
    if begin > end:
        raise ValueError(f"the range {text!r} ends before it begins")
    return DateRange(begin, end)


def _days(text: str, whole: str) -> tuple[str, str]:
    found = _DATE.fullmatch(text)
    if found is None:
        raise ValueError(_dates_problem(whole))
    year, month, day = int(found[1]), found[2], found[3]
    months = (int(month), int(month)) if month else (1, 12)
    if not year or not 1 <= months[0] <= 12:
        raise ValueError(_dates_problem(whole))
    longest = calendar.monthrange(year, months[1])[1]
    days = (int(day), int(day)) if day else (1, longest)
    if not 1 <= days[0] <= longest:
        raise ValueError(_dates_problem(whole))
    return f"{year:04}-{months[0]:02}-{days[0]:02}", f"{year:04}-{months[1]:02}-{days[1]:02}"


def _dates_problem(text: str) -> str:
    return f"{text!r} is no date or range of dates, such as 2024, 2024-01.., 2022-03..2023-06"


def parse_numbers(text: str) -> NumberRange:
    """Return the numbers that a text stands for.

    Raises:
        ValueError: It isn't a number, or a range of them.

    >>> parse_numbers("0.5..")
    NumberRange(least=0.4999995, most=inf)
    """
    first, dots, last = text.strip().partition("..")
    try:
        least = float(first) if first else 0.0
        most = (float(last) if last else math.inf) if dots else least
    except ValueError:
        least = math.nan
        most = math.nan
    if not (first or last) or not 0 <= least <= most:
        raise ValueError(f"{text!r} is no number or range of numbers, such as 0.5..1.2")
    return NumberRange(least * (1 - _EQUAL), most * (1 + _EQUAL))


def parse_emdb(text: str) -> str:
    """Return the name of an entry of EMDB.

    Raises:
        ValueError: It isn't one.

    >>> parse_emdb("emd-12602"), parse_emdb("12602")
    ('EMD-12602', 'EMD-12602')
    """
    found = _EMDB.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is no entry of EMDB, such as EMD-12602")
    return f"EMD-{found[1]}"
