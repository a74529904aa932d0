"""The examples of docs/preview.md do what the page shows."""

from __future__ import annotations

import doctest
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import pictures, tree
from tests.support.apache import ApacheServer
from tests.support.commands import Commands
from tests.support.pages import examples, shown_by
from tests.support.users import CHECKOUT

pytestmark = pytest.mark.apache

PAGE = CHECKOUT / "docs" / "preview.md"


@pytest.fixture(scope="module")
def images() -> Iterator[ApacheServer]:
    with tree.temporary_root() as root:
        pictures.make_images(root)
        tree.set_times(root)
        with ApacheServer(root) as server:
            yield server


@pytest.fixture
def run(
    images: ApacheServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> Commands:
    monkeypatch.chdir(tmp_path)
    return Commands(images.url, tmp_path, monkeypatch, capfdbinary)


def test_the_examples_print_what_the_page_shows(run: Commands) -> None:
    assert len(examples(PAGE)) >= 4
    for command, shown in examples(PAGE):
        done = run.in_shell(command)
        printed = (done.stdout + done.stderr).decode()
        name = done.stdout.decode().strip()

        assert done.returncode == 0, printed
        assert shown_by(shown, printed), f"{command} printed {printed!r}"
        assert Path(name).read_bytes().startswith(b"\x89PNG")


def test_the_examples_in_python_print_what_the_page_shows(run: Commands) -> None:
    import empiarfs

    page = PAGE.read_text(encoding="utf-8")
    test = doctest.DocTestParser().get_doctest(page, {}, "docs/preview.md", str(PAGE), 0)
    said: list[str] = []
    try:
        doctest.DocTestRunner().run(test, out=said.append)
    finally:
        empiarfs.close()

    assert len(test.examples) > 5
    assert "".join(said) == ""


def test_every_option_is_on_the_page() -> None:
    from empiarfs.cli.preview import command
    from empiarfs.config import SETTINGS

    text = PAGE.read_text(encoding="utf-8")
    missing = [
        param.opts[-1]
        for param in command.params
        if param.name not in (*SETTINGS, "targets", "quiet")
        and not any(word in text for word in param.opts)
    ]

    assert missing == []
