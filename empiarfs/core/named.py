r"""Which files of the archive are meant by paths that were written down elsewhere.

A STAR file names `Movies/x.tif` of a project directory, an mdoc file `D:\frames\x.tif` of a
microscope's computer, and the archive has `10934/data/movies_1/x.tif`. So a path means the
files of the same name, and of these the ones that have the most directories in common with
it, counted from the name upwards. If several have as many in common, all are meant. A file
that has more in common with another of the paths is left to that: where two directories
had files of one name and the archive has one of them, the other is missing.

What is held is the paths, and the files that have the name of one of them.

Pure; not thread-safe.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

# cryoSPARC puts such a number before the names of what it imports.
_UID = re.compile(r"\d{15,21}_(?=.)")
# More directories in a row tell nothing; and a path could have 2,000.
_MOST_PARTS = 32
_SEPARATORS = re.compile(r"[/\\]+")


@dataclass(slots=True)
class _Node:
    """A name and what may stand before it; `files` are those that end here."""

    before: dict[str, _Node] = field(default_factory=dict)
    files: dict[str, None] = field(default_factory=dict)

    def all_files(self) -> Iterator[str]:
        todo = [self]
        while todo:
            node = todo.pop()
            yield from node.files
            todo += reversed(node.before.values())


@dataclass(frozen=True, slots=True)
class Found:
    """What the paths of one list mean.

    Attributes:
        files: Files of the archive, each once, in the order of the paths.
        missing: Paths that mean none.
        ambiguous: Paths that mean more than one.
    """

    files: tuple[str, ...]
    missing: tuple[str, ...]
    ambiguous: tuple[str, ...]


class NamedFiles:
    """Finds the files that lists of paths mean.

    Args:
        lists: The paths; with slashes, or backslashes as on Windows.
    """

    def __init__(self, lists: Iterable[Iterable[str]]) -> None:
        self._lists = [list(each) for each in lists]
        self._root = _Node()
        self._names = {
            parts[0] for paths in self._lists for path in paths for parts in _spellings(path)
        }

    def note(self, path: str) -> bool:
        """Take notice of a file of the archive; return whether it may be meant."""
        name = path.rpartition("/")[2]
        if name not in self._names:
            return False
        node = self._root
        for part in path.split("/")[: -_MOST_PARTS - 1 : -1]:
            node = node.before.setdefault(part, _Node())
        node.files[path] = None
        return True

    def found(self) -> list[Found]:
        """Return what each of the lists means, of the files that were noticed."""
        return [self._found(paths) for paths in self._lists]

    def of_each(self) -> list[dict[str, tuple[str, ...]]]:
        """Return which files each path of each of the lists means."""
        return [self._of_each(paths) for paths in self._lists]

    def _found(self, paths: list[str]) -> Found:
        of_each = self._of_each(paths)
        files = dict.fromkeys(file for those in of_each.values() for file in those)
        missing = tuple(path for path, those in of_each.items() if not those)
        ambiguous = tuple(path for path, those in of_each.items() if len(those) > 1)
        return Found(tuple(files), missing, ambiguous)

    def _of_each(self, paths: list[str]) -> dict[str, tuple[str, ...]]:
        nodes = {path: self._nearest(path) for path in paths}
        taken: dict[str, int] = {}
        meant: dict[int, tuple[str, ...]] = {}
        for depth, node in sorted(nodes.values(), key=lambda each: -each[0]):
            if depth and id(node) not in meant:
                free = [file for file in node.all_files() if taken.get(file, depth) == depth]
                meant[id(node)] = tuple(free)
                taken.update(dict.fromkeys(free, depth))
        return {path: meant.get(id(node), ()) for path, (_, node) in nodes.items()}

    def _nearest(self, path: str) -> tuple[int, _Node]:
        """Return how many components a path shares with files at most, and where they are."""
        for parts in _spellings(path):
            node, depth = self._root, 0
            for part in parts:
                if part not in node.before:
                    break
                node, depth = node.before[part], depth + 1
            if depth:
                return depth, node
        return 0, self._root


def _spellings(path: str) -> Iterator[list[str]]:
    """Yield the components of a path, the name first; as it is, and without an added number."""
    parts = [part for part in _SEPARATORS.split(path) if part not in ("", ".")]
    parts = parts[: -_MOST_PARTS - 1 : -1]
    if not parts:
        return
    yield parts
    plain = _UID.sub("", parts[0], count=1)
    if plain != parts[0]:
        yield [plain, *parts[1:]]
