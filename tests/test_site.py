"""The website of the documentation can be built, and its links lead somewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from empiarfs.cli.group import headings
from tests.support.users import CHECKOUT

CONFIG = CHECKOUT / "scripts/documentation/mkdocs.yml"

pytestmark = pytest.mark.slow


def build(config: Path, site: Path) -> subprocess.CompletedProcess[str]:
    words = ["mkdocs", "build", "--strict", "--config-file", str(config)]
    return subprocess.run(
        [sys.executable, "-m", *words, "--site-dir", str(site)],
        env=os.environ | {"PYTHONPATH": str(CHECKOUT), "NO_MKDOCS_2_WARNING": "1"},
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built; a link or an anchor that leads nowhere fails here."""
    site = tmp_path_factory.mktemp("site")
    done = build(CONFIG, site)
    assert done.returncode == 0, done.stderr
    return site


def test_every_page_is_in_the_site(site: Path) -> None:
    pages = {path.stem for path in (CHECKOUT / "docs").glob("*.md")}

    assert {path.stem for path in site.glob("*.html")} == pages | {
        "404", "commands", "index", "notebook",
    }  # fmt: skip


def test_the_reference_has_every_command(site: Path) -> None:
    text = (site / "commands.html").read_text(encoding="utf-8")

    missing = [
        name for names in headings().values() for name in names if f">empiarfs {name}<" not in text
    ]
    assert missing == []


def test_the_notebook_is_a_page_with_its_pictures(site: Path) -> None:
    text = (site / "notebook.html").read_text(encoding="utf-8")
    pictures = re.findall(r'<img[^>]* src="([^"]+)"', text)

    assert "Simulated movies of beta-galactosidase" in text
    assert len(pictures) == 2
    assert all((site / name).read_bytes().startswith(b"\x89PNG") for name in pictures)
    assert 'href="notebook.ipynb"' in text
    assert (site / "notebook.ipynb").exists()
    for page in ("index", "python"):
        assert 'href="notebook.html"' in (site / f"{page}.html").read_text(encoding="utf-8")


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    loaded = re.compile(r'<(?:script|img|link)\b[^>]*(?:src|href)="((?:https?:)?//[^"]*)"')

    picture = (site / "first-look.svg").read_text(encoding="utf-8")
    assert "@font-face" not in picture
    assert "href" not in picture
    for path in site.glob("*.html"):
        assert loaded.findall(path.read_text(encoding="utf-8")) == [], path.name


def test_a_link_that_leads_nowhere_is_noticed(tmp_path: Path) -> None:
    pages = tmp_path / "docs"
    pages.mkdir()
    for page in (CHECKOUT / "docs").glob("*.md"):
        (pages / page.name).write_bytes(page.read_bytes())
    with (pages / "cache.md").open("a", encoding="utf-8") as written:
        written.write("\n[nowhere](semantics.md#no-such-heading)\n")
    config = tmp_path / "mkdocs.yml"
    text = CONFIG.read_text(encoding="utf-8").replace("../../docs", "docs")
    config.write_text(text.replace("[hooks.py]", f"[{CONFIG.with_name('hooks.py')}]"))
    done = build(config, tmp_path / "site")

    assert done.returncode != 0
    assert "no-such-heading" in done.stderr
