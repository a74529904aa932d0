"""What EMPIAR says of an entry, by the names of its REST API."""

from __future__ import annotations

import json
from typing import Any

from empiarfs.core.entries import tidy
from empiarfs.core.entries.values import Entry, ImageSet
from empiarfs.python.choosing import known_of
from empiarfs.python.session import default_session

Fields = dict[str, Any]


def fields_of(number: int) -> Fields:
    """Return the fields of an entry as the API has them; some of them if it can't be had.

    Those are the title, the DOI and the image sets, of the file that the archive has.

    Raises:
        OSError: There is no such entry, or it can't be had.
    """
    known = known_of(default_session(), number)
    if known.source == "api":
        fields: Fields = json.loads(known.document)
        return fields
    return _as_the_api_has(known.entry)


def image_sets_of(number: int) -> dict[str, Fields]:
    """Return the fields of an entry's image sets by name; the last of those of one name.

    Raises:
        OSError: There is no such entry, or it can't be had.
    """
    items = tidy.items_of(fields_of(number).get("imagesets"))
    found = [dict(tidy.fields_of(each)) for each in items]
    return {tidy.text_of(each.get("name")): each for each in found}


def _as_the_api_has(entry: Entry) -> Fields:
    sets = [_image_set(each) for each in entry.image_sets]
    return {"title": entry.title, "entry_doi": entry.doi, "imagesets": sets}


def _image_set(known: ImageSet) -> Fields:
    first, last = known.frame_range or (None, None)
    return {
        "name": known.name,
        "directory": known.directory,
        "category": known.category,
        "header_format": known.header_format,
        "data_format": known.data_format,
        "num_images_or_tilt_series": known.image_count,
        "frames_per_image": known.frames_per_image,
        "frame_range_min": first,
        "frame_range_max": last,
        "voxel_type": known.voxel_type,
        "pixel_width": known.pixel_width,
        "pixel_height": known.pixel_height,
        "image_width": known.image_width,
        "image_height": known.image_height,
        "details": known.details,
        "micrographs_file_pattern": known.micrographs_pattern,
        "picked_particles_file_pattern": known.particles_pattern,
        "picked_particles_directory": known.particles_directory,
        "segmentations": [],
    }
