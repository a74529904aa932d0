"""Parsers of what a person writes as a setting's value. Pure but for looking up users.

Each takes the text and returns the value, or raises ValueError with what is wrong and what
would be right. The caller knows which setting it was and where it stood, and says so.
"""

from __future__ import annotations

import difflib
import math
import os
import re
from collections.abc import Callable, Collection, Iterable
from ipaddress import ip_address
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

from empiarfs.core.secrets import shown_url

_NUMBER = re.compile(r"(\d+(?:\.\d+)?|\.\d+) *([A-Za-z/]*)", re.ASCII)
_SIZE_UNITS = {unit: 1024**power for power, unit in enumerate(("", "K", "M", "G", "T", "P"))}
_TIME_UNITS = {"": 1, "S": 1, "M": 60, "H": 3600, "D": 86400}
_PORT = re.compile(r"[0-9]{1,5}", re.ASCII)
_MOST_PORT = 65535
_YES = frozenset(("yes", "true", "on", "1", ""))
_NO = frozenset(("no", "false", "off", "0"))
# Printable ASCII without what ends a URL in text; the rest has to be percent-encoded.
_URL_CHARACTERS = re.compile(r"[!#-;=?-\[\]_a-z~]+", re.ASCII)
LOG_LEVELS = ("debug", "info", "warning", "error")


def parse_size(text: str, *, least: int) -> int:
    """Return a number of bytes from "20G", "1.5T", "500MB" or "1048576".

    Units are powers of 1024, with or without "B" or "iB".

    >>> parse_size("1.5K", least=1)
    1536
    """
    number, unit = _split(text) or _refuse(f"{text!r} is no size; write 20G, 500M or bytes")
    factor = _SIZE_UNITS.get(re.sub("I?B$", "", unit))
    if factor is None:
        raise ValueError(f"{text!r} has no unit of size; use K, M, G, T or P (powers of 1024)")
    size = number * factor
    if size >= 2**63:
        raise ValueError(f"{text!r} is too large")
    if factor == 1 and size != int(size):
        raise ValueError(f"{text!r} is no whole number of bytes")
    if size < least:
        raise ValueError(f"{text!r} is too small; at least {size_words(least)} are needed")
    return int(size)


def parse_rate(text: str, *, least: int) -> int | None:
    """Return bytes per second from "10M", "500K/s" or "2MB/s"; None for "none".

    >>> parse_rate("10M/s", least=1)
    10485760
    """
    if text.strip().lower() in ("none", "off", "unlimited"):
        return None
    if re.search(r"bit|bps|[KMGTP]b", text):
        raise ValueError(f"{text!r} seems to be in bits; a rate is in bytes per second, as 10M")
    return parse_size(re.sub(r"(?<=[A-Za-z0-9 ])/s$", "", text.strip()), least=least)


def parse_share(text: str, *, most: float) -> float:
    """Return a share of 1 from "5%", "2.5 %" or "5", which is in per cent as well.

    >>> parse_share("5%", most=1.0)
    0.05
    """
    match = re.fullmatch(r"(\d{1,3}(?:\.\d{1,6})?) ?%?", text.strip(), re.ASCII)
    if match is None:
        raise ValueError(f"{text!r} is no share; write per cent, as 5%")
    share = float(match[1]) / 100
    if share > most:
        raise ValueError(f"{text!r} is too much; at most {most:.0%} are possible")
    return share


def parse_time(text: str, *, least: float, most: float = math.inf) -> float:
    """Return seconds from "90", "90s", "15m", "2h" or "1d"; infinity for "forever".

    >>> parse_time("15m", least=1)
    900
    """
    if text.strip().lower() == "forever" and most == math.inf:
        return math.inf
    example = "90s, 15m, 2h or forever" if most == math.inf else f"{most:g}s or less"
    number, unit = _split(text) or _refuse(f"{text!r} is no time; write {example}")
    factor = _TIME_UNITS.get(unit)
    if factor is None:
        raise ValueError(f"{text!r} has no unit of time; use s, m, h or d")
    if number * factor < least:
        raise ValueError(f"{text!r} is too short; at least {least:g}s are needed")
    if number * factor > most:
        raise ValueError(f"{text!r} is too long; at most {most:g}s are possible")
    return number * factor


def parse_count(text: str, *, least: int, most: int) -> int:
    """Return a whole number between `least` and `most`."""
    if not re.fullmatch(r"\d{1,9}", text.strip(), re.ASCII):
        raise ValueError(f"{text!r} is no whole number")
    count = int(text)
    if not least <= count <= most:
        raise ValueError(f"{text!r} isn't between {least} and {most}")
    return count


def parse_flag(text: str) -> bool:
    """Return whether a flag is set; a flag without a value is."""
    word = text.strip().lower()
    if word not in _YES | _NO:
        raise ValueError(f"{text!r} is neither yes nor no")
    return word in _YES


def parse_url(text: str) -> str:
    """Return an http or https URL with a trailing slash, as requests are built on it.

    >>> parse_url("HTTPS://example.org/empiar")
    'https://example.org/empiar/'
    """
    url = text.strip()
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        # What urllib says of it may hold a password.
        raise ValueError("the URL can't be read; write https://host/path/") from None
    if "@" in parts.netloc:
        raise ValueError("the URL holds a user name or password; empiarfs doesn't log in")
    shown = shown_url(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{shown} is no URL of a web server; it begins with https:// or http://")
    if parts.query or parts.fragment or url.endswith(("?", "#")):
        raise ValueError(f"{shown} has a query or fragment; leave out what follows ? or #")
    rest = url[url.index(":") :]
    if not _URL_CHARACTERS.fullmatch(rest):
        raise ValueError(f"{shown} holds blanks or other characters to be percent-encoded")
    return parts.scheme + rest.rstrip("/") + "/"


def parse_path(text: str, *, base: Path | None, home: Path) -> Path:
    """Return an absolute path; "~" and "~user" are home directories.

    Args:
        text: The path as written.
        base: The directory that a relative path starts from; None if there can't be one.
        home: The user's home directory.
    """
    if not text or "\0" in text:
        raise ValueError("no path")
    if text == "~" or text.startswith("~/"):
        return home / text[2:]
    if text.startswith("~"):
        expanded = os.path.expanduser(text)
        if expanded == text:
            raise ValueError(f"{text!r}: there is no such user; write ./{text} for a file")
        return Path(expanded)
    if base is None and not text.startswith("/"):
        raise ValueError(f"{text!r} must begin with / or ~/ here")
    return (base or home) / text


def split_paths(text: str) -> list[str]:
    r"""Return the paths of a text in which they are joined by ":"; one in a path is `\:`.

    >>> split_paths(r"/a:/b\:c:/d\e")
    ['/a', '/b:c', '/d\\e']
    """
    found = re.findall(r"(?:\\[\\:]|[^:])+", text)
    return [re.sub(r"\\([\\:])", r"\1", each) for each in found]


def join_paths(paths: Iterable[str]) -> str:
    """Return the text that `split_paths` takes apart."""
    return ":".join(re.sub(r"([\\:])", r"\\\1", path) for path in paths)


def parse_choice(text: str, choices: tuple[str, ...]) -> str:
    """Return `text` in lower case if it is one of `choices`."""
    word = text.strip().lower()
    if word not in choices:
        raise ValueError(f"{text!r} is none of {', '.join(choices)}")
    return word


def parse_listener(text: str) -> str:
    """Return where a server is to listen, as `ADDRESS:PORT`.

    An address is one of the machine's own, not a name; without it only programs of this
    machine can reach the server. 0 is any free port.

    Raises:
        ValueError: It is none.

    >>> parse_listener("9464"), parse_listener("localhost:9464"), parse_listener("[::1]:9464")
    ('127.0.0.1:9464', '127.0.0.1:9464', '[::1]:9464')
    """
    address, _, port = text.strip().rpartition(":")
    if not _PORT.fullmatch(port) or int(port) > _MOST_PORT:
        _refuse("must end in a port, such as 127.0.0.1:9464")
    if address in ("", "localhost"):
        return f"127.0.0.1:{int(port)}"
    is_bracketed = address.startswith("[") and address.endswith("]")
    try:
        found = ip_address(address[1:-1] if is_bracketed else address)
    except ValueError:
        _refuse("must be an address and a port, such as 127.0.0.1:9464 or [::1]:9464")
    if is_bracketed != (found.version == 6):
        _refuse("needs brackets around an IPv6 address, as [::1]:9464")
    return f"[{found}]:{int(port)}" if is_bracketed else f"{found}:{int(port)}"


def parse_mask(text: str) -> int:
    """Return permission bits from octal digits such as 022."""
    if not re.fullmatch(r"0?[0-7]{1,3}", text.strip(), re.ASCII):
        raise ValueError(f"{text!r} is no umask; write octal digits, as 022")
    return int(text, 8)


def parse_owner(text: str, look_up: Callable[[str], int]) -> int:
    """Return a user's or group's number from the number or the name.

    Args:
        text: Number or name.
        look_up: Returns the number for a name; KeyError if there is none.
    """
    word = text.strip()
    if re.fullmatch(r"\d{1,10}", word, re.ASCII):
        number = int(word)
        # The largest number means "leave it as it is" in system calls.
        if number >= 2**32 - 1:
            raise ValueError(f"{text!r} is too large")
        return number
    try:
        return look_up(word)
    except (KeyError, ValueError, UnicodeError):
        raise ValueError(f"{text!r} is neither a number nor a known name") from None


def size_words(size: int) -> str:
    """Return a size as `parse_size` reads it, as short as it is exact.

    >>> size_words(20 * 1024**3), size_words(1000)
    ('20G', '1000')
    """
    unit = next((u for u, f in reversed(_SIZE_UNITS.items()) if size >= f and size % f == 0), "")
    return f"{size // _SIZE_UNITS[unit]}{unit}"


def nearest(name: str, names: Collection[str]) -> str:
    """Return a hint at the name that was probably meant, or nothing.

    >>> nearest("cache_sise", ["cache_size", "wait"])
    '; did you mean cache_size?'
    """
    found = difflib.get_close_matches(name, sorted(names), 1, 0.6)
    return f"; did you mean {found[0]}?" if found else ""


def _split(text: str) -> tuple[float, str] | None:
    """Return number and unit in upper case; None if it is something else."""
    match = _NUMBER.fullmatch(text.strip())
    if match is None or len(match[1]) > 30:
        return None
    number = float(match[1]) if "." in match[1] else int(match[1])
    return number, match[2].upper()


def _refuse(message: str) -> NoReturn:
    raise ValueError(message)
