"""Names that one process of the machine can have at a time: abstract Unix sockets.

They need no directory and no right, belong to a network namespace, and are free again when
their process dies, however it dies.

Threading: safe from any thread; nothing is kept here.
"""

from __future__ import annotations

import errno
import socket

_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


def bind_name(name: str) -> socket.socket | None:
    """Take a name of the machine, or return None if somebody has it.

    The name is free again when the socket is closed or the process is gone. A process
    without descriptors or memory to spare has none to take either: it waits for them as for
    a name, which ends with its patience.
    """
    try:
        holder = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    except OSError as exc:
        if exc.errno not in _EXHAUSTED:
            raise
        return None
    try:
        holder.bind("\0" + name)
    except OSError as exc:
        holder.close()
        if exc.errno != errno.EADDRINUSE:
            raise
        return None
    return holder


def is_taken(name: str) -> bool:
    """Tell whether somebody has the name, without getting in anybody's way."""
    # To try to take it would make two who look at once believe that it is taken.
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
            probe.connect("\0" + name)
    except OSError:
        return False
    return True
