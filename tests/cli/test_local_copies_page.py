"""The examples of docs/local-copies.md do what the page shows."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from empiarfs.config import DEFAULT_ARCHIVE_URL
from empiarfs.core.layouts import entry_folders
from tests.support.broken_server import BrokenServer
from tests.support.commands import Commands
from tests.support.local_copies import put
from tests.support.pages import examples
from tests.support.users import CHECKOUT

PAGE = CHECKOUT / "docs" / "local-copies.md"
FILES = {
    "10934/10934.xml": b"<entry/>\n",
    "10934/data/movies/movie_001.tif": bytes(2_100_000),
    "10934/data/movies/movie_002.tif": bytes(2_100_000),
    "10934/data/movies/movie_003.tif": bytes(2_100_500),
}


def test_the_examples_print_what_the_page_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    folder = tmp_path / "empiar"
    for name, data in FILES.items():
        put(folder / name, data)
    (folder / "10934/data/movies/movie_002.tif").unlink()
    put(folder / "10934/data/movies/movie_003.tif", bytes(1_000_000))
    put(folder / "10934/data/notes.txt", b"notes")
    sums = subprocess.run(
        ["md5sum", "10934/data/movies/movie_001.tif"], cwd=folder, capture_output=True, check=True
    )
    (folder / "sums.md5").write_bytes(sums.stdout)

    with BrokenServer(FILES) as server:
        commands = Commands(server.url, tmp_path, monkeypatch, capfdbinary)
        assert len(examples(PAGE)) == 3
        for command, shown in examples(PAGE):
            done = commands.in_shell(command.replace("/data/empiar", str(folder)))
            printed = (done.stdout + done.stderr).decode().replace(str(folder), "/data/empiar")
            assert printed.rstrip() == shown.rstrip(), command
            assert done.returncode == ("missing" in shown)


def test_the_layouts_of_the_page_are_those_that_are_found() -> None:
    shown = re.findall(r"^\| `DIR/(.*?)/?data/x\.mrc`", PAGE.read_text("utf-8"), re.MULTILINE)

    folders = entry_folders("10934", DEFAULT_ARCHIVE_URL, "10934")
    assert {each or "." for each in shown} == set(folders)
