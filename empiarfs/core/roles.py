"""What a file of an entry is for: a movie, a gain reference, a particle stack, and so on.

EMPIAR says it of directories (image sets), in words that a depositor chose from a list; names
and formats say it of files. The first of these that tells decides:

    1. the format: tables and texts are metadata, coordinates are picks, `.eer` is a movie
    2. `gain`, `dark` or `defects` as a word of the name, or of its directory's
    3. a word such as `movies` in the name of a directory below the image set's
    4. the category of the image set that the file lies in, if the format is the set's
    5. a format of one use (`.st`, `.rec`, `.map`)
    6. a word in the file's name, then in those of its directories, from the nearest on

What none of them tells is unknown, never a guess from what is usual. Words are parts of
names between characters that are no letters, also where an upper-case one follows a lower.

Pure functions, safe from any thread.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator, Sequence
from functools import lru_cache

ROLES = (
    "movies",
    "micrographs",
    "particles",
    "picks",
    "gain",
    "tilts",
    "tomograms",
    "maps",
    "metadata",
    "unknown",
)

ImageSet = tuple[str, str, str]
"""Directory below the entry's (`data/movies`), category in EMPIAR's words, format (`TIFF`)."""


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_CATEGORIES = (
    ("micrographs - multiframe", "movies"),
    ("micrographs", "micrographs"),
    ("picked particles", "particles"),
    ("subtomograms", "particles"),
    ("tilt series", "tilts"),
    ("stitched maps", "maps"),
    ("reconstructed volumes", "tomograms"),
)
_METADATA = _set(
    "adoc cfg com cs csv defocus doc edf fid htm html ini json log lst md mdoc nav par pdf "
    "prexf prexg py rawtlt rtf sh star tab tlt tltxf tsv txt xf xls xlsx xml xtilt yaml yml"
)
_PICKS = _set("box boxes cbox coord coords plt pos pts")
_FORMATS = {
    "mrc": "MRC", "mrcs": "MRCS", "st": "MRC", "ali": "MRC", "preali": "MRC", "rec": "MRC",
    "map": "CCP4", "ccp4": "CCP4", "tif": "TIFF", "tiff": "TIFF", "eer": "EER", "gain": "TIFF",
    "dm3": "DM3", "dm4": "DM4", "h5": "HDF5", "hdf": "HDF5", "hdf5": "HDF5", "em": "EM",
    "spi": "SPIDER", "img": "IMAGIC", "hed": "IMAGIC", "raw": "RAW", "dat": "RAW",
}  # fmt: skip
# What depositors call the same kind of file.
_ALIKE = ({"MRC", "MRCS", "CCP4"}, {"TIFF", "EER"})
_PACKED = _set("bz2 gz xz zst lzma")
_ONE_USE = {
    "st": "tilts", "ali": "tilts", "preali": "tilts", "rec": "tomograms",
    "map": "maps", "ccp4": "maps",
}  # fmt: skip
_WORDS = {
    "movies": "movie movies frame frames fraction fractions multiframe subframes unaligned",
    "micrographs": "micrograph micrographs mic mics motioncorr motioncorrected doseweighted "
    "dw aligned sum sums",
    "particles": "particle particles ptcl ptcls extract extracted subtomo subtomos subtomogram "
    "subtomograms",
    "tilts": "tilt tilts tiltseries tiltstack tiltstacks",
    "tomograms": "tomogram tomograms tomo tomos",
    "maps": "map maps mask masks halfmap halfmaps postprocess",
}
_ROLE_OF_WORD = {word: role for role, words in _WORDS.items() for word in words.split()}
_PICK_WORDS = _set(
    "autopick autopicked coordinates coords manualpick manualpicked pick picked picking picks"
)
_GAIN_WORDS = _set(
    "countref countrefs dark darkref darks defect defects flatref gain gainref gainrefs "
    "gainreference gains superref superrefs"
)
_NO_GAIN_BEFORE = _set("corr corrected applied normalised normalized")
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def role_of(path: str, image_sets: Sequence[ImageSet] = ()) -> str:
    """Return the role of a file, one of `ROLES`.

    Args:
        path: Below the entry's directory, such as `data/movies/x.tif`.
        image_sets: What EMPIAR says of the entry's directories; () if that isn't known.

    >>> role_of("data/x_001.eer"), role_of("data/CountRef_x.dm4"), role_of("data/x_001.mrc")
    ('movies', 'gain', 'unknown')
    >>> role_of("data/a/x_001.mrc", [("data/a", "micrographs - single frame", "MRC")])
    'micrographs'
    """
    directory, _, name = path.rpartition("/")
    stem, kind = _split(name)
    words = _words(stem)
    above = tuple(directory.split("/")) if directory else ()
    plain = _of_kind(kind, words, above)
    if plain is not None:
        return plain
    if kind not in _FORMATS:
        return "unknown"
    if kind == "gain" or _is_gain(words) or (above and _is_gain(_words(above[-1]))):
        return "gain"
    if kind == "eer":
        return "movies"
    depth, stated = _stated(directory, kind, image_sets)
    if stated is not None:
        return _of_words(map(_words, reversed(above[depth:]))) or stated
    return _ONE_USE.get(kind) or _of_words([words, *map(_words, reversed(above))]) or "unknown"


def _split(name: str) -> tuple[str, str]:
    """Return a name without its ending, and the ending; what packs the file is no ending."""
    stem, dot, kind = name.rpartition(".")
    if kind.lower() in _PACKED and "." in stem:
        stem, dot, kind = stem.rpartition(".")
    return (stem, kind.lower()) if dot else (name, "")


def _of_kind(kind: str, words: tuple[str, ...], above: tuple[str, ...]) -> str | None:
    if kind in _PICKS:
        return "picks"
    if kind == "txt" and _is_gain(words):
        return "gain"
    if kind in ("star", "txt", "csv", "json") and (
        not _PICK_WORDS.isdisjoint(words)
        or (above and not _PICK_WORDS.isdisjoint(_words(above[-1])))
    ):
        return "picks"
    if kind in _METADATA or (words[:1] == ("readme",) and kind not in _FORMATS):
        return "metadata"
    return None


def _is_gain(words: tuple[str, ...]) -> bool:
    return any(
        term in _GAIN_WORDS and after not in _NO_GAIN_BEFORE
        for term, after in _terms(words, _GAIN_WORDS)
    )


def _terms(words: tuple[str, ...], known: Container[str]) -> Iterator[tuple[str, str]]:
    """Yield each word and the next; two that are known together, as `tilt series`, are one."""
    rest = iter(zip(words, (*words[1:], ""), (*words[2:], "", ""), strict=False))
    for word, after, later in rest:
        if word + after in known and after:
            next(rest)
            yield word + after, later
        else:
            yield word, after


def _stated(directory: str, kind: str, image_sets: Sequence[ImageSet]) -> tuple[int, str | None]:
    """Return how deep the image set lies that holds a file, and the role that it states.

    The deepest set decides; of several that share a directory, those of the file's format.
    What they don't agree on isn't stated.
    """
    deepest, roles = -1, set[str]()
    for place, category, form in image_sets:
        below = place.strip("/")
        if below and directory != below and not directory.startswith(below + "/"):
            continue
        depth = below.count("/") + 1 if below else 0
        if depth < deepest or not _is_of_format(kind, form):
            continue
        if depth > deepest:
            deepest, roles = depth, set()
        roles.add(_role_of_category(category))
    role = roles.pop() if len(roles) == 1 else "unknown"
    return max(deepest, 0), None if role == "unknown" else role


def _is_of_format(kind: str, form: str) -> bool:
    wanted, own = form.strip().upper(), _FORMATS[kind]
    if not wanted or wanted == own or wanted not in _FORMATS.values():
        return True
    return any({wanted, own} <= alike for alike in _ALIKE)


def _role_of_category(category: str) -> str:
    text = " ".join(category.lower().split())
    return next((role for known, role in _CATEGORIES if text.startswith(known)), "unknown")


def _of_words(places: Iterable[tuple[str, ...]]) -> str | None:
    """Return what the first of these names tells; one that says two things tells nothing."""
    for words in places:
        roles = set(_roles(words))
        if len(roles) == 1:
            return roles.pop()
    return None


def _roles(words: tuple[str, ...]) -> Iterator[str]:
    for term, _ in _terms(words, _ROLE_OF_WORD):
        if term in _ROLE_OF_WORD:
            yield _ROLE_OF_WORD[term]


@lru_cache(maxsize=4096)
def _words(name: str) -> tuple[str, ...]:
    return tuple(part.lower() for part in _PART.findall(name))
