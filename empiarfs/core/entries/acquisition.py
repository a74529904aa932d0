"""What EMPIAR doesn't hold and import dialogs ask for: voltage, Cs, dose.

The header of a related entry of EMDB has them, as EMDB's schema of version 3 names them
(`acceleration_voltage` in kV, `nominal_cs` in mm, `average_electron_dose_per_image` in e/Å²), or
that of version 1 (`acceleratingVoltage`, `nominalCs`, `electronDose`). They are those of the map
and not of the raw data, so whoever shows them says so: an entry of EMPIAR may have been recorded
in several sessions, of which the map tells one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from empiarfs.core.entries import tidy
from empiarfs.core.entries.elements import Element, all_of, name_of, parsed, text_in
from empiarfs.core.entries.from_json import UnreadableError

_EMDB = re.compile(r"EMD-[0-9]{4,6}")


@dataclass(frozen=True, slots=True)
class Acquisition:
    """How the data of a map were recorded; None for what its header doesn't say.

    Attributes:
        emdb: The entry of EMDB that says so.
        voltage: In kV.
        spherical_aberration: Nominal Cs, in mm.
        dose: Electrons per Å² and image, in all of its frames.
        microscope: Its model.
        detector: Its model.
    """

    emdb: str
    voltage: float | None = None
    spherical_aberration: float | None = None
    dose: float | None = None
    microscope: str | None = None
    detector: str | None = None


def header_path(emdb: str) -> str:
    """Return where EMDB's server has the header of an entry, from its root on.

    Raises:
        ValueError: It isn't the name of one.

    >>> header_path("EMD-12602")
    'pub/databases/emdb/structures/EMD-12602/header/emd-12602.xml'
    """
    if not _EMDB.fullmatch(emdb):
        raise ValueError(f"{emdb!r} is no entry of EMDB")
    return f"pub/databases/emdb/structures/{emdb}/header/{emdb.lower()}.xml"


def acquisition_from_header(emdb: str, document: bytes) -> Acquisition:
    """Return what the header of an entry of EMDB says; the first of several recordings.

    Raises:
        UnreadableError: It isn't such a header.
    """
    root = parsed(document)
    told = root.get("emdb_id", "") or root.get("accessCode", "")
    if name_of(root) not in ("emd", "emdEntry") or told.upper().removeprefix(
        "EMD-"
    ) != emdb.removeprefix("EMD-"):
        raise UnreadableError(f"not the header of {emdb}")
    return Acquisition(
        emdb,
        voltage=_number(root, "acceleration_voltage", "acceleratingVoltage"),
        spherical_aberration=_number(root, "nominal_cs", "nominalCs"),
        dose=_number(root, "average_electron_dose_per_image", "electronDose"),
        microscope=_text(root, "microscope"),
        detector=_text(root, "film_or_detector_model", "detector"),
    )


def _number(root: Element, *names: str) -> float | None:
    numbers = (tidy.length_of(text_in(each)) for each in all_of(root, *names))
    return next((number for number in numbers if number is not None), None)


def _text(root: Element, *names: str) -> str | None:
    return next((text for each in all_of(root, *names) if (text := text_in(each))), None)
