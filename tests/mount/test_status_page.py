"""The examples of docs/status.md print what the page shows."""

from __future__ import annotations

import os
import shlex

import pytest

from tests.support.broken_server import BrokenServer, Fault
from tests.support.mounts import mounted
from tests.support.pages import examples, shown_by
from tests.support.users import CHECKOUT

PAGE = CHECKOUT / "docs" / "status.md"
DATA = os.urandom(300_000)

pytestmark = [pytest.mark.fuse, pytest.mark.slow]


def test_the_examples_print_what_the_page_shows() -> None:
    files = {f"10934/data/{name}.mrc": DATA for name in ("late", "good")}
    with BrokenServer(files) as server, mounted(server.url) as mount:
        server.fault(
            lambda request: request.method == "GET" and request.path.endswith("late.mrc"),
            Fault.delay(1.3),
            times=99,
        )
        assert mount.run("cat", mount.path / "10934/data/late.mrc").stdout == DATA
        for command, shown in examples(PAGE):
            done = mount.command(*shlex.split(command)[1:])
            assert done.returncode == 0, done.stderr
            assert shown_by(shown, done.stdout), f"{command} printed {done.stdout}"
