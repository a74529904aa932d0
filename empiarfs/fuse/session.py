"""Mounts the adapter and serves it until it is unmounted.

Threading: `serve` blocks the calling thread; libfuse makes threads of its own.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from empiarfs.errors import MountError
from empiarfs.fuse import library
from empiarfs.fuse.adapter import FuseAdapter
from empiarfs.fuse.library import mfusepy

# libfuse 3 can be told what has changed, libfuse 2 can't and so asks again.
_TIMEOUT_S = {3: 3600, 2: 1}
_NEGATIVE_TIMEOUT_S = 30
# Threads come back to life quickly, but 320 idle ones would be 320 stacks for one burst.
# Left unset, libfuse 3.14 complains about its own default on stderr.
_MAX_IDLE_THREADS = 64

SUBTYPE = "empiarfs"


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """What is told to the kernel about a mount.

    Attributes:
        mount_point: Absolute path of an existing directory.
        source: What stands as the device in /proc/mounts; must hold no credentials.
        allow_other: Let other users in.
        allow_root: Let root in, whom FUSE keeps out as everybody else.
        nonempty: Mount also over a directory that isn't empty.
        further: More options, by name; "" for one without a value.
    """

    mount_point: str
    source: str
    allow_other: bool = False
    allow_root: bool = False
    nonempty: bool = False
    further: Mapping[str, str] = field(default_factory=dict)


def _escaped(value: str) -> str:
    r"""Return an option's value for libfuse, which splits at commas that have no `\`."""
    return value.replace("\\", "\\\\").replace(",", "\\,")


def session_keywords(options: SessionOptions) -> dict[str, Any]:
    """Return the options of a mount as keywords of mfusepy's `FUSE`.

    As keywords they reach both libraries; what is set in libfuse's configuration while
    `init` runs is lost with libfuse 2, without a word.
    """
    major = library.VERSION[0]
    keywords: dict[str, Any] = {
        "foreground": True,
        "raw_fi": True,
        "fsname": _escaped(options.source),
        "subtype": SUBTYPE,
        "ro": True,
        "nosuid": True,
        "nodev": True,
        "default_permissions": True,
        "allow_other": options.allow_other,
        "allow_root": options.allow_root,
        "use_ino": True,
        "entry_timeout": _TIMEOUT_S[major],
        "attr_timeout": _TIMEOUT_S[major],
        "negative_timeout": _NEGATIVE_TIMEOUT_S,
    }
    keywords |= {name: _escaped(value) or True for name, value in options.further.items()}
    if library.knows_max_threads():
        keywords["max_threads"] = library.MAX_THREADS
    if library.needs_intr():
        keywords["intr"] = True
    if major == 3:
        keywords["max_idle_threads"] = _MAX_IDLE_THREADS
    if major == 2 and options.nonempty:
        keywords["nonempty"] = True  # libfuse 3 neither needs nor knows it
    return keywords


class FuseSession(mfusepy.FUSE):
    """mfusepy's loop, with a `stat` that isn't filled from a dictionary.

    The dictionary was most of what a `getattr` cost.
    """

    def fgetattr(self, path: bytes | None, buffer: Any, info: Any) -> int:
        """Answer `stat` and `fstat`."""
        decoded = None if path is None else path.decode(self.encoding, self.errors)
        filled = self.operations.getattr(decoded, info.contents if info else None)
        ctypes.memmove(buffer, ctypes.byref(filled), ctypes.sizeof(filled))
        return 0


def serve(adapter: FuseAdapter, options: SessionOptions) -> None:
    """Mount, and answer requests until the mount is gone.

    Raises:
        MountError: libfuse could not mount; it has said why on the C library's stderr.
    """
    # mfusepy encodes in UTF-8, whereas the path came in the encoding of the locale.
    mount_point = os.fsencode(options.mount_point).decode("utf-8", "surrogateescape")
    try:
        FuseSession(adapter, mount_point, **session_keywords(options))
    except RuntimeError as exc:
        # Also 8, for a loop that a signal has ended; ours are blocked, so that none can.
        raise MountError(f"libfuse ended with status {exc}") from exc
