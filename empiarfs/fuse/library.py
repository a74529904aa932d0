"""Which libfuse is used, and the few calls into it that mfusepy does not offer.

libfuse 3 is preferred: only it can drop one path from the kernel's caches, which is what
makes long timeouts safe. libfuse 2 does where it is all there is. mfusepy loads its library
when it is imported and would take libfuse 2 if both are there, so this module must be
imported before `mfusepy` is; every other module takes mfusepy from here.

`EMPIARFS_LIBFUSE=2` or `=3` insists on one of them, for tests and for looking into trouble.
mfusepy's own variables, FUSE_LIBRARY_PATH and FUSE_LIBRARY_NAME, are left in charge where
they are set.

Threading: `caller_pid` and `interrupted` answer for the request that the calling thread is
serving, and may be called from no other thread. The rest is safe from anywhere.
"""

from __future__ import annotations

import ctypes
import os
from typing import Any

# The names under which distributions install them; 3.17 changed libfuse3's soname.
_LIBRARIES = {"3": ("libfuse3.so.4", "libfuse3.so.3"), "2": ("libfuse.so.2",)}
_PATH_VARIABLE = "FUSE_LIBRARY_PATH"
_NAME_VARIABLE = "FUSE_LIBRARY_NAME"


def _loadable(names: tuple[str, ...]) -> str | None:
    for name in names:
        try:
            ctypes.CDLL(name)
        except OSError:
            continue
        return name
    return None


def _choose_library() -> str:
    insisted = os.environ.get("EMPIARFS_LIBFUSE", "")
    if insisted not in ("", "2", "3"):
        raise OSError(f"EMPIARFS_LIBFUSE is {insisted!r}, and must be 2 or 3")
    candidates = _LIBRARIES[insisted] if insisted else (*_LIBRARIES["3"], *_LIBRARIES["2"])
    name = _loadable(candidates)
    if name is None:
        raise OSError(f"none of {', '.join(candidates)} can be loaded")
    return name


def _load() -> tuple[Any, str]:
    """Return mfusepy and the path or name of the library that it has loaded."""
    if os.environ.get(_PATH_VARIABLE) or os.environ.get(_NAME_VARIABLE):
        import mfusepy
    else:
        os.environ[_PATH_VARIABLE] = _choose_library()
        try:
            import mfusepy
        finally:
            # Processes that are started from here choose for themselves.
            del os.environ[_PATH_VARIABLE]
    return mfusepy, mfusepy._libfuse_path


mfusepy, _path = _load()

VERSION: tuple[int, int] = (mfusepy.fuse_version_major, mfusepy.fuse_version_minor)

# PyDLL keeps the GIL, which pays for calls that return within a microsecond: giving it up
# means to queue for it again behind every other thread.
_quick = ctypes.PyDLL(_path)
_quick.fuse_get_context.restype = ctypes.POINTER(mfusepy.fuse_context)
_quick.fuse_get_context.argtypes = ()
_quick.fuse_interrupted.restype = ctypes.c_int
_quick.fuse_interrupted.argtypes = ()
_waiting = ctypes.CDLL(_path)

# Threads wait for the archive, each for one request; libfuse's own limit is 10.
MAX_THREADS = 320

# fuse_conn_info.want, from libfuse's fuse_common.h.
CAPABILITY_READDIRPLUS = 1 << 13
CAPABILITY_READDIRPLUS_AUTO = 1 << 14


def can_invalidate() -> bool:
    """Tell whether the kernel can be told to forget one path (libfuse 3.2 and later)."""
    return VERSION >= (3, 2)


def needs_intr() -> bool:
    """Tell whether libfuse has to be asked to pass interrupts on.

    From 3.17 on it tells the kernel not to send any unless `intr` is set; before, they came
    anyway.
    """
    return VERSION >= (3, 17)


def knows_max_threads() -> bool:
    """Tell whether libfuse has, and lets us set, a limit of its threads."""
    return VERSION >= (3, 12)


def caller_pid() -> int:
    """Return the thread id of who made the current request; 0 if it can't be seen from here."""
    return int(_quick.fuse_get_context().contents.pid)


def interrupted() -> bool:
    """Tell whether the kernel has sent an interrupt for the current request.

    Any signal makes it send one, also those that nobody would call an interruption.
    """
    return bool(_quick.fuse_interrupted())


def session_pointer() -> int:
    """Return libfuse's session; to be called while `init` runs."""
    return int(_quick.fuse_get_context().contents.fuse or 0)


def invalidate_path(session: int, path: bytes) -> int:
    """Make the kernel forget attributes and pages of `path`, which starts with a slash.

    It waits for pages that are being read, and so must never run in a thread that has a
    request to answer.

    Returns:
        0, or a negative errno; -ENOENT for a path that the kernel doesn't hold.
    """
    return int(_waiting.fuse_invalidate_path(ctypes.c_void_p(session), ctypes.c_char_p(path)))


__all__ = [
    "CAPABILITY_READDIRPLUS",
    "CAPABILITY_READDIRPLUS_AUTO",
    "MAX_THREADS",
    "VERSION",
    "caller_pid",
    "can_invalidate",
    "interrupted",
    "invalidate_path",
    "knows_max_threads",
    "mfusepy",
    "session_pointer",
]
