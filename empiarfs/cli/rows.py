"""Turns what was found in the archive into rows to print, in the order that was asked for.

Threading: used from one thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from empiarfs.browse import Exact, Item
from empiarfs.cli.archives import Archive
from empiarfs.cli.failures import Failures
from empiarfs.cli.output import Form, Row
from empiarfs.core.targets import Target
from empiarfs.errors import EmpiarFSError


@dataclass(frozen=True, slots=True)
class Rows:
    """Makes rows of what lies below one target.

    Attributes:
        target: As it was given.
        archive: The archive that it lies in.
        form: How rows are printed.
        failures: Takes the sizes that couldn't be had.
    """

    target: Target
    archive: Archive
    form: Form
    failures: Failures

    @property
    def prints_urls(self) -> bool:
        """Whether names are printed as URLs, which need no heading."""
        return self.form.url or self.form.ftp_url

    def below(self, item: Item) -> str:
        """Return the item's path below the target."""
        if item.path == self.target.path:
            return ""
        return item.path[len(self.target.path) :].lstrip("/") if self.target.path else item.path

    def fail(self, item: Item, error: EmpiarFSError) -> None:
        """Tell that something of this item can't be had."""
        self.failures.add(self._spell(item), error)

    def exact(self, items: Sequence[Item], *, needed: bool) -> Iterator[Exact]:
        """Yield the items with their sizes, if those are needed; failures are told."""
        if not (needed or self.form.needs_sizes):
            yield from (Exact(item) for item in items)
            return
        for exact in self.archive.browser.exact(items):
            if exact.error is not None:
                self.fail(exact.item, exact.error)
            yield exact

    def row(self, exact: Exact, *, name_only: bool = False) -> Row:
        """Return the row of an item; by its name, or by its path as the target was spelt."""
        item, version, form = exact.item, exact.version, self.form
        spelt = self._spell(item)
        # Only what is printed is worked out: a directory may have 200,000 names.
        modified_s = None
        if form.needs_sizes:
            known = None if version is None else version.modified_s
            modified_s = item.listed_s if known is None else known
        return Row(
            shown=item.name + "/" * item.is_directory if name_only else spelt,
            target=spelt,
            path=item.path,
            url=self._url(item) if form.as_json or self.prints_urls else "",
            is_directory=item.is_directory,
            size=None if version is None else version.size,
            modified_s=modified_s,
        )

    def _url(self, item: Item) -> str:
        return self.archive.url(item.path, is_directory=item.is_directory, ftp=self.form.ftp_url)

    def _spell(self, item: Item) -> str:
        return self.target.spell(self.below(item), is_directory=item.is_directory)


def ordered(found: Iterable[Exact], sort: str, *, reverse: bool) -> Iterable[Exact]:
    """Return what was found in the order of `--sort`; equal ones by name.

    What has no size or time comes first.
    """
    if sort == "none":
        return reversed(list(found)) if reverse else found
    return sorted(found, key=_KEYS[sort], reverse=reverse)


def _path(exact: Exact) -> tuple[float, bytes]:
    return 0, exact.item.path.encode("utf-8", "surrogateescape")


def _size(exact: Exact) -> tuple[float, bytes]:
    return (-1 if exact.version is None else exact.version.size, _path(exact)[1])


def _time(exact: Exact) -> tuple[float, bytes]:
    known = None if exact.version is None else exact.version.modified_s
    modified_s = exact.item.listed_s if known is None else known
    return (float("-inf") if modified_s is None else modified_s, _path(exact)[1])


_KEYS: dict[str, Callable[[Exact], tuple[float, bytes]]] = {
    "name": _path,
    "size": _size,
    "time": _time,
}
