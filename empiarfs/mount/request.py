"""What is to be mounted, and what was: the values that pass between command and daemon."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from empiarfs.config import Config, from_json, to_json
from empiarfs.errors import MountError


@dataclass(frozen=True, slots=True)
class MountRequest:
    """What to mount, and how.

    Attributes:
        mount_point: An absolute path, as `points.resolve` returns it.
        source: What stands as the device in /proc/mounts.
        root: Path below the archive's root that becomes the mount's root; "" for all.
        config: The settings.
        nonempty: The directory needn't be empty.
        fuse_options: Further options for FUSE, by name; "" for one without a value.
        ends_with: Number of the process with which the mount ends; 0 for none.
    """

    mount_point: str
    source: str
    root: str = ""
    config: Config = field(default_factory=Config)
    nonempty: bool = False
    fuse_options: dict[str, str] = field(default_factory=dict)
    ends_with: int = 0

    def to_json(self) -> str:
        """Return it for the process that is to do it."""
        return json.dumps(
            {
                "mount_point": self.mount_point,
                "source": self.source,
                "root": self.root,
                "config": to_json(self.config),
                "nonempty": self.nonempty,
                "fuse_options": self.fuse_options,
                "ends_with": self.ends_with,
            }
        )

    @classmethod
    def from_json(cls, text: str | bytes) -> MountRequest:
        """Return what `to_json` wrote.

        Raises:
            MountError: It isn't that.
        """
        try:
            values: dict[str, Any] = json.loads(text)
            return cls(**{**values, "config": from_json(values["config"])})
        except (ValueError, TypeError, KeyError) as exc:
            raise MountError(f"the request to mount can't be read: {exc}") from exc


@dataclass(frozen=True, slots=True)
class MountSummary:
    """What a user is told about a mount that was made.

    Attributes:
        mount_point: Where it is.
        archive_url: What it shows.
        cache: Place of the cache, and why it is there.
        cache_limit: Size of the cache, and why.
        log: Where it logs.
        pid: The process that serves it.
        notes: What else the user should know, a line each.
        local: Where local copies are, and how far they are compared; "" for nowhere.
    """

    mount_point: str
    archive_url: str
    cache: str
    cache_limit: str
    log: str
    pid: int
    notes: tuple[str, ...] = ()
    local: str = ""

    def to_json(self) -> str:
        """Return it for the process that asked for the mount."""
        return json.dumps(asdict(self))

    @classmethod
    def from_values(cls, values: dict[str, Any]) -> MountSummary:
        """Return what `to_json` wrote, once that is parsed."""
        return cls(**{**values, "notes": tuple(values["notes"])})
