"""Asks a file system whether it answers, without being caught in it if it doesn't.

A process that waits for a look-up in a FUSE mount can't be interrupted, not even by
SIGKILL. So the question is put by another process, which may hang in our place.
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys

# statvfs always reaches the daemon; what `stat` says may be an hour old.
_QUESTION = """
import os, sys
try:
    os.statvfs(sys.argv[1])
    print("device", os.stat(sys.argv[1]).st_dev)
except OSError as error:
    print("errno", error.errno)
"""


def probe(path: str, timeout_s: float) -> int:
    """Return the device number (`st_dev`) of what lies at `path`.

    Args:
        path: An absolute path.
        timeout_s: How long to wait for the answer, in seconds.

    Raises:
        OSError: What the file system answered; `means_dead` tells what that means.
        TimeoutError: It did not answer in time.
    """
    command = [sys.executable, "-I", "-S", "-c", _QUESTION, path]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        try:
            output, _ = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            # Leaving the `with` would wait for it, and it may not end for a long time.
            process.returncode = -9
            raise TimeoutError(f"{path} does not answer within {timeout_s:g} s") from None
    words = output.split()
    if len(words) != 2:
        raise OSError(0, f"cannot look at {path}")
    number = int(words[1])
    if words[0] == b"errno":
        raise OSError(number, os.strerror(number), path)
    return number


def means_dead(error: OSError) -> bool:
    """Tell whether a file system failed because its daemon is gone."""
    # The second is what those get who were just asking while it went.
    return error.errno in (errno.ENOTCONN, errno.ECONNABORTED)


def is_dead(path: str, timeout_s: float = 5.0) -> bool:
    """Tell whether nobody serves the mount at `path` any more; False if it can't be told."""
    try:
        probe(path, timeout_s)
    except OSError as exc:  # TimeoutError too, without a number
        return means_dead(exc)
    return False
