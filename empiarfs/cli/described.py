"""What EMPIAR says of the entries that targets lie in, for `--role` and `--image-set`.

It is from the store if it is young enough (`empiarfs.entries`), else asked for. A role can be
told without it, by names alone, and then a note says so; an image set can't.

Threading: used from one thread.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from empiarfs.core.selectors import Described, stated_by
from empiarfs.core.targets import entry_number
from empiarfs.errors import ConfigError, EmpiarFSError, NoSuchNameError, NotFoundError

if TYPE_CHECKING:
    from pathlib import Path

    from empiarfs.cli.archives import Archives
    from empiarfs.cli.rows import Rows
    from empiarfs.cli.selecting import Chosen
    from empiarfs.config import Config
    from empiarfs.core.entries.values import ImageSet

# What is only an addition is not waited for as long as an answer is.
_ADDITION_S = 15.0
# Of more entries the stored descriptions do: each would be a request.
_MOST_ASKED = 20


class UnknownSetError(EmpiarFSError):
    """An image set isn't known; the message says which and why."""


def described(choice: Chosen, targets: Sequence[Rows], archives: Archives) -> Chosen:
    """Return a choice that knows what it needs of the entries that the targets lie in.

    Raises:
        ConfigError: An image set is wanted of a target that lies in no entry.
        UnknownSetError: There is no such image set, or the entry isn't known.
    """
    means = choice.selectors
    if not means.roles and not means.image_set:
        return choice
    numbers = {rows.target.path: entry_number(rows.target.path) for rows in targets}
    if means.image_set and None in numbers.values():
        raise ConfigError("--image-set goes with targets in an entry, such as EMPIAR-10934")
    # What lies in a mount is asked where that mount asks.
    asked: dict[tuple[str, Path | None], tuple[Config, set[int]]] = {}
    for rows in targets:
        number = numbers[rows.target.path]
        config = rows.archive.config
        if number is not None:
            asked.setdefault((config.api_url, config.cache_dir), (config, set()))[1].add(number)
    known: dict[int, Sequence[ImageSet]] = {}
    for config, wanted in asked.values():
        known |= _image_sets(sorted(wanted), config, archives, needed=bool(means.image_set))
    places = None
    if means.image_set:
        places = tuple(
            _place(rows, nth, known)
            for rows in {numbers[rows.target.path]: rows for rows in targets}.values()
            for nth in means.image_set
        )
    stated = {str(number): stated_by(sets) for number, sets in known.items()}
    return replace(choice, described=Described(stated, places))


def described_here(paths: Sequence[str], config: Config) -> Described:
    """Return what is known here of the entries that these paths lie in; nobody is asked."""
    from empiarfs.cli.knowing import known_entries
    from empiarfs.patience import Patience

    stated = {}
    with known_entries(config, offline=True) as entries:
        for number in {entry_number(path) for path in paths} - {None}:
            assert number is not None
            with contextlib.suppress(EmpiarFSError):  # it isn't known
                known = entries.entry(number, patience=Patience(0.0)).known
                stated[str(number)] = stated_by(known.entry.image_sets)
    return Described(stated)


def _image_sets(
    numbers: Sequence[int], config: Config, archives: Archives, *, needed: bool
) -> dict[int, Sequence[ImageSet]]:
    from empiarfs.cli.knowing import PATIENCE_S, known_entries
    from empiarfs.patience import Patience

    seconds = PATIENCE_S if needed else _ADDITION_S
    offline = len(numbers) > _MOST_ASKED and not needed
    found: dict[int, Sequence[ImageSet]] = {}
    lacking: list[str] = []
    with known_entries(config, offline=offline) as entries:
        for number in numbers:
            try:
                answer = entries.entry(number, patience=Patience(seconds))
            except EmpiarFSError as exc:  # a request takes longer
                if needed:
                    raise UnknownSetError(_why(number, exc)) from exc
                if not isinstance(exc, NotFoundError):
                    # Whoever didn't answer just now is not waited for again.
                    seconds = 0.0
                    lacking.append(_why(number, exc))
                continue
            found[number] = answer.known.entry.image_sets
    if lacking:
        others = f" (and {len(lacking) - 1} more)" * (len(lacking) > 1)
        archives.note(f"roles are told by names alone: {lacking[0]}{others}")
    return found


def _why(number: int, error: EmpiarFSError) -> str:
    if isinstance(error, NotFoundError):
        return f"EMPIAR has no description of EMPIAR-{number}"
    return f"EMPIAR's description of EMPIAR-{number} can't be had: {error}"


def _place(rows: Rows, nth: int, known: Mapping[int, Sequence[ImageSet]]) -> str:
    """Return the directory of an image set, below the archive's root."""
    number = entry_number(rows.target.path)
    assert number is not None
    sets = known[number]
    if nth > len(sets):
        counted = f"{len(sets)} image set{'s' * (len(sets) != 1)}"
        raise UnknownSetError(f"EMPIAR-{number} has {counted}, and no number {nth}")
    directory = sets[nth - 1].directory
    if not directory:
        raise UnknownSetError(f"EMPIAR doesn't say where image set {nth} of EMPIAR-{number} is")
    path = f"{number}/{directory}"
    try:
        rows.archive.browser.look(path)
    except NoSuchNameError as exc:
        # EMPIAR doesn't check it.
        raise UnknownSetError(
            f"image set {nth} of EMPIAR-{number} is said to be in {directory}, "
            "which isn't in the archive"
        ) from exc
    return path
