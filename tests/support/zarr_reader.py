"""Reads references as their users do, by fsspec, zarr and xarray, in a process of its own.

    python -m tests.support.zarr_reader FOLDER

FOLDER has `PROTOCOL-NAME.json` for each set of references; those by "https" are read first. Of
each the images are written to `PROTOCOL-NAME.npy` as zarr reads them, or one frame of what is
called "one"; what xarray says of them stands in `said.json`. zarr keeps a loop of events open for
good, which is why the tests don't read by it themselves.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy
import xarray
import zarr


def main(folder: Path) -> None:
    """Read all references of a folder."""
    warnings.simplefilter("error")
    said = {file.stem: _read(file) for file in sorted(folder.glob("*.json"), reverse=True)}
    (folder / "said.json").write_text(json.dumps(said))


def _read(file: Path) -> dict[str, Any]:
    remote: dict[str, Any] = {"asynchronous": True}
    if file.stem == "https-since":
        refs = json.loads(file.read_text())["refs"]
        modified = json.loads(refs["images/zarr.json"])["attributes"]["modified"]
        remote["headers"] = {"If-Unmodified-Since": modified}
    options = {"fo": str(file), "remote_options": remote}
    try:
        group: Any = zarr.open_group("reference://", storage_options=options, mode="r")
        images = group["images"]
        found = images[1] if file.stem.endswith("-one") else images[...]
    except Exception as exc:
        return {"error": _told(exc)}
    numpy.save(file.with_suffix(".npy"), found)
    opened = xarray.open_zarr(
        "reference://", storage_options=options, consolidated=False, chunks={}
    )
    return {
        "dims": opened.images.dims,
        "dtype": str(opened.images.dtype),
        "chunks": opened.images.data.chunksize,
        "attrs": opened.images.attrs,
        "coords": {name: each.values.tolist() for name, each in opened.coords.items()},
        "units": sorted({each.attrs.get("units", "") for each in opened.coords.values()}),
        "has_empiarfs": "empiarfs" in sys.modules,
    }


def _told(error: BaseException | None) -> str:
    """Return what went wrong, with what that came from."""
    words = []
    while error is not None:
        words.append(f"{type(error).__name__}: {error}")
        error = error.__cause__
    return " < ".join(words)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
