"""The adapter for mounts with extended attributes (`-o xattr`); others have none at all.

Threading: as the adapter.
"""

from __future__ import annotations

from empiarfs.errors import NoAttributeError
from empiarfs.fuse.adapter import FuseAdapter
from empiarfs.fuse.answers import answers
from empiarfs.fuse.arguments import inner_path


class XattrFuseAdapter(FuseAdapter):
    """The same, showing extended attributes (`-o xattr`)."""

    @answers
    def listxattr(self, path: str) -> tuple[str, ...]:
        """Return the names of the extended attributes."""
        return self._files.attribute_names(inner_path(path))

    @answers
    def getxattr(self, path: str, name: str, position: int = 0) -> bytes:
        """Return the value of an extended attribute."""
        # The kernel asks for security.* and system.* on its own, for each file.
        if not name.startswith("user."):
            raise NoAttributeError(f"no attribute {name}")
        with self._looking_up(inner_path(path), last=True) as patience:
            return self._files.attribute(inner_path(path), name, patience)
