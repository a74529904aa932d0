"""A process that receives as fast as its limit allows; run by tests.

    python -m tests.support.rate_worker FILE BYTES-PER-SECOND [foreseen]

Prints "ready", waits for a line, and then prints the bytes that it has got, a line for each
step, until it is ended. A line "lock" instead makes it take the file's lock and keep it.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time
from pathlib import Path

from empiarfs.archive.rate import RateLimit
from empiarfs.archive.rate_file import RateFile


def main() -> None:
    path, bytes_per_s, *words = sys.argv[1:]
    say("ready")
    if sys.stdin.readline().strip() == "lock":
        descriptor = os.open(path, os.O_RDWR)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        say("locked")
        time.sleep(3600)
    limit = RateLimit(int(bytes_per_s), RateFile(Path(path)))
    while True:
        limit.wait_for(limit.step, lambda: not words, lambda: None)
        say(str(limit.step))


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
