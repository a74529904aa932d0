"""empiarfs mounts EMPIAR, the archive of raw cryo-EM data, as a read-only file system.

In Python the same files can be read without a mount:

    import empiarfs

    with empiarfs.open("10934/data/x.mrc") as file:
        header = file.read(1024)

docs/python.md describes what there is. All of it is imported when it is first used, so that to
import this package costs nothing; the types stand in `__init__.pyi`.
"""

import importlib

__version__ = "0.1.0"

_PLACES = {
    "ArchiveEntry": "entry",
    "ArchiveFile": "file",
    "Files": "entry",
    "Found": "searching",
    "ImageDataset": "datasets",
    "Particles": "particles",
    "Preview": "previews",
    "SearchResult": "searching",
    "ShuffledBatches": "batches",
    "UnpackedFile": "unpacked",
    "close": "session",
    "configure": "session",
    "entry": "entry",
    "imread": "arrays",
    "open": "file",
    "lazy": "lazy",
    "particles": "particles",
    "path": "local",
    "prefetch": "hints",
    "preview": "previews",
    "read_mdoc": "tables",
    "read_star": "tables",
    "references": "references",
    "search": "searching",
    "unpack": "unpacked",
}

__all__ = ["__version__", *_PLACES]


def __getattr__(name):
    """Return a part of the Python interface, which is imported for the first of them."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.python.{_PLACES[name]}"), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted({*globals(), *_PLACES})
