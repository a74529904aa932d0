"""What stands in the files below `.empiar`. Pure.

Texts depend on what is known and on nothing else, so that a file is the same at each look: no
word says how long ago something was, but where that matters, when.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping

from empiarfs.core.entries.names import page_url
from empiarfs.core.entries.values import Entry, ImageSet
from empiarfs.core.paths import name_problem
from empiarfs.entries import Answer, HowMany

_DAY_S = 86_400.0
_SHEET = (
    "  preview.png    pictures of some of the files; made when it is opened, from some",
    "                 megabytes of them, and until then of size 0",
)
_MADE_HERE = (
    "This directory is made by empiarfs. It is no part of the archive{hidden}.\n"
    "What EMPIAR says of entries is what their depositors wrote; EMPIAR doesn't check it.\n"
)


def entry_readme(answer: Answer, now_s: float, *, has_sheet: bool = False) -> bytes:
    """Return README.txt of an entry.

    Args:
        answer: What is known of it.
        now_s: What an age is told by, if it must be told.
        has_sheet: There is a contact sheet, or will be for who opens it.
    """
    entry = answer.known.entry
    facts = (
        ("page", page_url(entry.number)),
        ("DOI", entry.doi),
        ("released", entry.release_date or ""),
        ("size", f"{entry.size_text} (as EMPIAR rounds it)" if entry.size_text else ""),
        ("related", ", ".join(entry.references.emdb)),
    )
    lines = [f"{entry.accession}: {entry.title}", ""]
    lines += [f"  {name + ':':<10} {value}" for name, value in facts if value]
    lines += [
        "",
        *_MADE_HERE.format(hidden=", and isn't listed in it").splitlines(),
        "",
        "  entry.json     all that EMPIAR says, with units and names of fields as in",
        f"                 `empiarfs info {entry.number} --json`",
        "  entry.xml      a link to the entry's own XML file in the archive",
        "  citation.bib   how to cite the entry and its papers, for BibTeX",
        "  citation.ris   the same for Zotero, Mendeley and EndNote",
        "  files.tsv      path, size, date and URL of the entry's files that are known here",
        *_SHEET * has_sheet,
        "  image-sets/    a link to the directory of each image set, which need not exist",
    ]
    for number, image_set in enumerate(entry.image_sets, 1):
        words = (image_set.category, image_set.data_format, image_set.directory)
        lines.append(f"    {number}  {', '.join(word for word in words if word)}")
    return _encoded([*lines, "", *_origin(answer, now_s)])


def _origin(answer: Answer, now_s: float) -> list[str]:
    known = answer.known
    where = "EMPIAR's API" if known.source == "api" else "the entry's XML file"
    lines = [f"This was asked of {where} on {_minute(known.fetched_s)}."]
    if answer.problem is not None:
        days = max(0, int((now_s - known.fetched_s) // _DAY_S))
        lines.append(f"It is {days} days old, and nothing newer could be had: {answer.problem}")
    return lines


def archive_readme(how_many: HowMany) -> bytes:
    """Return README.txt of the archive."""
    lines = [
        "EMPIAR, the Electron Microscopy Public Image Archive: https://www.ebi.ac.uk/empiar/",
        "",
        *_MADE_HERE.format(hidden="").splitlines(),
        "",
        "  by-emdb/EMD-12602            links to entries, by maps of EMDB that they name,",
        "  by-doi/10.6019/EMPIAR-10934  by their own DOIs and those of their papers,",
        "  by-type/FIB-SEM/11419        by the type of the experiment,",
        "  by-year/2022/10934           and by the year of their release",
        "  status.json                  what this mount does, as `empiarfs status --json` says",
        "  refused-names.txt            names of the archive that can't be shown, and why",
        "",
        "Where several entries have a DOI or a map, all but one of them have their number",
        "behind the name. Each entry has such a directory of its own, 10934/.empiar, which isn't",
        "listed there.",
        "",
        *_how_many(how_many),
    ]
    return _encoded(lines)


def _how_many(how_many: HowMany) -> Iterable[str]:
    if how_many.listed is None:
        yield f"{how_many.known} entries are known here."
    else:
        of = f" of {how_many.listed} that there were on {_minute(how_many.listed_s or 0.0)}"
        yield f"{how_many.known} entries are known here{of}."
    if how_many.listed is None or how_many.known < how_many.listed:
        yield "`empiarfs catalog update` asks EMPIAR for all of them; it takes a minute or two."


def entry_json(answer: Answer) -> bytes:
    """Return entry.json."""
    return json_text(answer.to_json())


def json_text(values: Mapping[str, object]) -> bytes:
    """Return values as JSON for people: ASCII, indented, with a newline at its end."""
    return json.dumps(values, indent=2).encode("ascii") + b"\n"


def refused_names(found: Iterable[Mapping[str, object]]) -> bytes:
    """Return refused-names.txt.

    Args:
        found: As `empiarfs.tree.refused.RefusedNames.as_json` gives them.
    """
    lines = ["# names in listings of the archive that can't be shown, as far as they were met"]
    for each in found:
        names = each["names"]
        assert isinstance(names, list)
        lines.append(f"{escaped(str(each['directory'])) or '.'}: {each['count']} refused")
        lines += [f"  {escaped(str(name))}" for name in names]
    return _encoded(lines)


def escaped(text: str) -> str:
    r"""Return a text that is printable and on one line, in which nothing is ambiguous.

    >>> escaped("a\tb\\c\udcff")
    'a\\tb\\\\c\\xff'
    """
    if text.isprintable() and "\\" not in text:
        return text
    shown = []
    for each in text:
        if 0xDC80 <= ord(each) <= 0xDCFF:
            shown.append(f"\\x{ord(each) - 0xDC00:02x}")
        elif each == "\\" or not each.isprintable():
            shown.append(each.encode("unicode_escape").decode("ascii"))
        else:
            shown.append(each)
    return "".join(shown)


def image_set_links(entry: Entry) -> dict[str, str]:
    """Return where the links of image-sets lead, by their names; "1" is the first."""
    found = {}
    for number, image_set in enumerate(entry.image_sets, 1):
        target = _target(image_set)
        if target is not None:
            found[str(number)] = target
    return found


def _target(image_set: ImageSet) -> str | None:
    parts = image_set.directory.split("/")
    target = f"../../{image_set.directory}"
    # Longer ones no kernel would follow.
    if any(name_problem(part) for part in parts) or len(target.encode()) >= 4096:
        return None
    return target


def _minute(at_s: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(at_s))


def _encoded(lines: Iterable[str]) -> bytes:
    return ("\n".join(lines) + "\n").encode("utf-8", "backslashreplace")
