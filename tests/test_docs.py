"""The documents keep to what the code does: promises, their tests, errors, scripts.

`docs/semantics.md` names each promise ("P12"), `docs/reliability.md` the tests that carry
it. Here the two are held against each other, and against the tests that there are.
"""

from __future__ import annotations

import ast
import errno
import functools
import re

import pytest

from scripts.mutating.__main__ import mutations
from tests.support.users import CHECKOUT

SEMANTICS = CHECKOUT / "docs" / "semantics.md"
RELIABILITY = CHECKOUT / "docs" / "reliability.md"
TESTS = CHECKOUT / "tests"


def promises() -> list[str]:
    """Return the names of the promises, in the order of the page."""
    return re.findall(r"^- \*\*(P\d+)\*\* ", SEMANTICS.read_text(encoding="utf-8"), re.MULTILINE)


def carriers() -> dict[str, list[tuple[str, str]]]:
    """Return (file below tests/, test) of each promise, as the page on reliability lists them."""
    found: dict[str, list[tuple[str, str]]] = {}
    for line in RELIABILITY.read_text(encoding="utf-8").splitlines():
        match = re.match(r"- \*\*(P\d+)\*\* (.*)", line)
        if match is None:
            continue
        assert match[1] not in found, f"{match[1]} has two lines in docs/reliability.md"
        file, tests = "", []
        for word in re.findall(r"`([^`]+)`", match[2]):
            if word.endswith(".py"):
                file = word
            else:
                tests.append((file, word))
        found[match[1]] = tests
    return found


@functools.cache
def names_in(file: str) -> frozenset[str]:
    path = TESTS / file
    if not path.exists():
        return frozenset()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))
    return frozenset(node.name for node in functions if node.name.startswith("test_"))


def test_every_item_of_the_semantics_has_a_name_of_its_own() -> None:
    text = SEMANTICS.read_text(encoding="utf-8")
    nameless = [line[:80] for line in re.findall(r"^- (?!\*\*P\d+\*\* ).*", text, re.MULTILINE)]

    assert nameless == [], "begin each with the next free number, as in `- **P99** …`"
    assert len(set(promises())) == len(promises())


def test_every_promise_names_its_tests_and_every_line_a_promise() -> None:
    listed = carriers()

    assert set(promises()) == set(listed), "docs/reliability.md needs a line for each promise"
    assert [name for name, tests in listed.items() if not tests] == []


def test_the_tests_that_carry_promises_exist() -> None:
    missing = [
        f"{promise}: {file}::{test}"
        for promise, tests in carriers().items()
        for file, test in tests
        if test not in names_in(file)
    ]

    assert missing == []


def test_every_promise_has_a_mutation_that_one_of_its_tests_must_notice() -> None:
    listed = {mutation.promise: mutation.test for mutation in mutations()}

    assert set(listed) == set(promises()), "scripts/mutating/mutations.toml breaks each of them"
    unknown = [
        f"{promise}: {test}"
        for promise, test in listed.items()
        if tuple(test.split("::")) not in carriers()[promise]
    ]
    assert unknown == []


def test_what_a_mutation_replaces_stands_once_in_its_file() -> None:
    wrong = [
        f"{mutation.promise}: {mutation.old.strip()!r} in {mutation.file}"
        for mutation in mutations()
        if (CHECKOUT / mutation.file).read_text(encoding="utf-8").count(mutation.old) != 1
    ]

    assert wrong == []


def test_tests_that_speak_of_a_promise_speak_of_one_that_there_is() -> None:
    known = set(promises())

    wrong = [
        f"{path.relative_to(TESTS)}: {name}"
        for path in sorted(TESTS.rglob("*.py"))
        for name in re.findall(r"\bpromise (P\d+)\b", path.read_text(encoding="utf-8"))
        if name not in known
    ]

    assert wrong == []


def test_the_table_of_errors_is_the_codes() -> None:
    try:
        from empiarfs.fuse.errnos import ERRNO_BY_ERROR
    except OSError as exc:
        pytest.skip(f"no libfuse: {exc}")
    cells = re.findall(r"^\| ([A-Z, ]+) \|", SEMANTICS.read_text(encoding="utf-8"), re.MULTILINE)

    told = [name for cell in cells for name in cell.split(", ")]

    assert len(set(told)) == len(told)
    assert set(told) == {errno.errorcode[number] for number in ERRNO_BY_ERROR.values()}


def test_every_error_that_is_refused_in_the_code_is_told() -> None:
    """Errno values that the adapter raises on its own account stand in the table, too."""
    text = SEMANTICS.read_text(encoding="utf-8")
    used = {
        name
        for path in (CHECKOUT / "empiarfs" / "fuse").glob("*.py")
        for name in re.findall(r"\berrno\.(E[A-Z]+)\b", path.read_text(encoding="utf-8"))
    }

    assert [name for name in sorted(used) if not re.search(rf"\b{name}\b", text)] == []


def test_the_scripts_that_documents_name_are_there() -> None:
    named = {
        word
        for path in (CHECKOUT / "README.md", *sorted((CHECKOUT / "docs").glob("*.md")))
        for word in re.findall(r"\bscripts/[a-z_]+\b(?!/)", path.read_text(encoding="utf-8"))
    }

    assert [name for name in sorted(named) if not (CHECKOUT / name).exists()] == []


def test_the_figures_stand_between_their_marks() -> None:
    text = RELIABILITY.read_text(encoding="utf-8")

    begin, end = text.index("<!-- figures: begin -->"), text.index("<!-- figures: end -->")
    assert text[begin:end].count("\n| ") >= 8
