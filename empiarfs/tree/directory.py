"""One directory in memory: its rows, the sizes known so far, and what was asked in vain.

Threading: `condition` guards what changes (versions, what is asked, absences); rows and
names never change. A newer listing makes a new `Directory`.
"""

from __future__ import annotations

import threading
import time
from array import array
from dataclasses import dataclass

from empiarfs.catalog import KnownDirectory, KnownRow
from empiarfs.core import paths
from empiarfs.core.files import FileVersion
from empiarfs.core.listing import ListingItem
from empiarfs.core.siblings import AttributeWindow
from empiarfs.errors import EmpiarFSError

# How long an answer "no such file" is believed; the archive may publish meanwhile.
_ABSENCE_TTL_S = 30.0
# A listing may lack rows (1 of 1,250 was seen missing), so the first unlisted names are
# asked for. Once these few are confirmed absent, the listing is believed for a while:
# zarr and others look for thousands of names that aren't there.
_ABSENCES_FOR_BELIEF = 5
_BELIEF_S = 600.0
# How soon after reading the names a program asks for the first size, and for the next.
_LISTED_S = 10.0
# How long sizes that other processes may have learnt aren't looked for in the catalog: it
# takes 4 µs a row, and so at most 1 % of the time.
_ELSEWHERE_S, _ELSEWHERE_A_ROW_S = 5.0, 0.0004
# Bounds the absences remembered for one directory.
_ABSENCES_KEPT = 4096


@dataclass(frozen=True, slots=True)
class DirectoryItem:
    """A child of a directory, as `readdir` shows it.

    Attributes:
        name: Its name.
        inode: Its inode number.
        is_directory: Whether it is a directory; else a file.
        is_link: Whether it is a symbolic link and no file; nothing in the archive is.
    """

    name: str
    inode: int
    is_directory: bool
    is_link: bool = False


class Directory:
    """What is known of one directory of the archive.

    Attributes:
        path: Its path.
        fetched_s: When its listing came from the archive, in seconds since 1970.
        refused_count: How many rows of the listing could not be served.
        items: The listing's rows, in its order.
        rows: Index into `items` by name.
        inodes: Inode numbers, one for each item.
        condition: Guards the attributes below, and is notified when sizes come.
        versions: The exact version of each item where it is known.
        previous: Versions that held before the listing's row changed, by index.
        asked: Indices whose size is being asked for.
        wanted: How many callers wait for an index.
        failures: Why a size could not be had, and until when that is believed, by index.
        window: How sizes were asked for so far.
        unlisted: Names that the listing lacks and the archive has.
        outdated: Something proved that the listing no longer holds.
        looked_again: Its listing was found to lack a name, and so was fetched once more.
        no_refresh_before_s: Monotonic time before which a stale listing isn't refreshed.
        listed_until_s: Monotonic time until which a program that wants sizes counts as
            one that has just listed the directory.
        elsewhere_from_s: Monotonic time from which sizes that aren't known may be looked for
            in the catalog.
    """

    def __init__(self, known: KnownDirectory) -> None:
        self.path = known.path
        self.fetched_s = known.fetched_s
        self.refused_count = known.refused_count
        self.items: tuple[ListingItem, ...] = tuple(row.item for row in known.rows)
        self.rows = {item.name: i for i, item in enumerate(self.items)}
        self.inodes = _inodes(known.path, self.items)
        self.condition = threading.Condition()
        self.versions: list[FileVersion | None] = [row.version for row in known.rows]
        self.previous: dict[int, FileVersion] = {}
        self.asked: set[int] = set()
        self.wanted: dict[int, int] = {}
        self.failures: dict[int, tuple[EmpiarFSError, float]] = {}
        self.window = AttributeWindow()
        self.unlisted: dict[str, KnownRow] = {}
        self.outdated = False
        self.looked_again = False
        self.no_refresh_before_s = 0.0
        self.listed_until_s = 0.0
        self._absent: dict[str, float] = {}
        self._absences = 0
        self._believed_until_s = 0.0
        self._children: tuple[DirectoryItem, ...] | None = None
        self.elsewhere_from_s = 0.0
        self._note_look_elsewhere()

    def children(self) -> tuple[DirectoryItem, ...]:
        """Return the children in listing order; the same tuple at each call."""
        if self._children is None:
            # Two threads may both make it; they make the same.
            self._children = tuple(
                DirectoryItem(item.name, inode, item.is_directory)
                for item, inode in zip(self.items, self.inodes, strict=True)
            )
        return self._children

    def known(self) -> KnownDirectory:
        """Return a frozen copy, for the catalog and for merging."""
        with self.condition:
            rows = tuple(
                KnownRow(item, version)
                for item, version in zip(self.items, self.versions, strict=True)
            )
        return KnownDirectory(self.path, self.fetched_s, rows, self.refused_count)

    def may_be_known_elsewhere(self) -> bool:
        """Tell whether to look for sizes in the catalog again; seldom, as that takes its time."""
        with self.condition:
            if time.monotonic() < self.elsewhere_from_s:
                return False
            self._note_look_elsewhere()
            return True

    def _note_look_elsewhere(self) -> None:
        self.elsewhere_from_s = (
            time.monotonic() + _ELSEWHERE_S + _ELSEWHERE_A_ROW_S * len(self.items)
        )

    def note_listed(self) -> None:
        """Remember that a program has read the names, and may want sizes next."""
        self.listed_until_s = time.monotonic() + _LISTED_S

    def was_just_listed(self) -> bool:
        """Tell whether a program has just read the names, or went on wanting sizes since."""
        if time.monotonic() >= self.listed_until_s:
            return False
        self.note_listed()
        return True

    def note_opened(self) -> None:
        """Remember that a program reads the files, and wants no sizes for their own sake."""
        if not self.window.is_read:
            with self.condition:
                self.window = self.window.after_open()

    def is_absent(self, name: str) -> bool:
        """Tell whether the unlisted `name` is believed absent without asking."""
        now = time.monotonic()
        with self.condition:
            if self._absent.get(name, 0.0) > now:
                return True
            return self._believed_until_s > now and not paths.is_hidden_by_apache(name)

    def note_absence(self, name: str) -> None:
        """Remember that the archive says it has no `name` here."""
        now = time.monotonic()
        with self.condition:
            if len(self._absent) >= _ABSENCES_KEPT:
                self._absent.clear()
            self._absent[name] = now + _ABSENCE_TTL_S
            if not paths.is_hidden_by_apache(name):
                self._absences += 1
                if self._absences >= _ABSENCES_FOR_BELIEF:
                    self._absences = 0
                    self._believed_until_s = now + _BELIEF_S

    def failure(self, row: int) -> EmpiarFSError | None:
        """Return why the row's size could not be had lately; the caller holds `condition`."""
        failure, until_s = self.failures.get(row, (None, 0.0))
        if failure is not None and time.monotonic() >= until_s:
            del self.failures[row]
            return None
        return failure


def _inodes(path: str, items: tuple[ListingItem, ...]) -> array[int]:
    """Return an inode number for each item, all different within the directory."""
    numbers = array("Q")
    taken: set[int] = set()
    for item in items:
        number = paths.inode_of(paths.join(path, item.name))
        while number in taken:
            number = (number + 1) % 2**64 or 2
        taken.add(number)
        numbers.append(number)
    return numbers
