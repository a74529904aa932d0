"""What a daemon knows of one path of its mount, for `status PATH`.

Nothing is fetched for it but, where it isn't known, what is there and how long: a listing and
a size, for some seconds at most.

Threading: no state but what never changes; safe from any thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from empiarfs.core.files import RemoteFile
from empiarfs.errors import EmpiarFSError, TreeError
from empiarfs.notes.places import NOTES_NAME
from empiarfs.patience import Patience
from empiarfs.vfs.served import Served

if TYPE_CHECKING:
    from empiarfs.fuse import Readers
    from empiarfs.mount.composition import Parts

_LOOK_S = 3.0
# Each block of a file has to be looked for.
_MOST_COUNTED = 64 * 1024**3


class PathStatus:
    """Tells what is known of paths.

    Args:
        parts: What serves the mount.
        readers: Knows what was read.
        root: Path below the archive's root that the mount shows as its root.
    """

    def __init__(self, parts: Parts, readers: Readers, root: str) -> None:
        self._parts = parts
        self._readers = readers
        self._served = Served(root)

    def answer(self, request: Mapping[str, Any]) -> dict[str, object]:
        """Return what is known of the path that a request names, below the mount point.

        `is_missing` is True if there is certainly nothing.
        """
        path = request.get("path")
        if not isinstance(path, str):
            return {"error": "no path"}
        full = self._served.full(path)

        def belongs(read: str) -> bool:
            # Python processes read by the daemon, and know the archive's paths only.
            return any(
                not full or each == full or each.startswith(f"{full}/")
                for each in (self._served.full(read), read)
            )

        def leads(looked_up: str) -> bool:
            above = self._served.full(looked_up)
            return not above or full.startswith(f"{above}/")

        return {
            "path": path,
            "archive_path": full,
            **self._there(path, full),
            **self._readers.reads_of(belongs, leads),
            "archive_is_refusing": self._parts.client.is_refused,
        }

    def _there(self, path: str, full: str) -> dict[str, object]:
        """Return what there is, as far as it is known."""
        found: dict[str, object] = dict.fromkeys(
            ("is_directory", "size", "cached_bytes", "is_pinned", "local_copy", "trouble")
        )
        found["is_missing"] = False
        patience = Patience(_LOOK_S)
        try:
            attributes = self._parts.files.attributes(path, patience)
            found["is_directory"] = attributes.is_directory
            if attributes.is_directory:
                return found
            found["size"] = attributes.size
            if NOTES_NAME not in path.split("/"):
                found |= self._bytes_of(full, patience)
        except TreeError:
            found["is_missing"] = True
        except EmpiarFSError as exc:
            found["trouble"] = str(exc)
        return found

    def _bytes_of(self, full: str, patience: Patience) -> dict[str, object]:
        """Return where the bytes of a file are."""
        parts = self._parts
        version = parts.tree.version(full, patience)
        file = RemoteFile(parts.client.base_url, full, version)
        counts = version.size <= _MOST_COUNTED
        return {
            "cached_bytes": parts.source.cached_bytes(file) if counts else None,
            "is_pinned": parts.store.is_pinned(file),
            "local_copy": None if parts.local is None else parts.local.copy_of(file),
        }
