"""The sums of a campaign: what it counted, and when that is not enough."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tests.support.campaign import (
    COLUMNS,
    GOALS,
    TALLY_VARIABLE,
    WHOLE_VARIABLE,
    Counts,
    Goal,
    share,
    tally,
)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(TALLY_VARIABLE, str(tmp_path / "tally"))
    return tmp_path / "tally"


def test_what_several_threads_count_is_added_up(file: Path) -> None:
    def count() -> None:
        for _ in range(100):
            tally.add("faults", "silence", 2)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    tally.add("faults", "reset")

    counts = Counts.read(file)

    assert counts.kinds("faults") == {"silence": 800, "reset": 1}
    assert counts.total("faults") == 801


def test_nothing_is_kept_where_nobody_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(TALLY_VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    tally.add("faults", "silence")

    assert list(tmp_path.iterdir()) == []


def test_a_column_that_nobody_knows_is_refused(file: Path) -> None:
    with pytest.raises(ValueError, match="no column 'fault'"):
        tally.add("fault", "silence")


def test_what_nobody_looked_for_is_no_success(file: Path) -> None:
    goal = Goal("wrong_bytes", at_most=0)

    assert Counts.read(file).misses([goal]) == ["wrong bytes: nobody looked"]

    tally.add("wrong_bytes", "a reader", 0)

    assert Counts.read(file).misses([goal]) == []


def test_one_wrong_byte_is_named(file: Path) -> None:
    tally.add("wrong_bytes", "in the cache", 1)
    tally.add("wrong_bytes", "a reader", 0)

    assert Counts.read(file).misses([Goal("wrong_bytes", at_most=0)]) == [
        "wrong bytes: 1, wanted at most 0 (in the cache)"
    ]


def test_too_few_faults_of_too_few_kinds_are_two_misses(file: Path) -> None:
    tally.add("faults", "silence", 9)
    tally.add("faults", "reset", 0)

    assert Counts.read(file).misses([Goal("faults", at_least=10, kinds=2)]) == [
        "faults: 9, wanted at least 10",
        "faults: of 1 kinds, wanted at least 2",
    ]


def test_every_column_has_a_goal() -> None:
    assert {goal.column for goal in GOALS} == set(COLUMNS)


def test_a_tenth_is_run_unless_everything_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(WHOLE_VARIABLE, raising=False)
    assert share(range(25)) == [0, 10, 20]

    monkeypatch.setenv(WHOLE_VARIABLE, "whole")
    assert share(range(25)) == list(range(25))
