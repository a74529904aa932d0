"""Which part of the archive is served, and what its paths are called on either side.

Threading: no state but what never changes.
"""

from __future__ import annotations

from empiarfs.core import paths


class Served:
    """A part of the archive.

    Args:
        root: Path below the archive's root that is served as "".

    Attributes:
        root: The same without slashes around it; "" for the whole archive.
    """

    def __init__(self, root: str) -> None:
        self.root = root.strip("/")

    def full(self, path: str) -> str:
        """Return the path below the archive's root; aliases are resolved."""
        if self.root:
            return paths.join(self.root, path) if path else self.root
        return paths.canonical(path)

    def spellings(self, full: str) -> tuple[str, ...]:
        """Return by which paths somebody may know what lies at a path of the archive."""
        if not self.root:
            # The kernel may know an entry by its alias as well.
            return (full, f"EMPIAR-{full}") if full else (full,)
        if full == self.root:
            return ("",)
        prefix = self.root + "/"
        return (full[len(prefix) :],) if full.startswith(prefix) else ()
