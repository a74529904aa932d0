"""References to the frames of MRC files, by which readers of zarr open them in place.

A dictionary says, for each key of a zarr store, what its bytes are: metadata as text, or which
bytes of which file. The frames of an MRC file lie there as a zarr array has them that packs
nothing, so each is a chunk as it is.

The form is version 1 of kerchunk's (https://fsspec.github.io/kerchunk/spec.html), which fsspec's
"reference" file system reads; the metadata are those of version 3 of zarr
(https://zarr-specs.readthedocs.io/en/latest/v3/core/index.html). Neither package is needed to
make them.

Threading: no state.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterable, Iterator, Sequence
from email.utils import formatdate
from typing import Any, Literal

from empiarfs.python.file import ArchiveFile
from empiarfs.python.images import File, Images
from empiarfs.python.labels import Labelled, labelled
from empiarfs.python.versioned import with_version

References = dict[str, Any]

# For each there is a row of some 150 bytes in memory, and about as much in JSON.
_MOST_FRAMES = 1_000_000
_NAME = "images"
# Modes that are decoded, and not only copied.
_PACKED = {3: "pairs of 16-bit integers", 101: "numbers of 4 bits"}


def references(
    files: File | Iterable[File],
    pixel_size: float | None = None,
    *,
    protocol: Literal["empiar", "https"] = "empiar",
) -> References:
    """Return references to the frames of MRC files, to be opened in place as zarr.

    Args:
        files: A file of MRC's kind, or several whose images have one shape and type; each as
            `empiarfs.open` takes it, or what that returned.
        pixel_size: As for `empiarfs.lazy`.
        protocol: By what the bytes are read: "empiar" is the file system that empiarfs brings
            for fsspec, which reads the version of each file that is referred to and no other;
            "https" is for readers that lack empiarfs, and refers to the archive's own URLs,
            whatever they have by then.

    Returns:
        A dictionary that JSON can hold, with metadata of zarr 3: a group with the array
        "images", of which each frame is a chunk. Axes, coordinates and attributes are those of
        `empiarfs.lazy`; beside them `version` (for several files a coordinate), as fsspec's
        `info` has it, and `modified`, when the last of the files was changed, as HTTP has it.

    Raises:
        OSError: A file isn't there, or can't be had.
        ValueError: One isn't of MRC's kind, was cut off, or is of a mode that zarr can't read
            (3, 101) or packed; they aren't alike; or there are more than a million frames.
    """
    if protocol not in ("empiar", "https"):
        raise ValueError(f"the protocol is {protocol!r}, and has to be 'empiar' or 'https'")
    found = labelled(files, pixel_size, only_mrc=True)
    for images in found.images:
        _check(images)
    frames = len(found.images) * (found.images[0].shape[0] if found.images[0].has_frames else 1)
    if frames > _MOST_FRAMES:
        raise ValueError(f"{frames} frames are more than {_MOST_FRAMES}, which can be referred to")
    refs: References = {"zarr.json": _text({"zarr_format": 3, "node_type": "group"})}
    refs.update(_coordinates(found))
    refs[f"{_NAME}/zarr.json"] = _images_metadata(found)
    refs.update(_chunks(found, protocol))
    return {"version": 1, "refs": refs}


def _check(images: Images) -> None:
    assert images.mrc is not None
    mode = images.mrc.pixels.header.mode
    if mode in _PACKED:
        raise ValueError(
            f"{images.file.path}: its pixels are {_PACKED[mode]} (mode {mode}), which no codec "
            "of zarr reads; `imread` and `lazy` do"
        )


# -- chunks ----------------------------------------------------------------------------------


def _chunks(found: Labelled, protocol: str) -> Iterator[tuple[str, list[str | int]]]:
    """Yield the key of each frame, and which bytes of which URL it has."""
    for number, images in enumerate(found.images):
        assert images.mrc is not None
        url = _url(images.file, protocol)
        before = () if found.is_one else (number,)
        rest = (0,) * (len(images.shape) - images.has_frames)
        for frame in range(images.shape[0] if images.has_frames else 1):
            place = (*before, frame, *rest) if images.has_frames else (*before, *rest)
            [(offset, size)] = images.mrc.ranges(frame)
            yield _key(_NAME, place), [url, offset, size]


def _url(file: ArchiveFile, protocol: str) -> str:
    return (
        file.url
        if protocol == "https"
        else f"empiar://{with_version(str(file.version), file.path)}"
    )


def _key(name: str, place: Sequence[int]) -> str:
    return "/".join([name, "c", *map(str, place)])


# -- metadata --------------------------------------------------------------------------------


def _images_metadata(found: Labelled) -> str:
    attributes = dict(found.attributes)
    files = [each.file for each in found.images]
    changed = [file.version.modified_s for file in files]
    known = [time for time in changed if time is not None]
    if len(known) == len(changed):
        attributes["modified"] = formatdate(max(known), usegmt=True)
    if found.is_one:
        attributes["version"] = str(files[0].version)
    else:
        # By CF's rules, as xarray writes and reads them.
        attributes["coordinates"] = "source version"
    array = found.array
    kind, fill = array.dtype.name, _fill(array.dtype.kind)
    codec: dict[str, Any] = {"name": "bytes"}
    if array.dtype.itemsize > 1:
        codec["configuration"] = {"endian": _order(array.dtype.str)}
    return _array(array.shape, array.chunks, kind, fill, codec, array.dims, attributes)


def _order(kind: str) -> str:
    """Return the order of the bytes of a type, as NumPy writes it in full."""
    return "big" if kind.startswith(">") else "little"


def _fill(kind: str) -> Any:
    """Return what a chunk that there isn't would hold; all of them are there."""
    return {"f": "NaN", "c": ["NaN", "NaN"]}.get(kind, 0)


def _coordinates(found: Labelled) -> Iterator[tuple[str, str]]:
    """Yield keys and contents of the arrays beside the images: they are in the references."""
    import numpy

    lengths = dict(zip(found.array.dims, found.array.shape, strict=True))
    for axis, size in found.spacing.items():
        data = (numpy.arange(lengths[axis]) * size).astype("<f8").tobytes()
        codec = {"name": "bytes", "configuration": {"endian": "little"}}
        yield from _inline(axis, axis, lengths[axis], "float64", "NaN", codec, data, units="Å")
    texts = dict(found.by_file)
    if texts:
        texts["version"] = [str(each.file.version) for each in found.images]
    for name, values in texts.items():
        data = _packed_texts(values)
        codec = {"name": "vlen-utf8"}
        yield from _inline(name, "file", len(values), "string", "", codec, data)


def _inline(
    name: str,
    axis: str,
    length: int,
    kind: str,
    fill: Any,
    codec: dict[str, Any],
    data: bytes,
    **attributes: str,
) -> Iterator[tuple[str, str]]:
    chunk = (max(1, length),)
    yield (
        f"{name}/zarr.json",
        _array((length,), chunk, kind, fill, codec, (axis,), attributes),
    )
    if length:
        yield _key(name, (0,)), "base64:" + base64.b64encode(data).decode()


def _packed_texts(values: Sequence[str]) -> bytes:
    """Return texts as zarr's codec vlen-utf8 has them: each behind its length."""
    # What isn't UTF-8 in a name can't stand in such a text; it is shown as escapes.
    raw = [value.encode("utf-8", "backslashreplace") for value in values]
    packed = [struct.pack("<I", len(each)) + each for each in raw]
    return struct.pack("<I", len(values)) + b"".join(packed)


def _array(
    shape: Sequence[int],
    chunk: Sequence[int],
    kind: str,
    fill: Any,
    codec: dict[str, Any],
    dims: Sequence[str],
    attributes: dict[str, Any],
) -> str:
    return _text(
        {
            "zarr_format": 3,
            "node_type": "array",
            "shape": list(shape),
            "data_type": kind,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(chunk)}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "fill_value": fill,
            "codecs": [codec],
            "dimension_names": list(dims),
            "attributes": attributes,
        }
    )


def _text(metadata: dict[str, Any]) -> str:
    return json.dumps(metadata)
