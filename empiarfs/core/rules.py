"""Which paths `--include` and `--exclude` leave: rsync's rules, in rsync's order.

The rules are looked through in the order in which they were given, and the first that
matches decides; what none matches is included. A directory that is excluded is not entered,
so nothing below it can be included again.

    pattern        matches
    -------------  -----------------------------------------------------------------
    name           the last component of any path
    a/name         the last components of any path
    /a/name        exactly this path, from where the search begins
    name/          only a directory
    a**name        slashes, too; from the beginning of any component on
    dir/***        the directory, and all that is in it

Without `*`, `?` and `[` a pattern is a text, in which a backslash is a character like any
other (`empiarfs.core.globs` has the rest).

Pure functions, safe from any thread.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from empiarfs.core.globs import compile_rsync


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule.

    Attributes:
        includes: Whether what it matches is included; else excluded.
        pattern: As it was given.

    Raises:
        ValueError: There is no pattern, or it is too long.
    """

    includes: bool
    pattern: str
    _expression: re.Pattern[str] = field(init=False, repr=False, compare=False)
    _of_name: bool = field(init=False, repr=False, compare=False)
    _prefix: str = field(init=False, repr=False, compare=False)
    _ends_in_all: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.pattern:
            raise ValueError("an empty pattern matches nothing")
        body = self.pattern[:-1] if self._is_of_directories else self.pattern
        is_wild = re.search(r"[*?[]", body) is not None
        reaches = is_wild and "**" in body
        text = body.removeprefix("/")
        expression = compile_rsync(text).pattern if is_wild else re.escape(text)
        if not body.startswith("/") and not body.startswith("**"):
            expression = rf"(?:.*/)?{expression}"
        set_ = object.__setattr__
        set_(self, "_expression", re.compile(expression, re.DOTALL))
        set_(self, "_of_name", "/" not in body and not reaches)
        # So that `**/x` matches at the beginning, too.
        set_(self, "_prefix", "/" * (reaches and body.startswith("**")))
        set_(self, "_ends_in_all", is_wild and body.endswith("***"))

    @property
    def _is_of_directories(self) -> bool:
        return len(self.pattern) > 1 and self.pattern.endswith("/")

    def matches(self, path: str, *, is_directory: bool) -> bool:
        """Tell whether the rule is one for this path.

        Args:
            path: From where the search begins, without a slash at either end.
            is_directory: Whether it is a directory.
        """
        if self._is_of_directories and not is_directory and not self._ends_in_all:
            return False
        text = path.rpartition("/")[2] if self._of_name else self._prefix + path
        if is_directory and self._ends_in_all:
            text += "/"
        return self._expression.fullmatch(text) is not None


def is_included(rules: Iterable[Rule], path: str, *, is_directory: bool) -> bool:
    """Return what the first matching rule says of a path, whose parents are included.

    >>> rules = [Rule(True, "*.mrc"), Rule(False, "*")]
    >>> [is_included(rules, name, is_directory=False) for name in ("x.mrc", "x.txt")]
    [True, False]
    """
    for rule in rules:
        if rule.matches(path, is_directory=is_directory):
            return rule.includes
    return True
