"""The files that commands are to fetch: those that are chosen, with exact sizes."""

from __future__ import annotations

from empiarfs.cli.archives import Archive, Archives
from empiarfs.cli.described import described
from empiarfs.cli.failures import Failures
from empiarfs.cli.output import Form
from empiarfs.cli.progress import progress
from empiarfs.cli.rows import Rows
from empiarfs.cli.selecting import Chosen
from empiarfs.cli.selectors import limited, walks
from empiarfs.core.targets import Target
from empiarfs.downloads import Wanted
from empiarfs.errors import ConfigError


def one_archive(targets: list[tuple[Target, Archive]]) -> Archive:
    """Return the archive that all targets lie in.

    Raises:
        ConfigError: They lie in several.
    """
    archive = targets[0][1]
    if any(each is not archive for _, each in targets):
        raise ConfigError("the TARGETs lie in several archives or caches; do them one by one")
    return archive


def wanted_files(
    targets: list[tuple[Target, Archive]],
    choice: Chosen,
    archives: Archives,
    failures: Failures,
    *,
    quiet: bool,
) -> list[Wanted]:
    """Return the files that are chosen, each once; what can't be had is told.

    Args:
        targets: What they are chosen from.
        choice: Which.
        archives: The targets'.
        failures: Takes what can't be had.
        quiet: Show no progress.
    """
    every = [Rows(target, archive, Form(long=True), failures) for target, archive in targets]
    choice = described(choice, every, archives)
    wanted: dict[str, Wanted] = {}
    size = 0
    with progress("looking", 0, 0, quiet=quiet) as told:
        for rows, walk in zip(every, walks(every, choice, archives, failures), strict=True):
            with failures.caught(rows.target.spelt):
                for exact in limited(rows, walk, choice, sizes=True):
                    archives.working()
                    if exact.version is not None and exact.item.path not in wanted:
                        wanted[exact.item.path] = Wanted(exact.item.path, exact.version)
                        size += exact.version.size
                        told(len(wanted), size)
    return list(wanted.values())
