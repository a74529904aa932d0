"""What EMPIARreader's search finds, `empiarfs find` finds too, on the same server.

EMPIARreader needs an environment of its own, whose interpreter `EMPIARREADER_PYTHON` names.
"""

from __future__ import annotations

import os
import re
import subprocess

import pytest

from tests.support.apache import ApacheServer
from tests.support.commands import Commands

PYTHON = os.environ.get("EMPIARREADER_PYTHON")

pytestmark = [
    pytest.mark.apache,
    pytest.mark.skipif(not PYTHON, reason="EMPIARREADER_PYTHON names no interpreter"),
]

# Its address is part of its source; the words are those of its own command line.
_RUN = """
import sys
from empiarreader.empiar.empiar import EmpiarSource
EmpiarSource._empiar_url_ftp_over_https_base = sys.argv.pop(1).rstrip("/")
from empiarreader.cli import main
main()
"""


@pytest.mark.parametrize(
    ("entry", "folder", "theirs", "ours"),
    [
        ("10017", "", ["--select", "*.xml"], ["--glob", "*.xml"]),
        ("10017", "data", ["--select", "*.mrc"], ["--glob", "*.mrc"]),
        ("10017", "data", ["--select", r".*a_\w+\.dat$", "--regexp"], ["--regex", r"a_\w+\.dat$"]),
        ("10028", "data/many", ["--select", "*movie_00?[13]*"], ["--glob", "movie_00?[13]*"]),
        ("10028", "data/sizes", ["--select", "*/sizes/10*"], ["--glob", "10*"]),
        ("10017", "data/movies", ["--select", "*.nothing"], ["--glob", "*.nothing"]),
    ],
)
def test_whatever_its_search_finds_is_found(
    commands: Commands,
    served: ApacheServer,
    entry: str,
    folder: str,
    theirs: list[str],
    ours: list[str],
) -> None:
    words = ["search", "--entry", entry, "--dir", folder, *theirs]
    done = subprocess.run(
        [str(PYTHON), "-W", "ignore", "-c", _RUN, served.url, *words],
        capture_output=True,
        timeout=60,
        check=True,
    )
    found = {re.sub("(?<!:)//+", "/", line) for line in done.stdout.decode().splitlines()}

    assert set(commands("find", "-L", "1", "--url", *ours, f"{entry}/{folder}").lines) == found
