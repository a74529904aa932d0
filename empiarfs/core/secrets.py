"""What of a URL may be shown to people: in messages, logs and `status`. Pure.

A password in a URL stands before the last `@`, wherever the other marks are: a person who
writes one forgets to encode the `/`, `#` or `:` in it, and then no parser finds it any more.
So whatever stands before an `@` is left out.
"""

from __future__ import annotations


def shown_url(url: str) -> str:
    """Return what may be shown of something that should be a URL, in quotes.

    >>> shown_url("https://example.org/a"), shown_url("https://ada:se/cret@example.org/a")
    ("'https://example.org/a'", "'…@example.org/a'")
    """
    return repr("…" + url[url.rindex("@") :] if "@" in url else url)
