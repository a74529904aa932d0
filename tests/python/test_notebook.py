"""docs/notebook.ipynb runs, and prints what stands in it; one that fails is noticed.

It is run as a program, `python -m scripts.documentation.notebook`, by a kernel of Jupyter.
"""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import mounts
from tests.support.users import CHECKOUT
from tests.support.waiting import wait_until

NOTEBOOK = CHECKOUT / "docs" / "notebook.ipynb"
_MOST_PICTURES = 200_000

Cell = dict[str, Any]


def cells(path: Path) -> list[Cell]:
    found: list[Cell] = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return found


def shown(path: Path) -> dict[str, list[tuple[list[str], str]]]:
    """Return what each cell shows: in which forms, and the text."""
    return {
        cell["id"]: [
            (sorted(output.get("data", {})), joined(output.get("text", "")) + plain(output))
            for output in cell["outputs"]
        ]
        for cell in cells(path)
        if cell["cell_type"] == "code"
    }


def plain(output: Cell) -> str:
    return joined(output.get("data", {}).get("text/plain", ""))


def joined(lines: str | list[str]) -> str:
    return "".join(lines)


class Place:
    """Where a notebook is run: its temporary files and its user's home are in a directory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.home = path / "home"
        self.home.mkdir()

    def run(self, notebook: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "scripts.documentation.notebook", notebook, self.target],
            env=os.environ | {"TMPDIR": str(self.path), "HOME": str(self.home)},
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    @property
    def target(self) -> Path:
        """Where it is written with its outputs."""
        return self.path / "done.ipynb"

    def processes(self) -> list[bytes]:
        """Return the programs that were started here and still run."""
        here = os.fsencode(self.path)
        return [line for _, words in mounts.command_lines() if here in (line := b" ".join(words))]


@pytest.fixture
def place() -> Iterator[Place]:
    # A kernel's sockets lie in it, whose names have to be short.
    with tempfile.TemporaryDirectory(prefix="nb-") as path:
        yield Place(Path(path))


@pytest.mark.slow
def test_the_notebook_prints_what_stands_in_it_and_leaves_nothing_behind(place: Place) -> None:
    done = place.run(NOTEBOOK)

    assert done.returncode == 0, done.stderr[-3000:]
    assert shown(place.target) == shown(NOTEBOOK), "python -m scripts.documentation.notebook"
    assert [path.name for path in place.path.iterdir() if path != place.home] == ["done.ipynb"]
    assert list(place.home.iterdir()) == []
    wait_until(lambda: not place.processes())


@pytest.mark.slow
def test_a_cell_that_fails_fails_the_run(place: Place) -> None:
    source = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    source["cells"] = [cell for cell in source["cells"] if cell["id"] in ("search", "entry")]
    source["cells"][1]["source"] = "empiarfs.entry(10205).title"
    notebook = place.path / "broken.ipynb"
    notebook.write_text(json.dumps(source))
    done = place.run(notebook)

    assert done.returncode != 0
    assert "FileNotFoundError" in done.stderr
    assert not place.target.exists()
    wait_until(lambda: not place.processes())


def test_what_stands_in_it_is_small_and_of_no_machine() -> None:
    text = NOTEBOOK.read_text(encoding="utf-8")
    pictures = [
        base64.b64decode(joined(output["data"]["image/png"]))
        for cell in cells(NOTEBOOK)
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    ids = [cell["id"] for cell in cells(NOTEBOOK)]
    words = json.dumps([{**cell, "outputs": ""} for cell in cells(NOTEBOOK)]) + str(
        shown(NOTEBOOK)
    )

    assert json.loads(text)["nbformat"] == 4
    assert len(set(ids)) == len(ids) > 10
    assert len(pictures) == 2
    assert sum(map(len, pictures)) <= _MOST_PICTURES
    assert (
        re.findall(r"127\.0\.0\.1|localhost|/tmp|/root|/home|/usr|0x[0-9A-Fa-f]{6}", words) == []
    )
    numbers = [each["execution_count"] for each in cells(NOTEBOOK) if "execution_count" in each]
    assert numbers == list(range(1, len(numbers) + 1))
