"""The commands of docs/tutorial.md print what the page shows, in a mount of the demo's archive."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from empiarfs.demo.stage import Stage
from empiarfs.demo.transcript import Transcript
from empiarfs.demo.walkthrough import Walkthrough
from tests.support.pages import examples, shown_by
from tests.support.users import CHECKOUT

PAGE = CHECKOUT / "docs" / "tutorial.md"

pytestmark = [pytest.mark.fuse, pytest.mark.slow]


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """A mounted demo."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with Stage() as stage:
        Walkthrough(stage, Transcript(lambda line: None, stage)).mount()
        yield stage
    assert list(tmp_path.iterdir()) == []


def test_its_commands_print_what_it_shows(stage: Stage) -> None:
    environment = stage.environment() | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "TZ": "UTC",
    }
    assert len(examples(PAGE)) > 15
    for command, shown in examples(PAGE):
        done = subprocess.run(
            ["sh", "-c", command],
            cwd=stage.work,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, ""), command
        assert shown_by(shown, done.stdout), f"{command} printed\n{done.stdout}"
