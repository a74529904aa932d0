"""What is kept for libfuse's threads, in a small file system of its own."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.users import CHECKOUT
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.fuse]

# Prints how many requests its busiest thread remembered to have served before.
_PROGRAM = """
import sys, threading
from empiarfs.fuse.answers import answers
from empiarfs.fuse.library import mfusepy

here, most = threading.local(), 0

class Files(mfusepy.Operations):
    @answers
    def getattr(self, path, fh=None):
        global most
        here.served = getattr(here, "served", 0) + 1
        most = max(most, here.served)
        return {"st_mode": 0o40755, "st_nlink": 2}

mfusepy.FUSE(Files(), sys.argv[1], foreground=True, attr_timeout=0, entry_timeout=0)
print(most)
"""


def _requests_remembered(folder: Path, program: str) -> int:
    words = [sys.executable, "-c", program, str(folder)]
    with subprocess.Popen(words, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True) as process:
        try:
            wait_until(lambda: os.path.ismount(folder) or process.poll() is not None, 20)
            for number in range(100):
                with contextlib.suppress(FileNotFoundError):
                    os.stat(folder / str(number))
        finally:
            subprocess.run(["fusermount3", "-u", folder], check=False)
        said, _ = process.communicate(timeout=20)
    return int(said)


def test_a_thread_is_known_again_at_its_next_request(tmp_path: Path) -> None:
    assert _requests_remembered(tmp_path, _PROGRAM) > 10


def test_else_it_is_a_new_one_each_time(tmp_path: Path) -> None:
    program = "from empiarfs.fuse import thread_states\nthread_states._MOST = 0\n" + _PROGRAM

    assert _requests_remembered(tmp_path, program) == 1
