"""The examples of docs/cache.md do what the page shows."""

from __future__ import annotations

import shlex

import pytest

from tests.cli.test_cache import fill
from tests.support.commands import Commands
from tests.support.pages import examples, shown_by
from tests.support.users import CHECKOUT

PAGE = CHECKOUT / "docs" / "cache.md"

pytestmark = pytest.mark.apache


def test_the_examples_print_what_the_page_shows(
    commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands("cache", "size", "64M")
    fill(commands.cache, {"10934/data/a.mrc": 2, "10934/data/b.mrc": 1, "10002/data/a.mrc": 1})
    monkeypatch.setenv("EMPIARFS_ARCHIVE_URL", "https://archive.test/")

    assert len(examples(PAGE)) > 8
    for command, shown in examples(PAGE):
        done = commands(*shlex.split(command)[1:])
        assert done.status == 0, done.err
        assert shown_by(shown, done.out.decode()), f"{command} printed\n{done.out.decode()}"
