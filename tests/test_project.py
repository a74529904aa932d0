"""The project as a whole: its version and metadata, its documents, what its files hold."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import empiarfs
from tests.support.users import CHECKOUT

DOCUMENTS = (
    "README.md",
    "LICENSE",
    "docs/semantics.md",
    "docs/architecture.md",
    "docs/configuration.md",
)
SCRIPTS = (
    "scripts/demo",
    "scripts/test",
    "scripts/campaign",
    "scripts/packages",
    "scripts/site",
    ".ci/run",
)

# The libraries that the people we build for have fixed, and the oldest that will do.
FIXED_DEPENDENCIES = ("mfusepy", "requests", "diskcache", "cachetools", "mrcfile")


def tracked_files() -> list[Path]:
    if not (CHECKOUT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("not a checkout of git")
    command = ["git", "-c", f"safe.directory={CHECKOUT}", "ls-files", "-z"]
    listed = subprocess.run(command, cwd=CHECKOUT, capture_output=True, check=True, timeout=60)
    paths = [CHECKOUT / name for name in listed.stdout.decode().split("\0") if name]
    return [path for path in paths if path.is_file()]


def modules() -> list[Path]:
    return sorted((CHECKOUT / "empiarfs").rglob("*.py"))


def test_the_version_is_a_release_number() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+([ab.]\w+)?", empiarfs.__version__)


def test_the_command_prints_its_version() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "empiarfs", "--version"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert empiarfs.__version__ in done.stdout


class TestTheInstalledPackage:
    """What pip knows of it."""

    @pytest.fixture
    def package(self) -> importlib.metadata.Distribution:
        try:
            return importlib.metadata.distribution("empiarfs")
        except importlib.metadata.PackageNotFoundError:
            pytest.skip("not installed; scripts/test installs it")

    def test_has_the_version_of_the_source(self, package: importlib.metadata.Distribution) -> None:
        assert package.version == empiarfs.__version__

    def test_has_a_command(self, package: importlib.metadata.Distribution) -> None:
        [command] = [entry for entry in package.entry_points if entry.group == "console_scripts"]

        assert command.name == "empiarfs"
        assert callable(command.load())

    def test_bounds_what_it_depends_on(self, package: importlib.metadata.Distribution) -> None:
        needed = [line for line in package.requires or [] if "extra ==" not in line]

        assert all(re.match(r"[\w.-]+[<>=]", line) for line in needed), needed
        names = {re.split(r"[<>=;]", line)[0] for line in needed}
        assert set(FIXED_DEPENDENCIES) <= names

    def test_says_which_python_it_needs(self, package: importlib.metadata.Distribution) -> None:
        assert package.metadata["Requires-Python"] == ">=3.10"


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_is_there_and_says_something(name: str) -> None:
    assert len((CHECKOUT / name).read_text(encoding="utf-8")) > 500


@pytest.mark.parametrize(
    "document",
    [CHECKOUT / "README.md", *sorted(CHECKOUT.glob("docs/*.md"))],
    ids=lambda path: path.name,
)
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", document.read_text(encoding="utf-8"))

    broken = [
        link
        for link in links
        if not re.match(r"[a-z]+:", link) and not (document.parent / link).exists()
    ]

    assert broken == []


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_can_be_run_and_parses(name: str) -> None:
    script = CHECKOUT / name

    assert script.stat().st_mode & 0o111
    subprocess.run(["bash", "-n", script], check=True, timeout=10)


def test_every_module_says_what_it_is() -> None:
    silent = [
        str(module.relative_to(CHECKOUT))
        for module in modules()
        if not ast.get_docstring(ast.parse(module.read_text(encoding="utf-8")))
    ]

    assert silent == []


def test_no_tracked_file_names_this_machine() -> None:
    words = {word for word in _names_of_this_machine() if word}

    found = [
        f"{path.relative_to(CHECKOUT)}: {word.decode()}"
        for path in tracked_files()
        for word in words
        if re.search(rb"(?<![\w.-])" + re.escape(word) + rb"(?![\w.-])", path.read_bytes())
    ]

    assert found == []


def _names_of_this_machine() -> list[bytes]:
    """Return the places and names here that nobody writes down for another reason."""
    home = Path.home()
    words = [str(path) for path in (CHECKOUT, home) if len(path.parts) > 2]
    # A host called "debian" is no proof of anything; one with a number in its name is.
    host = socket.gethostname()
    if re.search(r"\d", host):
        words.append(host)
    # Notes beside the checkout, which whoever clones it doesn't have.
    words.append("../" + "shared")
    return [word.encode() for word in words]


def test_files_of_every_tool_are_ignored_by_git() -> None:
    ignored = (CHECKOUT / ".gitignore").read_text().split()

    assert {".venv/", "__pycache__/", ".mypy_cache/", ".pytest_cache/", ".ruff_cache/"} <= set(
        ignored
    )


def test_a_step_that_fails_is_never_lost() -> None:
    """Whoever calls it behind `||` has switched off `set -e` inside it."""
    script = ". scripts/lib.sh; . scripts/lib_tests.sh; step false || echo noticed; step true"
    done = subprocess.run(
        ["bash", "-euc", script], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )

    assert "noticed" in done.stdout
