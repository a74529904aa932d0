"""What a daemon tells of its mount: to who mounted it, to `status`, to the list of mounts.

Threading: no state of its own but what never changes; safe from any thread.
"""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from empiarfs import __version__
from empiarfs.archive.route import route_problem
from empiarfs.control import MountRecord
from empiarfs.mount.passed import mount_point_of
from empiarfs.mount.request import MountRequest, MountSummary

if TYPE_CHECKING:
    from empiarfs.fuse import Crawls
    from empiarfs.mount.composition import Parts

logger = logging.getLogger(__name__)


class Description:
    """A mount, as its daemon describes it to others.

    Args:
        request: What was asked for.
        parts: What serves it.
        crawls: Who goes through all of it.
        log_file: Where it logs; None for stderr.
        libfuse: The version of the library.
        passed: The descriptor by which somebody else's mount is served, or None.
    """

    def __init__(
        self,
        request: MountRequest,
        parts: Parts,
        crawls: Crawls,
        log_file: Path | None,
        libfuse: tuple[int, int],
        passed: int | None,
    ) -> None:
        self._request = request
        self._parts = parts
        self._crawls = crawls
        self._log_file = log_file
        self._libfuse = libfuse
        self._since_s = time.time()
        self._where = mount_point_of(request.mount_point, passed)

    def record(self) -> MountRecord:
        """Return it for the list of this machine's mounts."""
        return MountRecord(
            mount_point=self._where,
            archive_url=self._parts.client.base_url + self._request.root,
            pid=os.getpid(),
            since_s=self._since_s,
            cache_dir=str(self._parts.place.path),
            log_file=str(self._log_file or ""),
            version=__version__,
        )

    def _notes(self) -> tuple[str, ...]:
        """Return what the user should know beyond what was made."""
        notes = []
        if self._parts.catalog.rebuilt:
            notes.append(self._parts.catalog.rebuilt)
        if self._parts.local is not None:
            notes += [
                f"{problem}; the archive's files are read instead, until it can be"
                for problem in self._parts.local.problems()
            ]
        problem = route_problem(self._parts.client.base_url)
        if problem is not None:
            # It may come later, as at the start of a machine: no reason not to mount.
            logger.warning("the archive can't be reached now: %s", problem)
            notes.append(
                f"the archive can't be reached now ({problem}); what is cached is served, "
                "the rest as soon as it can be reached"
            )
        return tuple(notes)

    def summary(self) -> MountSummary:
        """Return it for who has mounted it."""
        record = self.record()
        return MountSummary(
            mount_point=record.mount_point,
            archive_url=record.archive_url,
            cache=self._parts.place.reason,
            cache_limit=self._parts.directory.limit_reason,
            log=record.log_file or "stderr",
            pid=record.pid,
            notes=self._notes(),
            local=self._local(),
        )

    def _local(self) -> str:
        config = self._request.config
        if not config.local:
            return ""
        return f"{', '.join(map(str, config.local))} (verify: {config.local_verify})"

    def status(self) -> dict[str, object]:
        """Return how it does, as `empiarfs status --json` prints it."""
        record = self.record()
        status = self._parts.files.status()
        cache = status.get("cache")
        return {
            **status,
            "mount_point": record.mount_point,
            "archive_url": record.archive_url,
            "api_url": self._request.config.api_url,
            "pid": record.pid,
            "since_s": record.since_s,
            "version": record.version,
            "libfuse": ".".join(str(number) for number in self._libfuse),
            "log_file": record.log_file,
            "cache": {
                **(cache if isinstance(cache, dict) else {}),
                "directory": record.cache_dir,
                "place_reason": self._parts.place.reason,
                "limit_reason": self._parts.directory.limit_reason,
            },
            "local": None if self._parts.local is None else self._parts.local.status(),
            "crawls": self._crawls.as_json(),
            "catalog": {
                "unwell": self._parts.catalog.unwell,
                "rebuilt": self._parts.catalog.rebuilt,
            },
        }
