"""Patterns, against Python's and bash's on a local tree."""

from __future__ import annotations

import glob
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from empiarfs.core.globs import LONGEST, compile_glob

PATHS = (
    "a", "b", "ab", "x.mrc", "x.MRC", "y.mrcs", ".hidden", "[x]", "a-b", "a]b", "a^b", "a!b",
    "a\\b", "-", "d/a", "d/b.mrc", "d/e/a", "d/e/x.mrc", "d/e/f/x.mrc", "d/.hidden/x.mrc",
    "e/x.mrc", "e/e/e", "1/2", "12",
)  # fmt: skip
PATTERNS = (
    "*", "?", "??", "*.mrc", "*.mrc*", "[ab]", "[a-b]*", "[!a]*", "[^a]", "x.[mM]*", "[[]x[]]",
    "a[]]b", "a[!]]b", "a[\\^]b", "[[:digit:]]", "[[:alpha:]-]", "[![:alnum:]]*", "[b-a]", "\\a*",
    "*\\\\*", "*/*", "*/*.mrc", "**/x.mrc", "d/**/x.mrc", "d/*/x.mrc", "d/**/*", "**/e/**/*",
    "d/e/x.mrc", "d/[a-z]/a", "d//e/a", "*[", "[", "?/?", "**/[[:punct:]]*", "[a-]*", "[]a]",
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("globs")
    for path in PATHS:
        (made / path).parent.mkdir(parents=True, exist_ok=True)
        (made / path).touch()
    return made


def all_paths(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def ours(folder: Path, pattern: str) -> list[str]:
    expression = compile_glob(pattern)
    return [path for path in all_paths(folder) if expression.fullmatch(path)]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_finds_what_bash_finds(folder: Path, pattern: str) -> None:
    script = (
        "shopt -s globstar dotglob nullglob; p=$1; IFS=; "
        'for f in $p; do [ -e "$f" ] && printf "%s\\0" "$f"; done'
    )
    done = subprocess.run(
        ["bash", "-c", script, "-", pattern],
        cwd=folder,
        env={"LC_ALL": "C.UTF-8", "PATH": os.environ["PATH"]},
        capture_output=True,
        timeout=20,
        check=False,
    )
    found = {os.path.normpath(name) for name in done.stdout.decode().split("\0") if name}

    assert ours(folder, pattern) == sorted(found)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="glob can't show hidden names before 3.11")
@pytest.mark.parametrize(
    "pattern", [p for p in PATTERNS if not re.search(r"\\|\[\^|\[:|\[b-a", p)]
)
def test_a_pattern_finds_what_python_finds(folder: Path, pattern: str) -> None:
    found = glob.glob(pattern, root_dir=folder, recursive=True, include_hidden=True)  # type: ignore[call-arg, unused-ignore]

    assert ours(folder, pattern) == sorted({os.path.normpath(name) for name in found})


def test_all_below_a_directory_is_not_the_directory() -> None:
    expression = compile_glob("d/**")

    assert [bool(expression.fullmatch(path)) for path in ("d", "d/", "d/a", "d/a/b")] == [
        False, False, True, True,
    ]  # fmt: skip


def test_the_case_can_be_ignored() -> None:
    assert compile_glob("*.mrc", ignore_case=True).fullmatch("X.MRC")
    assert not compile_glob("*.mrc").fullmatch("X.MRC")


def test_bytes_that_are_no_text_and_newlines_are_characters() -> None:
    assert compile_glob("?x*").fullmatch("\udcffx\n")


@given(st.text(alphabet="ab*?[]!^-\\/:.", max_size=12))
def test_every_text_is_a_pattern(pattern: str) -> None:
    compile_glob(pattern).fullmatch("a/b")


@given(st.text(alphabet="ab.-/", max_size=12))
def test_a_text_without_wildcards_matches_itself_only(text: str) -> None:
    expression = compile_glob(text)

    assert expression.fullmatch(re.sub("/+", "/", text))
    assert not expression.fullmatch(text + "x")


def test_a_pattern_has_a_bound() -> None:
    with pytest.raises(ValueError, match="too long"):
        compile_glob("a" * (LONGEST + 1))
