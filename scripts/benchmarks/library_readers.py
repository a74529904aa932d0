"""Programs that read images by a library; each is a process of its own, run by `libraries`.

    python -m scripts.benchmarks.library_readers PROGRAM ARGUMENTS

They measure inside themselves: modules are loaded before the clock starts, and what was read is
named, by digests, when it has stopped. Arguments are a JSON object, and so is what is printed.
What it is that they read, the environment tells to empiarfs, and `url` to the others.

This module imports nothing but the standard library, since peers have interpreters of their own.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import struct
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

_HEADER = 1_024
_TYPES = {2: "<f4", 6: "<u2"}
# As many as empiarfs may have connections.
_AT_ONCE = 12
# As long as empiarfs waits for a first byte at most.
_STALLED_S = 12.0


class _TimeUpError(Exception):
    """So long a program may read that is measured by how far it comes."""


# -- empiarfs ----------------------------------------------------------------------------------


def _frames_by_empiarfs(path: str, count: int) -> Any:
    import empiarfs

    _load(empiarfs.imread)
    begin = time.monotonic()
    found = empiarfs.imread(path, frames=slice(0, count))
    return _told(begin, found)


def _particles_by_empiarfs(path: str, numbers: list[int]) -> Any:
    import empiarfs

    _load(empiarfs.particles)
    begin = time.monotonic()
    stack = empiarfs.particles(path)
    stack.prefetch(numbers)
    found = [stack[number] for number in numbers]
    return _told(begin, found)


def _sheet_by_empiarfs(directory: str, count: int, local: str | None = None) -> Any:
    import PIL.ImageDraw
    import PIL.ImageFont  # noqa: F401

    import empiarfs
    from empiarfs.python.previews import drawing, making

    _load(empiarfs.preview, drawing, making)
    if local is not None:
        empiarfs.configure(local=[local])
    begin = time.monotonic()
    made = empiarfs.preview(directory, sample=count)
    seconds = time.monotonic() - begin
    return {
        "seconds": seconds,
        "files": len(made.files),
        "problems": [str(problem) for problem in made.problems],
        "picture": _digest(made.image.tobytes()),
        "colours": len(set(made.image.tobytes())),
    }


def _load(*_: object) -> None:
    """Have modules loaded that are imported when they are first needed."""
    import numpy  # noqa: F401


# -- empiarreader ------------------------------------------------------------------------------


def _frames_by_empiarreader(url: str, path: str, count: int) -> Any:
    from empiarreader import EmpiarCatalog, EmpiarSource

    EmpiarSource._empiar_url_ftp_over_https_base = url.rstrip("/")
    EmpiarCatalog._empiar_url_api_base = f"{url}api"
    entry, _, place = path.partition("/")
    directory, _, name = place.rpartition("/")
    # What it would ask EMPIAR's API for.
    fields = ("num_images_or_tilt_series", "frames_per_image", "image_height", "image_width")
    image_set = {**dict.fromkeys(fields, "1"), "data_format": "MRCS"}
    begin = time.monotonic()
    # It compares with whole URLs.
    source = EmpiarSource(int(entry), directory, filename=f"*/{name}", imageset_metadata=image_set)
    found = source.read_partition(0)[:count].values
    return _told(begin, found)


# -- fsspec ------------------------------------------------------------------------------------


def _frames_by_fsspec(url: str, path: str, count: int) -> Any:
    files = _file_system()
    begin = time.monotonic()
    with files.open(url + path) as file:
        shape, dtype = _shape(file.read(_HEADER))
        size = _size(shape, dtype)
        found = [_array(file.read(size), shape, dtype) for _ in range(count)]
    return _told(begin, found)


def _particles_by_fsspec(url: str, path: str, numbers: list[int], limit_s: float) -> Any:
    """Read them one after the other, as far as one comes within a time."""
    files = _file_system()
    found: list[Any] = []
    begin = time.monotonic()
    signal.signal(signal.SIGALRM, _time_is_up)
    signal.setitimer(signal.ITIMER_REAL, limit_s)
    try:
        with files.open(url + path) as file:
            shape, dtype = _shape(file.read(_HEADER))
            size = _size(shape, dtype)
            for number in numbers:
                file.seek(_HEADER + number * size)
                found.append(_array(file.read(size), shape, dtype))
            signal.setitimer(signal.ITIMER_REAL, 0)
    except _TimeUpError:
        pass
    return _told(begin, found)


def _time_is_up(number: int, frame: object) -> None:
    raise _TimeUpError


def _frames_by_ranges(url: str, path: str, count: int) -> Any:
    return _by_ranges(url + path, range(count))


def _particles_by_ranges(url: str, path: str, numbers: list[int]) -> Any:
    return _by_ranges(url + path, numbers)


def _by_ranges(url: str, numbers: Sequence[int]) -> Any:
    """Read images of a stack side by side; those that fail are asked for again."""
    import aiohttp

    timeout = aiohttp.ClientTimeout(total=None, sock_read=_STALLED_S)
    files = _file_system(client_kwargs={"timeout": timeout})
    begin = time.monotonic()
    shape, dtype = _shape(_pieces(files, url, [(0, _HEADER)])[0])
    size = _size(shape, dtype)
    places = [(_HEADER + number * size, size) for number in numbers]
    found = [_array(data, shape, dtype) for data in _pieces(files, url, places)]
    return _told(begin, found)


def _pieces(files: Any, url: str, places: list[tuple[int, int]]) -> list[bytes]:
    made: dict[tuple[int, int], bytes] = {}
    while missing := [place for place in places if place not in made]:
        starts = [start for start, _ in missing]
        stops = [start + size for start, size in missing]
        urls = [url] * len(missing)
        found = files.cat_ranges(urls, starts, stops, batch_size=_AT_ONCE)
        came = zip(missing, found, strict=True)
        made.update((place, data) for place, data in came if isinstance(data, bytes))
    return [made[place] for place in places]


def _file_system(**options: Any) -> Any:
    import aiohttp  # noqa: F401
    import fsspec
    import numpy  # noqa: F401

    return fsspec.filesystem("http", **options)


def _shape(header: bytes) -> tuple[tuple[int, int], str]:
    """Return rows and columns of an image, and NumPy's type, as an MRC header says."""
    columns, rows, _, mode = struct.unpack_from("<4i", header)
    return (rows, columns), _TYPES[mode]


def _size(shape: tuple[int, int], dtype: str) -> int:
    return shape[0] * shape[1] * int(dtype[2:])


def _array(data: bytes, shape: tuple[int, int], dtype: str) -> Any:
    import numpy

    return numpy.frombuffer(data, dtype).reshape(shape)


# -- all ---------------------------------------------------------------------------------------


def _imported(module: str) -> Any:
    """Say how long it takes to import a module, what then runs, and when it could read."""
    begin = time.perf_counter()
    imported = __import__(module)
    seconds = time.perf_counter() - begin
    told = {"threads": len(os.listdir("/proc/self/task")) - 1, "sockets": _sockets()}
    _USES[module](imported)
    return {"seconds": seconds, "used_s": time.perf_counter() - begin, **told}


def _sockets() -> int:
    links = [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd")]
    # That of the listing itself isn't there any more.
    return sum(os.readlink(link).startswith("socket:") for link in links if os.path.islink(link))


def _told(begin: float, found: Any) -> Any:
    """Return how long it took, and what images were read."""
    seconds = time.monotonic() - begin
    return {
        "seconds": seconds,
        "digests": [_digest(image.tobytes()) for image in found],
        "types": sorted({(image.dtype.str, *image.shape) for image in found}),
    }


def _digest(data: bytes) -> str:
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()


# What has all modules loaded that are needed to read.
_USES: dict[str, Callable[[Any], object]] = {
    "empiarfs": lambda module: module.open,
    "empiarreader": lambda module: module.EmpiarSource,
    "fsspec": lambda module: module.get_filesystem_class("http"),
}
PROGRAMS: dict[str, Callable[..., Any]] = {
    "frames.empiarfs": _frames_by_empiarfs,
    "frames.empiarreader": _frames_by_empiarreader,
    "frames.fsspec": _frames_by_fsspec,
    "frames.fsspec-ranges": _frames_by_ranges,
    "particles.empiarfs": _particles_by_empiarfs,
    "particles.fsspec": _particles_by_fsspec,
    "particles.fsspec-ranges": _particles_by_ranges,
    "sheet.empiarfs": _sheet_by_empiarfs,
    "import": _imported,
}


if __name__ == "__main__":
    print(json.dumps(PROGRAMS[sys.argv[1]](**json.loads(sys.argv[2]))))
