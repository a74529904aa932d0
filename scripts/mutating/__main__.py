"""Breaks each promise in a copy of the code: `python -m scripts.mutating [P1 …]`.

`mutations.toml` beside this file has one mutation for each promise: a piece of code that
stands once in its file, what to put in its place, and a test that carries the promise. The
test must pass before and fail after; anything else is a mistake, of the test or of the list.
Ends with 1 if there is one.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

CHECKOUT = Path(__file__).resolve().parents[2]
LIST = Path(__file__).with_name("mutations.toml")
_COPIED = ("empiarfs", "tests", "docs", "scripts", "pyproject.toml", "README.md", "LICENSE")
# Tests with real mounts take some seconds; one that hangs because of a mutation has noticed it.
_TIMEOUT_S = 180
_PASSED, _FAILED = 0, 1


@dataclass(frozen=True, slots=True)
class Mutation:
    """One way to break a promise.

    Attributes:
        promise: Its name in docs/semantics.md.
        breaks: What doesn't hold any more, in words.
        file: The file, from the checkout's root.
        old: What stands there, once.
        new: What is put in its place.
        test: The test that must notice, from the folder of tests.
    """

    promise: str
    breaks: str
    file: str
    old: str
    new: str
    test: str


def mutations() -> list[Mutation]:
    """Return the list."""
    table = tomllib.loads(LIST.read_text(encoding="utf-8"))
    return [Mutation(**values) for values in table["mutation"]]


def main() -> int:
    """Try the mutations and print a table; return the exit status."""
    parser = argparse.ArgumentParser(prog="scripts/mutations", description=__doc__)
    parser.add_argument("promises", nargs="*", metavar="PROMISE", help="such as P4; else all")
    chosen = parser.parse_args().promises
    listed = [each for each in mutations() if not chosen or each.promise in chosen]
    console = Console(width=160)
    with tempfile.TemporaryDirectory(prefix="empiarfs-mutations-") as folder:
        copy = Path(folder)
        copy.chmod(0o755)  # a plain user must be able to enter
        make_copy(copy)
        table = Table("promise", "broken so that", "test", "outcome", "s")
        mistakes = 0
        for mutation in listed:
            began_s = time.monotonic()
            outcome = outcome_of(mutation, copy)
            mistakes += outcome != "noticed"
            took = f"{time.monotonic() - began_s:.0f}"
            table.add_row(mutation.promise, mutation.breaks, mutation.test, outcome, took)
            console.print(f"{mutation.promise}: {outcome} ({took} s)", highlight=False)
    console.print(table)
    console.print(f"{len(listed) - mistakes} of {len(listed)} mutations were noticed")
    return 1 if mistakes else 0


def make_copy(folder: Path) -> None:
    """Copy what the tests need."""
    ignored = shutil.ignore_patterns("__pycache__")
    for name in _COPIED:
        source = CHECKOUT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=ignored)
        else:
            shutil.copy2(source, folder / name)


def outcome_of(mutation: Mutation, copy: Path) -> str:
    """Return "noticed", or what is wrong."""
    file = copy / mutation.file
    code = file.read_text(encoding="utf-8")
    if code.count(mutation.old) != 1:
        return f"stands {code.count(mutation.old)} times in {mutation.file}"
    before = run(mutation.test, copy)
    if before != _PASSED:
        return f"the test fails without it ({before})"
    try:
        file.write_text(code.replace(mutation.old, mutation.new), encoding="utf-8")
        after = run(mutation.test, copy)
    finally:
        file.write_text(code, encoding="utf-8")
    if after == _PASSED:
        return "NOT NOTICED"
    return "noticed" if after in (_FAILED, None) else f"pytest ended with {after}"


def run(test: str, copy: Path) -> int | None:
    """Return pytest's exit status; None if it had to be ended."""
    words: Sequence[str] = ("-q", "-x", "-p", "no:cacheprovider", f"tests/{test}")
    environment = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    with subprocess.Popen(
        [sys.executable, "-m", "pytest", *words],
        cwd=copy,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            return process.wait(_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            # As Ctrl-C would, so that it clears up what it has mounted.
            process.send_signal(2)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
            return None


if __name__ == "__main__":
    sys.exit(main())
