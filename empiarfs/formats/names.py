"""The files that a table names, each once, by the column that names them."""

from __future__ import annotations

from empiarfs.formats.window import FormatError

# The largest entries have some 50,000 movies; with 100 characters each this is 150 MB.
_MOST_NAMES = 1_000_000
_LONGEST_NAME = 4096


class Names:
    """File names by column, in the order in which they are added; each once for a column.

    Not thread-safe. It is false while there is no column.
    """

    def __init__(self) -> None:
        self._columns: dict[str, dict[str, None]] = {}
        self._count = 0

    def __bool__(self) -> bool:
        return bool(self._columns)

    @property
    def columns(self) -> dict[str, list[str]]:
        """The names of each column."""
        return {column: list(names) for column, names in self._columns.items()}

    def begin(self, column: str) -> None:
        """Note that there is such a column, also if it names nothing."""
        self._columns.setdefault(column, {})

    def add(self, column: str, name: str) -> None:
        """Add a name; an empty one is none.

        Raises:
            FormatError: There are too many, or it is longer than a path can be.
        """
        names = self._columns.setdefault(column, {})
        if not name or name in names:
            return
        if len(name) > _LONGEST_NAME:
            raise FormatError(f"a name in {column} is longer than {_LONGEST_NAME} characters")
        if self._count == _MOST_NAMES:
            raise FormatError(f"it names more than {_MOST_NAMES} files")
        names[name] = None
        self._count += 1
