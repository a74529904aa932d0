"""empiarfs mounts EMPIAR, the archive of raw cryo-EM data, as a read-only file system."""

from __future__ import annotations

__version__ = "0.1.0"
