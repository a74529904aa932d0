"""Include and exclude rules, against rsync itself on a local tree."""

from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from empiarfs.core.rules import Rule, is_included

FILES = (
    "x", "foo", "x.mrc", "bar/x.mrc", "bar/foo", "foo.d/x", "bar/foo.d/x", "a/b/c/x.mrc",
    "a/b/foo/bar", "a/foo/bar", "foox/bar", "a/b/x", "b/a/x.mrc", "a]b", "a[b", "back\\x/foo",
)  # fmt: skip
PATTERNS = (
    "x", "foo", "/foo", "foo/", "/a/", "*.mrc", "/*.mrc", "b/x", "/b/x", "a/*", "/a/*", "a/**",
    "/a/**", "a/***", "/bar/***", "**/x", "**x", "**.mrc", "a**x", "b**", "*/", "/*", "*", "**",
    "***", "foo*/", "[ab]", "[!a]/", "a/b/c", "b/c", "?/x", "a?b", "a[]]b", "a\\[b", "a[b",
    "back\\x", "back\\\\*", "b/", "c/*.mrc", "/a/b/***", "*/foo/", "[[:alpha:]]", "foo/***", "/",
    "b/**/x", "/**/x", "/a**", "oo", "**/", "a**/", "foo.d/***/", "b\\",
)  # fmt: skip

pytestmark = pytest.mark.skipif(shutil.which("rsync") is None, reason="rsync is not installed")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("rules")
    for path in FILES:
        (made / path).parent.mkdir(parents=True, exist_ok=True)
        (made / path).touch()
    return made


def kept_by_rsync(folder: Path, rules: Sequence[Rule]) -> list[str]:
    words = [f"--{'include' if rule.includes else 'exclude'}={rule.pattern}" for rule in rules]
    done = subprocess.run(
        ["rsync", "-r", "--out-format=%n", "--dry-run", *words, f"{folder}/", "/nowhere/"],
        capture_output=True,
        timeout=20,
        check=True,
    )
    names = done.stdout.decode().replace("\\#134", "\\").splitlines()
    return sorted(
        name.rstrip("/") for name in names if name not in ("./", "") and "created" not in name
    )


def kept_by_us(folder: Path, rules: Sequence[Rule]) -> list[str]:
    kept, todo = [], [folder]
    while todo:
        for path in todo.pop().iterdir():
            below = str(path.relative_to(folder))
            if is_included(rules, below, is_directory=path.is_dir()):
                kept.append(below)
                if path.is_dir():
                    todo.append(path)
    return sorted(kept)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_what_a_pattern_excludes_is_what_rsync_leaves_out(folder: Path, pattern: str) -> None:
    rules = [Rule(False, pattern)]

    assert kept_by_us(folder, rules) == kept_by_rsync(folder, rules)


@pytest.mark.parametrize(
    "words",
    [
        "+*/ +*.mrc -*",
        "+*.mrc -*",
        "-*.mrc +*.mrc",
        "+/a/ +/a/b/ +/a/b/** -*",
        "+/a/*** -*",
        "-b/ +b/c/***",
        "+foo -/bar/* ",
        "-foo/ +*/ +foo -*",
    ],
)
def test_the_first_rule_that_matches_decides(folder: Path, words: str) -> None:
    rules = [Rule(word[0] == "+", word[1:]) for word in words.split()]

    assert kept_by_us(folder, rules) == kept_by_rsync(folder, rules)


@pytest.mark.parametrize("seed", range(25))
def test_any_list_of_rules_does_what_it_does_for_rsync(folder: Path, seed: int) -> None:
    dice = random.Random(seed)
    rules = [Rule(dice.random() < 0.5, dice.choice(PATTERNS)) for _ in range(dice.randint(2, 6))]

    assert kept_by_us(folder, rules) == kept_by_rsync(folder, rules)


def test_an_empty_pattern_is_no_rule() -> None:
    with pytest.raises(ValueError, match="empty"):
        Rule(True, "")
