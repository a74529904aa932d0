"""The lock names what empiarfs needs, with checksums, for each Python that it supports."""

from __future__ import annotations

import importlib.metadata
import re
import sys

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.users import CHECKOUT

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PYTHONS = ("3.10", "3.11", "3.12", "3.13")
LOCK = CHECKOUT / "requirements.lock"


def locked(python: str) -> dict[str, str]:
    """Return the versions that the lock has for a Python, by package."""
    environment = environment_of(python)
    found: dict[str, str] = {}
    for line in LOCK.read_text(encoding="utf-8").splitlines():
        if line and line[0] not in "# ":
            requirement = Requirement(line.removesuffix(" \\"))
            if requirement.marker is None or requirement.marker.evaluate(environment):
                name = canonicalize_name(requirement.name)
                assert name not in found, f"{name} twice for Python {python}"
                [specifier] = requirement.specifier
                assert specifier.operator == "=="
                found[name] = specifier.version
    return found


def environment_of(python: str) -> dict[str, str]:
    environment = {name: str(value) for name, value in default_environment().items()}
    return environment | {"python_version": python, "python_full_version": f"{python}.0"}


def needed(lines: list[str], python: str) -> list[Requirement]:
    environment = environment_of(python) | {"extra": ""}
    requirements = [Requirement(line) for line in lines]
    return [each for each in requirements if not each.marker or each.marker.evaluate(environment)]


@pytest.mark.parametrize("python", PYTHONS)
def test_the_lock_has_what_is_needed_in_versions_that_will_do(python: str) -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    versions = locked(python)

    for requirement in needed(project["dependencies"], python):
        version = versions.get(canonicalize_name(requirement.name))
        assert version is not None, f"{requirement.name} is missing: scripts/audit --lock"
        assert requirement.specifier.contains(version), f"{requirement}, locked {version}"


def test_the_lock_has_what_is_needed_by_what_is_needed() -> None:
    python = ".".join(map(str, sys.version_info[:2]))
    if python not in PYTHONS:
        pytest.skip(f"the lock is for {', '.join(PYTHONS)}")
    versions = locked(python)

    for name in versions:
        for requirement in needed(importlib.metadata.requires(name) or [], python):
            assert canonicalize_name(requirement.name) in versions, f"{name} needs {requirement}"


def test_every_line_of_the_lock_has_checksums() -> None:
    text = LOCK.read_text(encoding="utf-8")
    entries = re.split(r"(?m)^(?=[a-z])", text.partition("\n\n")[0])[1:]

    assert len(entries) > 10
    for entry in entries:
        assert re.search(r"--hash=sha256:[0-9a-f]{64}\b", entry), entry.splitlines()[0]
    assert "://" not in text
