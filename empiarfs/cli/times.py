"""What a time on the command line means."""

from __future__ import annotations

import re
from datetime import datetime

from empiarfs.config import parse_time
from empiarfs.errors import ConfigError


def since_from(text: str, now_s: float, option: str = "--since") -> float:
    """Return the time that `--since`, or another option, means, in seconds since 1970.

    >>> since_from("2h", 10_000.0)
    2800.0
    >>> since_from("@1234", 10_000.0)
    1234.0

    Raises:
        ConfigError: It is neither a time span, nor a date, nor `@` and a number.
    """
    if re.fullmatch(r"@\d{1,12}(\.\d{1,9})?", text):
        return float(text[1:])
    if re.fullmatch(r"[0-9.]+ *[A-Za-z]", text):
        try:
            return now_s - parse_time(text, least=0)
        except ValueError as exc:
            raise ConfigError(f"{option}: {exc}") from exc
    try:
        # Newer versions of Python take 20261121 as well, which may be a number of anything.
        if not re.match(r"\d{4}-\d\d-\d\d", text):
            raise ValueError
        # Python 3.10 doesn't know the Z of `date -u`.
        return datetime.fromisoformat(re.sub("[Zz]$", "+00:00", text)).timestamp()
    except (ValueError, OverflowError, OSError):
        raise ConfigError(
            f"{option}: {text!r} is no time; write 2h, 2026-11-21, 2026-11-21T14:30, "
            "what `date -Is` prints, or @SECONDS since 1970"
        ) from None
