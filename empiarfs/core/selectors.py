"""The grammar of selectors: which files of an entry are meant, by what they are.

It is the same for every command and for Python; the names are those of the options:

    role         movies, gain, …           what the file is for (`empiarfs.core.roles`)
    image_set    1                         what lies in the entry's first image set
    tilt_series  TS_006                    what an mdoc file of this name says was recorded
    from_star    particles.star            what RELION's table names
    from_cs      exported.cs               what cryoSPARC's table names
    first        10                        the first so many, in the order of the answer
    sample       10, with a `seed`         so many, by chance

All that is given has to match; of one that may be given several times, any. Then a sample is
taken, then the first. Directories are never meant.

Pure functions, safe from any thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from empiarfs.core.roles import ROLES, ImageSet, role_of

if TYPE_CHECKING:
    from empiarfs.core.entries.values import ImageSet as DescribedSet

MOST = 1_000_000
"""Files that `first` and `sample` may ask for."""


@dataclass(frozen=True, slots=True)
class Selectors:
    """Which files are meant; all of them unless it says something else.

    Attributes:
        roles: Of `ROLES`; empty for any.
        image_set: Numbers of image sets, from 1, as EMPIAR orders them.
        tilt_series: Names of tilt series.
        from_star: Tables of RELION, as they were given.
        from_cs: Tables of cryoSPARC, as they were given.
        first: How many of the first, or None.
        sample: How many by chance, or None.
        seed: Which sample.

    Raises:
        ValueError: A role that there isn't, or a number out of bounds.
    """

    roles: frozenset[str] = frozenset()
    image_set: tuple[int, ...] = ()
    tilt_series: tuple[str, ...] = ()
    from_star: tuple[str, ...] = ()
    from_cs: tuple[str, ...] = ()
    first: int | None = None
    sample: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        unknown = sorted(self.roles - set(ROLES))
        if unknown:
            raise ValueError(f"{unknown[0]!r} is no role; write one of {', '.join(ROLES)}")
        for name, number in (("first", self.first), ("sample", self.sample)):
            if number is not None and not 1 <= number <= MOST:
                raise ValueError(f"{name}: {number} isn't between 1 and {MOST}")

    def __bool__(self) -> bool:
        return self != Selectors()

    @property
    def names_files(self) -> bool:
        """Whether files are looked into to know which are meant."""
        return bool(self.tilt_series or self.from_star or self.from_cs)


@dataclass(frozen=True, slots=True)
class Described:
    """What EMPIAR says of the directories of entries, as far as a search needs it.

    Attributes:
        image_sets: Of entries, by the names of their directories in the archive.
        places: Directories below the archive's root, of which one has to hold a file; None if
            any may.
    """

    image_sets: Mapping[str, Sequence[ImageSet]] = field(default_factory=dict)
    places: tuple[str, ...] | None = None

    def holds(self, path: str, roles: frozenset[str] = frozenset()) -> bool:
        """Tell whether a file lies in one of the places and has one of the roles.

        Args:
            path: Below the archive's root, such as `10934/data/x.eer`.
            roles: Of `ROLES`; empty for any.

        >>> Described(places=("10934/data/a",)).holds("10934/data/ab/x.eer")
        False
        """
        if self.places is not None and not any(_is_in(path, each) for each in self.places):
            return False
        return not roles or self.role(path) in roles

    def role(self, path: str) -> str:
        """Return the role of a file, by its path below the archive's root."""
        entry, _, below = path.partition("/")
        return role_of(below or path, self.image_sets.get(entry, ()))

    def leads_on(self, directory: str) -> bool:
        """Tell whether a file that is held may lie in a directory, or below."""
        return self.places is None or any(
            _is_in(directory, each) or _is_in(each, directory) for each in self.places
        )


def _is_in(path: str, directory: str) -> bool:
    return path == directory or path.startswith(f"{directory}/")


def parse_roles(texts: Iterable[str]) -> frozenset[str]:
    """Return the roles in texts such as `movies,gain`.

    >>> sorted(parse_roles(["movies, gain", "maps"]))
    ['gain', 'maps', 'movies']
    """
    words = (word.strip().lower() for text in texts for word in text.split(","))
    return frozenset(word for word in words if word)


def stated_by(sets: Iterable[DescribedSet]) -> tuple[ImageSet, ...]:
    """Return what roles are told by, of an entry with these image sets."""
    described = list(sets)
    found = [
        (each.directory, each.category, each.data_format or each.header_format)
        for each in described
        if each.directory
    ]
    # Some entries tell only here where the picked particles of micrographs are.
    found += [
        (each.particles_directory, "picked particles", "")
        for each in described
        if each.particles_directory
    ]
    return tuple(found)
