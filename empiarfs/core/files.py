"""What a file of the archive is called, and which version of it is meant."""

from __future__ import annotations

from dataclasses import dataclass, field
from email.utils import formatdate
from hashlib import blake2b

from empiarfs.core.blocks import BlockIndex


@dataclass(frozen=True, slots=True)
class FileVersion:
    """One version of a file's content, as far as the archive lets us tell.

    Size and Last-Modified name the version. An ETag counts only where Last-Modified is
    missing: Apache's turns from weak to strong a second after writing, and the back ends
    behind EMPIAR's balancer may differ in it for one and the same file.

    Attributes:
        size: Bytes, exact.
        modified_s: Last-Modified in seconds since 1970 (UTC), or None if there was none.
        etag: The opaque tag without `W/` and quotes where `modified_s` is None; else None.
    """

    size: int
    modified_s: int | None
    etag: str | None = None

    def __post_init__(self) -> None:
        if self.size < 0:
            raise ValueError(f"a file can't have {self.size} bytes")
        if self.modified_s is not None and self.etag is not None:
            raise ValueError("an ETag names a version only where Last-Modified is missing")

    def __str__(self) -> str:
        """Return a short text that differs for different versions; used in cache keys."""
        if self.modified_s is not None:
            return f"{self.size:x}-{self.modified_s:x}"
        # Hashed, since a server may put anything into an ETag, and a file's name may hold
        # what looks like a version.
        tag = blake2b((self.etag or "").encode("utf-8", "surrogateescape"), digest_size=16)
        return f"{self.size:x}-etag-{tag.hexdigest()}"

    @property
    def validator(self) -> str:
        """The validator for people: the Last-Modified date, else the ETag, else nothing."""
        if self.modified_s is not None:
            return formatdate(self.modified_s, usegmt=True)
        return f'"{self.etag}"' if self.etag else ""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One version of one file of one archive.

    Attributes:
        archive: Base URL of the archive, with a trailing slash, without credentials.
        path: Path below it, without a leading slash; bytes that are not UTF-8 stand in it
            as surrogates (`surrogateescape`).
        version: The version that is meant.
        short_key: 128 bits of hash of `name_key` in hexadecimal, for database keys: a row
            costs 129 bytes with it and 450 with the full name.
    """

    archive: str
    path: str
    version: FileVersion
    short_key: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        raw = self.name_key.encode("utf-8", "surrogateescape")
        # Computed once, since every read of the file needs it.
        object.__setattr__(self, "short_key", blake2b(raw, digest_size=16).hexdigest())

    @property
    def size(self) -> int:
        """Size of this version in bytes."""
        return self.version.size

    @property
    def name_key(self) -> str:
        """The full name of file and version; equal exactly for equal files."""
        return f"{self.archive}{self.path}@{self.version}"

    @property
    def entry(self) -> str:
        """The first path component, which is the entry's directory; for tags and pruning."""
        return self.path.split("/", 1)[0]


@dataclass(frozen=True, slots=True)
class BlockKey:
    """Names one block of one file version.

    The version is part of the key, so a file that changes in the archive misses the cache
    instead of mixing the bytes of two versions. `short` is what stores use: diskcache
    pickles tuples, and two equal tuples can pickle to different bytes.

    Attributes:
        file_key: `RemoteFile.short_key`.
        index: Index of the block.
    """

    file_key: str
    index: BlockIndex

    @property
    def short(self) -> str:
        """The key as a short string."""
        return f"{self.file_key}.{self.index:x}"
