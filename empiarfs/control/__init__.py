"""How commands find and ask the mounts that are served by other processes.

`registry` lists them, `server` answers in the daemon, `client` asks; `jobs` lists commands that
work for long; `runtime` knows the directory in which all of it lies. Everything is for the user
who mounted, and root.
"""

from __future__ import annotations

from empiarfs.control.client import ask
from empiarfs.control.jobs import Job, JobRecord, jobs
from empiarfs.control.registry import (
    MountRecord,
    Registered,
    Registration,
    registered,
    wait_for_end,
)
from empiarfs.control.runtime import own_directory
from empiarfs.control.server import ControlServer

__all__ = [
    "ControlServer",
    "Job",
    "JobRecord",
    "MountRecord",
    "Registered",
    "Registration",
    "ask",
    "jobs",
    "own_directory",
    "registered",
    "wait_for_end",
]
