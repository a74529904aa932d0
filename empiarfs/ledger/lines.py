"""A ledger's lines: what they say, and how they are written. Pure.

    3f2a91c0 {"line":"refusal","at_s":1795258516.2,"call":"read","path":"10017/data/a.mrc",…}
    ──┬───── ───────────────────────────────────┬─────────────────────────────────────────
      CRC-32 of the JSON                          ASCII; odd bytes of names are escaped

A line that was torn by a full disk or a crash, or that somebody has changed, doesn't fit its
checksum and is passed over; so is one of a kind that a later release may write.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

# More than any of our messages; a name may be 4 KiB and is kept whole.
_LONGEST_CAUSE = 500
_LONGEST_PROGRAM = 64
# Refusals that are nearer than this in a file are one: the kernel repeats a failed read in
# other sizes, and a program that goes on gets hundreds of them.
_NEAR = 16 * 1024 * 1024

# What those have in common that count as one.
Key = tuple[str, str, str, str, int]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Calls that were answered with an error, for one reason and near to each other.

    Attributes:
        at_s: When the first was, in seconds since 1970.
        call: What was called: "read", "stat", "open", "opendir" …
        path: Below the mount point.
        errno: The error's name, such as "EIO".
        cause: Why, in words.
        kind: The class of the cause.
        offset: Where the lowest read began, in bytes; None unless something was read.
        size: Bytes from there to the end of the highest.
        count: How many there were; the kernel's own repeats count too.
        last_s: When the last was.
        pid: The process of the first; 0 if it can't be known.
        program: Its name, or "".
    """

    at_s: float
    call: str
    path: str
    errno: str
    cause: str
    kind: str = ""
    offset: int | None = None
    size: int | None = None
    count: int = 1
    last_s: float = 0.0
    pid: int = 0
    program: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "last_s", max(self.at_s, self.last_s))
        object.__setattr__(self, "cause", self.cause[:_LONGEST_CAUSE])
        object.__setattr__(self, "program", self.program[:_LONGEST_PROGRAM])

    @property
    def key(self) -> Key:
        """What those have in common that count as one."""
        near = -1 if self.offset is None else self.offset // _NEAR
        return self.call, self.path, self.errno, self.kind, near

    @property
    def end(self) -> int | None:
        """Where the highest read would have ended; None unless something was read."""
        return None if self.offset is None else self.offset + (self.size or 0)

    def and_then(self, later: Refusal) -> Refusal:
        """Return both as one; they have the same key."""
        offset, end = self.offset, self.end
        if offset is not None and end is not None and later.offset is not None:
            offset = min(offset, later.offset)
            end = max(end, later.end or 0)
        return replace(
            self,
            offset=offset,
            size=None if offset is None or end is None else end - offset,
            count=self.count + later.count,
            last_s=max(self.last_s, later.last_s),
        )


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened to the mount or to the ledger.

    Attributes:
        at_s: When, in seconds since 1970.
        what: "mounted"; "unmounted"; "dropped", when lines older than this were thrown away
            for want of room.
        pid: The daemon.
        mounted_s: When it was mounted, which with `pid` names the mount.
        mount_point: Where.
        host: The machine.
    """

    at_s: float
    what: Literal["mounted", "unmounted", "dropped"]
    pid: int
    mounted_s: float
    mount_point: str
    host: str


Line = Refusal | Mark
_KINDS: dict[str, type[Refusal] | type[Mark]] = {"refusal": Refusal, "mark": Mark}
_TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "float": (int, float),
    "int | None": (int, type(None)),
}


def encoded(line: Line) -> bytes:
    """Return a line as it stands in the file, with its end."""
    text = json.dumps(to_values(line), separators=(",", ":")).encode("ascii")
    return b"%08x %s\n" % (zlib.crc32(text), text)


def decoded(raw: bytes) -> Iterator[Line]:
    """Yield what the lines of a file say; those that are damaged are passed over."""
    for each in raw.split(b"\n"):
        checksum, _, text = each.partition(b" ")
        if len(checksum) != 8 or checksum != b"%08x" % zlib.crc32(text):
            continue
        try:
            line = from_values(json.loads(text))
        except (ValueError, RecursionError):
            continue
        if line is not None:
            yield line


def to_values(line: Line) -> dict[str, Any]:
    """Return a line as values that JSON can hold."""
    kind = "refusal" if isinstance(line, Refusal) else "mark"
    return {"line": kind, **asdict(line)}


def from_values(values: object) -> Line | None:
    """Return the line that `to_values` has made these of; None if it is none."""
    if not isinstance(values, Mapping):
        return None
    made = _KINDS.get(str(values.get("line")))
    if made is None:
        return None
    known = {field.name: values[field.name] for field in fields(made) if field.name in values}
    if not all(_fits(made, name, value) for name, value in known.items()):
        return None
    try:
        return made(**known)
    except TypeError:
        return None


def _fits(made: type[Refusal] | type[Mark], name: str, value: object) -> bool:
    annotation = str(made.__annotations__[name])
    # Only words that this release knows come out as a literal.
    if annotation.startswith("Literal"):
        return value in ("mounted", "unmounted", "dropped")
    return isinstance(value, _TYPES[annotation]) and not isinstance(value, bool)
