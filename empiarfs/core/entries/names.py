"""What entries are called: the number behind a name, and the page of a number."""

from __future__ import annotations

from empiarfs.core.targets import entry_number, parse_target
from empiarfs.errors import ConfigError

_PAGE_URL = "https://www.ebi.ac.uk/empiar/EMPIAR-{}/"


def number_in_name(word: str) -> int | None:
    """Return the number of the entry that a word names, without anything behind it, or None.

    >>> number_in_name("EMPIAR-10934"), number_in_name("EMPIAR-STARFILETEST")
    (10934, None)
    """
    try:
        target = parse_target(word, "")
    except ConfigError:
        return None
    return None if target is None or "/" in target.path else entry_number(target.path)


def page_url(number: int) -> str:
    """Return the URL of an entry's page at EMPIAR.

    >>> page_url(10934)
    'https://www.ebi.ac.uk/empiar/EMPIAR-10934/'
    """
    return _PAGE_URL.format(number)
