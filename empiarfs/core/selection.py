"""Which of the things found are wanted, by name, kind, size and time.

A listing's row tells the size in four characters and the time by the minute of an unknown
zone. Mostly that is enough to say yes or no; only where it isn't does anybody have to ask
the archive for the exact ones, which costs a request for each file.

Pure functions, safe from any thread.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from empiarfs.core import sizes
from empiarfs.core.globs import compile_glob
from empiarfs.core.rules import Rule, is_included

# A listing's minute and an exact time may lie in any two zones of the world.
_ZONES_S = 26 * 3600 + 60
_MOST = 2**63


@dataclass(frozen=True, slots=True)
class SizeRange:
    """Sizes that are wanted, in bytes: `low <= size <= high`."""

    low: int = 0
    high: int = _MOST

    def verdict(self, low: int, high: int) -> bool | None:
        """Tell whether a size between these bounds is wanted; None if that depends."""
        if self.low <= low and high <= self.high:
            return True
        if high < self.low or self.high < low:
            return False
        return None


def parse_size_range(text: str, parse: Callable[[str], int]) -> SizeRange:
    """Return the sizes that `--size` means.

    Args:
        text: `A..B` (both included, either may be left out), `+A` (more than), `-A` (less
            than), or `A` (exactly).
        parse: Returns the bytes of a text such as `20M`.

    Raises:
        ValueError: It is none of these.

    >>> parse_size_range("1..", int), parse_size_range("-5", int)
    (SizeRange(low=1, high=9223372036854775808), SizeRange(low=0, high=4))
    """
    low, dots, high = text.partition("..")
    if dots:
        found = SizeRange(parse(low) if low else 0, parse(high) if high else _MOST)
        if found.low > found.high or not (low or high):
            raise ValueError(f"{text!r} is no range of sizes; write 10M..2G, 10M.. or ..2G")
        return found
    if text.startswith("+"):
        return SizeRange(low=parse(text[1:]) + 1)
    if text.startswith("-"):
        return SizeRange(high=parse(text[1:]) - 1)
    return SizeRange(parse(text), parse(text))


@dataclass(frozen=True, slots=True)
class Selection:
    """What is wanted; everything unless it says something else.

    Attributes:
        rules: Of rsync's kind, by paths; an excluded directory is not entered.
        globs: A name has to match one of these as a whole, if there are any.
        path_globs: Or a path one of these.
        expressions: One of these has to be found in the path, if there are any.
        kind: "f" for files only, "d" for directories only; "" for both.
        size: Of files; no directory is wanted then. None for any.
        newer_s: Changed after this, in seconds since 1970. None for any.
    """

    rules: tuple[Rule, ...] = ()
    globs: tuple[re.Pattern[str], ...] = ()
    path_globs: tuple[re.Pattern[str], ...] = ()
    expressions: tuple[re.Pattern[str], ...] = ()
    kind: str = ""
    size: SizeRange | None = None
    newer_s: float | None = None

    def includes(self, below: str, *, is_directory: bool) -> bool:
        """Tell whether the rules leave it: a directory is entered then.

        Args:
            below: The path from where the search begins.
            is_directory: Whether it is a directory.
        """
        return is_included(self.rules, below, is_directory=is_directory)

    def names(self, below: str, *, is_directory: bool) -> bool:
        """Tell whether its name and kind are wanted."""
        if self.kind and (self.kind == "d") != is_directory:
            return False
        if self.globs or self.path_globs:
            name = below.rpartition("/")[2]
            if not (
                any(glob.fullmatch(name) for glob in self.globs)
                or any(glob.fullmatch(below) for glob in self.path_globs)
            ):
                return False
        return not self.expressions or any(each.search(below) for each in self.expressions)

    def wanted_name(self) -> Callable[[str], object] | None:
        """Return what tells of a file's name that the file may be wanted; None if any may be."""
        if not self.globs or self.path_globs:
            return None
        if len(self.globs) == 1:
            return self.globs[0].fullmatch
        return lambda name: any(glob.fullmatch(name) for glob in self.globs)

    def verdict(self, size_text: str, listed_s: int | None, *, is_directory: bool) -> bool | None:
        """Tell whether size and time are wanted; None if the listing can't tell.

        Args:
            size_text: The listing's size.
            listed_s: The listing's minute as if it were UTC, in seconds since 1970, or None.
            is_directory: Whether it is a directory, which has no exact time.
        """
        if is_directory:
            return self.size is None and self._is_newer(listed_s)
        verdicts = []
        if self.size is not None:
            bounds = sizes.bounds_of(size_text) if size_text else None
            verdicts.append(self.size.verdict(*(bounds or (0, _MOST))))
        if self.newer_s is not None:
            verdicts.append(self._may_be_newer(listed_s))
        if False in verdicts:
            return False
        return None if None in verdicts else True

    def accepts(self, size: int, modified_s: int | None) -> bool:
        """Tell whether a file of this exact size and time is wanted."""
        if self.size is not None and not self.size.low <= size <= self.size.high:
            return False
        return self._is_newer(modified_s)

    def _is_newer(self, modified_s: int | None) -> bool:
        return self.newer_s is None or (modified_s is not None and modified_s > self.newer_s)

    def _may_be_newer(self, listed_s: int | None) -> bool | None:
        if self.newer_s is None or listed_s is None:
            return None
        if listed_s - _ZONES_S > self.newer_s:
            return True
        return None if listed_s + _ZONES_S > self.newer_s else False


def sorted_globs(
    patterns: tuple[str, ...], *, ignore_case: bool
) -> tuple[tuple[re.Pattern[str], ...], tuple[re.Pattern[str], ...]]:
    """Return the expressions of patterns for names, and of those for paths.

    Raises:
        ValueError: One is too long.
    """
    of_names = [each for each in patterns if "/" not in each]
    of_paths = [each.strip("/") for each in patterns if "/" in each]
    return (
        tuple(compile_glob(each, ignore_case=ignore_case) for each in of_names),
        tuple(compile_glob(each, ignore_case=ignore_case) for each in of_paths),
    )
