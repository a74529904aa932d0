"""What `compare` does: compares files side by side, and prints what differs."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from empiarfs.cli.archives import Archive, Archives
from empiarfs.cli.failures import Failures, note
from empiarfs.cli.output import Form, Output
from empiarfs.cli.progress import progress
from empiarfs.cli.selecting import chosen_by
from empiarfs.cli.terminal import amount, in_one_line
from empiarfs.cli.wanted import one_archive, wanted_files
from empiarfs.core.checksums import Checksum, parse_checksums
from empiarfs.core.files import RemoteFile
from empiarfs.downloads import Wanted
from empiarfs.downloads.crew import Crew
from empiarfs.errors import ConfigError, EmpiarFSError, InterruptedCallError
from empiarfs.local.checking import KINDS, MISSING, Checker, Finding
from empiarfs.local.record import Record, place_of_record
from empiarfs.patience import Patience

_TROUBLE = 2
_LONGEST_LIST = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked of `compare`.

    Attributes:
        directory: Where the copies are; absolute.
        words: TARGETs.
        sums: Files with checksums.
        verify: How many bytes to compare with the archive's.
        as_json: Print JSON.
        verbose: Say more.
        quiet: Print what differs, and say nothing but errors.
    """

    directory: Path
    words: tuple[str, ...]
    sums: tuple[Path, ...]
    verify: str
    as_json: bool
    verbose: bool
    quiet: bool


class _Comparison:
    """Compares the files of one archive, some at a time.

    Attributes:
        findings: What differs so far.
        failed: Paths that could not be compared, with the reasons.
    """

    def __init__(self, order: Order, archive: Archive) -> None:
        self._crew: Crew[Wanted] = Crew("compare", self._check)
        self._archive_url = archive.parts.client.base_url
        self._silent = order.quiet or order.as_json
        self._lock = threading.Lock()
        self._files = self._size = 0  # guarded by _lock
        self.findings: list[Finding] = []  # guarded by _lock
        self.failed: list[tuple[str, EmpiarFSError]] = []  # guarded by _lock
        stopped = self._crew.stopped.is_set
        self.checker = Checker(
            order.directory,
            self._archive_url,
            # Not what has local copies in front: they would be compared with themselves.
            archive.parts.fetcher,
            verify=order.verify,
            record=None if order.verify == "none" else Record(place_of_record(os.environ)),
            patience=lambda: Patience(archive.config.wait_s, stopped),
            stopped=stopped,
        )

    def run(self, wanted: Sequence[Wanted]) -> None:
        """Compare all of these files; a KeyboardInterrupt comes out."""
        total = sum(each.version.size for each in wanted)
        with progress("comparing", len(wanted), total, quiet=self._silent) as told:
            self._crew.run(wanted, lambda: told(self._files, self._size))

    def _check(self, wanted: Wanted) -> None:
        file = RemoteFile(self._archive_url, wanted.path, wanted.version)
        finding: Finding | None = None
        failure: EmpiarFSError | None = None
        try:
            finding = self.checker.check(file)
        except InterruptedCallError:
            return
        except EmpiarFSError as exc:
            failure = exc
        with self._lock:
            self._files += 1
            self._size += file.size
            if finding is not None:
                self.findings.append(finding)
            if failure is not None:
                self.failed.append((file.path, failure))


def compare(order: Order, settings: dict[str, str | None]) -> int:
    """Do what is asked for; return the exit status.

    Raises:
        EmpiarFSError: It can't be done at all.
    """
    if not order.directory.is_dir():
        raise ConfigError(f"{order.directory}: there is no such directory")
    lists = {path: _read_list(path) for path in order.sums}
    with (
        Failures() as failures,
        Archives(
            settings, reads=True, keeps=False, verbose=order.verbose, quiet=order.quiet
        ) as archives,
    ):
        targets = archives.find_all(order.words, failures)
        tops = list(dict.fromkeys(target.path for target, _ in targets))
        if "" in tops:
            raise ConfigError("all of the archive can't be compared; name entries, as 10934")
        archive = one_archive(targets)
        silent = order.quiet or order.as_json
        wanted = wanted_files(targets, chosen_by({}), archives, failures, quiet=silent)
        known = {each.path for each in wanted}
        comparison = _Comparison(order, archive)
        sums = _by_path(order.directory, lists, comparison.checker, tops, known)
        comparison.checker.sums = sums
        comparison.run(wanted)
        if failures.status:
            archives.note("extra files aren't told, since not all of the archive could be listed")
        else:
            for top in tops:
                comparison.findings += comparison.checker.extras(top, known)
        _print(comparison.findings, as_json=order.as_json)
        for path, error in comparison.failed:
            failures.add(path, error)
        if not silent:
            _tell(order, comparison, wanted, sums)
        status = failures.status
    return _TROUBLE if status else int(bool(comparison.findings))


# -- checksums ---------------------------------------------------------------------------------


def _read_list(path: Path) -> list[Checksum]:
    """Return the checksums in a file.

    Raises:
        ConfigError: It can't be read, or has none.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(_LONGEST_LIST + 1)
    except OSError as exc:
        raise ConfigError(f"{path} can't be read: {exc.strerror}") from exc
    if len(raw) > _LONGEST_LIST:
        raise ConfigError(f"{path} is too long for a list of checksums")
    found = list(parse_checksums(raw))
    if not found:
        raise ConfigError(f"{path} has no line as md5sum or sha256sum prints it")
    return found


def _by_path(
    directory: Path,
    lists: dict[Path, list[Checksum]],
    checker: Checker,
    tops: Sequence[str],
    known: set[str],
) -> dict[str, Checksum]:
    """Return checksums by the archive's paths.

    A name in a list is a path in the archive, one below a TARGET or its entry, or that of a
    copy, as seen from where the list lies.

    Args:
        directory: Where the copies are.
        lists: By the file that each stands in.
        checker: Knows where copies of entries are.
        tops: Paths of the TARGETs.
        known: Paths of the archive's files.
    """
    entries = dict.fromkeys(top.split("/", 1)[0] for top in tops)
    above = list(dict.fromkeys([*tops, *entries]))
    places = {
        os.path.normpath(os.path.join(directory, folder)): entry
        for entry in entries
        for folder in checker.folders(entry)
    }
    found: dict[str, Checksum] = {}
    for file, checksums in lists.items():
        here = os.path.dirname(os.path.abspath(file))
        for each in checksums:
            name = os.path.normpath(each.name)
            local = os.path.normpath(os.path.join(here, each.name))
            candidates = [name, *(f"{top}/{name}" for top in above)]
            candidates += [
                f"{entry}{local[len(place) :]}"
                for place, entry in places.items()
                if local.startswith(place + "/")
            ]
            path = next((path for path in candidates if path in known), None)
            if path is not None:
                found[path] = each
    return found


# -- what is printed -----------------------------------------------------------------------


def _print(findings: Sequence[Finding], *, as_json: bool) -> None:
    def order(found: Finding) -> tuple[bytes, int]:
        return found.path.encode("utf-8", "surrogateescape"), KINDS.index(found.kind)

    with Output(Form(as_json=as_json)) as output:
        for each in sorted(findings, key=order):
            if as_json:
                output.value(_values(each))
            else:
                output.line(_line(each))


def _values(found: Finding) -> dict[str, object]:
    return {
        "kind": found.kind,
        "path": found.path,
        "size": found.size,
        "local": found.local,
        "local_size": found.local_size,
        "reason": found.reason,
    }


def _line(found: Finding) -> str:
    size = found.local_size if found.size is None else found.size
    shown = "-" if size is None else str(size)
    reason = "" if found.kind in (MISSING, "extra") else f"  ({found.reason})"
    return f"{found.kind:<10} {shown:>16}  {found.path}{reason}"


def _tell(
    order: Order, found: _Comparison, wanted: Sequence[Wanted], sums: dict[str, Checksum]
) -> None:
    """Say how much was compared, and by what."""
    counts = Counter(each.kind for each in found.findings)
    wrong = sum(count for kind, count in counts.items() if kind != "extra") + len(found.failed)
    how = {"none": "name and size", "sample": "samples", "full": "all bytes"}[order.verify]
    how += f", {len(sums)} by checksum" if order.sums else ""
    different = ", ".join(f"{counts[kind]} {kind}" for kind in KINDS if counts[kind])
    size = sum(each.version.size for each in wanted)
    files = f"{len(wanted)} file{'s' * (len(wanted) != 1)}"
    note(
        f"{len(wanted) - wrong} of {files} ({amount(size)}) are equal in "
        f"{in_one_line(str(order.directory))}, by {how}" + (f"; {different}" if different else "")
    )
    if order.sums and not sums:
        note("no name in the lists of checksums is one of these files")
