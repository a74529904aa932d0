"""Makes what a field holds into what it should: texts, numbers, dates, lists. Never raises.

EMPIAR's answers have numbers as texts ("11520") and as numbers, null and "" for what isn't
known, texts that were escaped for XML twice, and paths with and without a slash in front.
What can't be read becomes None or "", and texts lose what would move a terminal's cursor.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterable, Mapping

# The longest text that is kept: READMEs are copied into `details`. Longer is cut.
_LONGEST = 100_000
_MOST_ITEMS = 10_000
_ESCAPED = re.compile(r"&(?:amp|lt|gt|quot|apos|#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6});")
_DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})(?:[T ].*)?")
_SIZE = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?)\s*(bytes?|[KMGTPE]?i?B)", re.IGNORECASE)
_ORCID = re.compile(r"[0-9]{4}-[0-9]{4}-[0-9]{4}-[0-9]{3}[0-9X]")
_DOI = re.compile(
    r"(?:https?://(?:dx\.)?doi\.org/|doi:)?(10\.[0-9]{4,9}/\S{1,500})", re.IGNORECASE
)
_POWERS = {letter: power for power, letter in enumerate("BKMGTPE")}
_LARGEST = 2**63 - 1


def text_of(value: object, *, lines: bool = False) -> str:
    r"""Return a text without control characters and blanks at its ends; "" for what is none.

    Args:
        value: Anything.
        lines: Keep line ends; else all of it becomes one line.

    >>> text_of("Molecular &amp; Cell\tBiology "), text_of(None), text_of(7)
    ('Molecular & Cell Biology', '', '7')
    """
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return ""
    text = str(value)[:_LONGEST] if isinstance(value, (str, float)) else _digits(value)
    text = _ESCAPED.sub(lambda found: html.unescape(found[0]), text)
    text = text.replace("\r\n", "\n")
    if text.isprintable():
        return text.strip() if lines else " ".join(text.split())
    return _printable(text, lines=lines)


def _digits(value: int) -> str:
    # Python refuses to print longer ones than some 4,000 digits.
    return str(value) if value.bit_length() <= 256 else ""


def _printable(text: str, *, lines: bool) -> str:
    shown = []
    for each in text:
        if each == "\n" and lines:
            shown.append(each)
        elif each.isspace():
            shown.append(" ")
        else:
            # U+200B and its like are left out: "Pol\u200bκ" would never be found.
            shown.append(each if each.isprintable() else "" if _joins(each) else "\ufffd")
    tidy = "".join(shown)
    return tidy.strip() if lines else " ".join(tidy.split())


def _joins(character: str) -> bool:
    return character in "\u200b\u200c\u200d\u2060\ufeff\u00ad"


def optional(value: object) -> str | None:
    """Return a text, or None if it is empty."""
    return text_of(value) or None


def number_of(value: object) -> float | None:
    """Return a number that is neither negative nor endless; None for anything else.

    >>> number_of("0.543"), number_of(3), number_of(""), number_of("NaN"), number_of(-1)
    (0.543, 3.0, None, None, None)
    """
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return None
    if isinstance(value, int) and value.bit_length() > 64:
        return None
    try:
        number = float(value[:64] if isinstance(value, str) else value)
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def length_of(value: object) -> float | None:
    """Return a length, of which 0 means that it isn't known."""
    return number_of(value) or None


def count_of(value: object) -> int | None:
    """Return a number of things; None if it isn't one, or more than fits 63 bits.

    >>> count_of("11520"), count_of(45), count_of(2.5), count_of(None)
    (11520, 45, None, None)
    """
    number = number_of(value)
    if number is None or number > _LARGEST or number != int(number):
        return None
    return int(number)


def date_of(value: object) -> str | None:
    """Return a date as year-month-day, or None; the time of day is left out.

    >>> date_of("2022-02-07"), date_of("2022-02-07T00:00:00"), date_of("soon"), date_of("")
    ('2022-02-07', '2022-02-07', None, None)
    """
    found = _DATE.fullmatch(text_of(value))
    if found is None or not 1 <= int(found[2]) <= 12 or not 1 <= int(found[3]) <= 31:
        return None
    return f"{found[1]}-{found[2]}-{found[3]}"


def year_of(value: object) -> int | None:
    """Return a year of four digits, or None."""
    year = count_of(value)
    return year if year is not None and 1000 <= year <= 9999 else None


def bytes_of(text: str) -> int | None:
    """Return how many bytes a size such as "1.9 TB" means, with units of 1024.

    >>> bytes_of("165.4 GB"), bytes_of("1 KB"), bytes_of("many")
    (177596897690, 1024, None)
    """
    found = _SIZE.fullmatch(text)
    if found is None:
        return None
    letter = "B" if found[2].lower().startswith("byte") else found[2][0].upper()
    size = round(float(found[1]) * 1024 ** _POWERS[letter])
    return size if size <= _LARGEST else None


def directory_of(value: object) -> str:
    """Return a path below an entry, without a slash at either end; "" if it is no such path.

    >>> directory_of("/data/x"), directory_of("data"), directory_of("./data//x/")
    ('data/x', 'data', 'data/x')
    >>> directory_of("../../etc")
    ''
    """
    parts = [part for part in text_of(value).split("/") if part not in ("", ".")]
    return "" if ".." in parts else "/".join(parts)


def orcid_of(value: object) -> str | None:
    """Return an ORCID, also out of its URL, or None."""
    found = _ORCID.search(text_of(value).upper())
    return found[0] if found else None


def doi_of(value: object) -> str | None:
    """Return a DOI without what people write in front of it, or None.

    >>> doi_of("https://doi.org/10.1038/s41467-021-26251-6")
    '10.1038/s41467-021-26251-6'
    """
    found = _DOI.fullmatch(text_of(value))
    return found[1] if found else None


def items_of(value: object) -> list[object]:
    """Return the items of a list; one that isn't in a list for a list of it."""
    if value is None:
        return []
    return list(value[:_MOST_ITEMS]) if isinstance(value, list) else [value]


def fields_of(value: object) -> Mapping[str, object]:
    """Return an object's fields; none for anything else."""
    return value if isinstance(value, dict) else {}


def unique(values: Iterable[str]) -> tuple[str, ...]:
    """Return what isn't empty, each once, in order."""
    return tuple(dict.fromkeys(value for value in values if value))
