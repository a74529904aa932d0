"""Patterns for names and paths, turned into regular expressions: a shell's and rsync's.

What both share:

    ?        one character that is no slash
    [a-z]    one of these, that is no slash; `[!…]` or `[^…]` none of these; `[:alpha:]` and
             the other classes of POSIX, of ASCII, within
    backslash  the next character as it is
    *        any number of characters without a slash

and what differs:

    **       in a shell's, as a whole component, any number of directories, also none; else
             the same as `*`. In rsync's, any characters, also slashes.
    [abc     not closed: in a shell's the bracket itself; rsync's matches nothing then

No name is special: `*` matches one that begins with a dot, too.

Pure functions, safe from any thread.
"""

from __future__ import annotations

import re

LONGEST = 4096
"""Characters that a pattern may have; no path is longer."""

_NOTHING = r"(?!)"
_CLASSES = {
    "alnum": "a-zA-Z0-9",
    "alpha": "a-zA-Z",
    "blank": " \\t",
    "cntrl": "\\x00-\\x1f\\x7f",
    "digit": "0-9",
    "graph": "\\x21-\\x7e",
    "lower": "a-z",
    "print": "\\x20-\\x7e",
    "punct": "\\x21-/:-@\\[-`{-~",
    "space": " \\t\\n\\r\\f\\v",
    "upper": "A-Z",
    "xdigit": "0-9a-fA-F",
}


def compile_glob(pattern: str, *, ignore_case: bool = False) -> re.Pattern[str]:
    """Return an expression that matches, as a whole, what a shell's pattern matches.

    Args:
        pattern: For a name, or with slashes for a path; `**` as a component stands for any
            number of directories.
        ignore_case: `a` matches `A`.

    Raises:
        ValueError: It is too long.

    >>> bool(compile_glob("*.mrc").fullmatch("x.mrc"))
    True
    >>> [bool(compile_glob("a/**/x").fullmatch(path)) for path in ("a/x", "a/b/c/x", "ab/x")]
    [True, True, False]
    """
    _check(pattern)
    parts = re.sub("/+", "/", pattern).split("/")
    text = ""
    for number, part in enumerate(parts):
        is_last = number == len(parts) - 1
        if part == "**":
            text += r"(?:[^/]+/)*[^/]+" if is_last else r"(?:[^/]+/)*"
        else:
            text += _translate(part, double=False) + ("" if is_last else "/")
    return re.compile(text, re.DOTALL | (re.IGNORECASE if ignore_case else 0))


def compile_rsync(pattern: str) -> re.Pattern[str]:
    """Return an expression that matches, as a whole, what rsync's wildcards match.

    Raises:
        ValueError: It is too long.
    """
    _check(pattern)
    return re.compile(_translate(pattern, double=True), re.DOTALL)


def _check(pattern: str) -> None:
    if len(pattern) > LONGEST:
        raise ValueError(f"a pattern of {len(pattern)} characters is too long")


def _translate(pattern: str, *, double: bool) -> str:
    """Return the expression for a pattern; `double`: two stars match slashes, too."""
    text, at = "", 0
    while at < len(pattern):
        character = pattern[at]
        if character == "*":
            stars = re.compile(r"\*+").match(pattern, at)
            at = stars.end() if stars else at
            text += ".*" if double and stars and len(stars[0]) > 1 else "[^/]*"
            continue
        at += 1
        if character == "?":
            text += "[^/]"
        elif character == "[":
            found = _bracket(pattern, at)
            if found is None and double:
                return _NOTHING
            expression, at = found or (re.escape("["), at)
            text += expression
        elif character == "\\":
            if at == len(pattern):
                # A shell takes it as it is; to rsync something is missing.
                text += _NOTHING if double else re.escape("\\")
            else:
                text += re.escape(pattern[at])
                at += 1
        else:
            text += re.escape(character)
    return text


def _bracket(pattern: str, at: int) -> tuple[str, int] | None:
    """Return the expression for what begins at `at`, behind a bracket, and where it ends.

    Returns:
        None if it isn't closed.
    """
    negated = pattern[at : at + 1] in ("!", "^")
    at += negated
    kinds: list[str] = []
    is_first = True
    while at < len(pattern):
        character = pattern[at]
        if character == "]" and not is_first:
            return _class(kinds, negated=negated), at + 1
        is_first = False
        named = re.compile(r"\[:([a-z]*):\]").match(pattern, at)
        if named is not None:
            # One that there isn't matches nothing.
            kinds.append(_CLASSES.get(named[1], ""))
            at = named.end()
            continue
        low, at = _member(pattern, at)
        high = low
        if pattern[at : at + 1] == "-" and pattern[at + 1 : at + 2] not in ("", "]"):
            high, at = _member(pattern, at + 1)
        if low <= high:
            kinds.append(f"{re.escape(low)}-{re.escape(high)}")
    return None


def _member(pattern: str, at: int) -> tuple[str, int]:
    """Return the character at `at`, and where the next begins; a backslash is for the next."""
    if pattern[at] == "\\" and at + 1 < len(pattern):
        return pattern[at + 1], at + 2
    return pattern[at], at + 1


def _class(kinds: list[str], *, negated: bool) -> str:
    inside = "".join(kinds)
    if not inside:
        return "[^/]" if negated else _NOTHING
    return f"(?!/)[{'^' * negated}{inside}]"


class PathGlob:
    """A pattern for paths, as the shell expands one.

    Attributes:
        base: The components before the first with a wildcard, which is where to begin.
        pattern: The others.
    """

    def __init__(self, base: str, pattern: str) -> None:
        self.base = base
        self.pattern = pattern
        self._whole = compile_glob(pattern)
        self._parts = [None if part == "**" else compile_glob(part) for part in pattern.split("/")]

    def matches(self, below: str) -> bool:
        """Tell whether a path below the base matches as a whole."""
        return self._whole.fullmatch(below) is not None

    def may_lead_to_one(self, below: str) -> bool:
        """Tell whether something in this directory below the base may match.

        >>> glob = PathGlob("10934/data", "m*/**/x.mrc")
        >>> [glob.may_lead_to_one(path) for path in ("movies", "movies/a/b", "other")]
        [True, True, False]
        """
        names = below.split("/")
        for name, part in zip(names, self._parts, strict=False):
            if part is None:
                return True
            if part.fullmatch(name) is None:
                return False
        return len(names) < len(self._parts)


def path_glob(path: str) -> PathGlob | None:
    """Return the pattern that a path is; None if it has no wildcards.

    Raises:
        ValueError: It is too long.

    >>> glob = path_glob("10934/data/*/x.mrc")
    >>> (glob.base, glob.pattern) if glob else None
    ('10934/data', '*/x.mrc')
    """
    parts = path.split("/")
    first = next((i for i, part in enumerate(parts) if re.search(r"[*?[]", part)), None)
    if first is None:
        return None
    return PathGlob("/".join(parts[:first]), "/".join(parts[first:]))
