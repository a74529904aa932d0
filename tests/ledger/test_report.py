"""What a ledger's lines prove, and what they don't."""

from __future__ import annotations

from typing import Literal

from empiarfs.ledger import Line, Mark, Refusal, Report, report_of


def mark(
    what: Literal["mounted", "unmounted", "dropped"], at_s: float, *, pid: int = 1, of: float = 100
) -> Mark:
    return Mark(at_s, what, pid, of, "/mnt", "node1")


def refused(at_s: float, path: str = "a.mrc", count: int = 1) -> Refusal:
    return Refusal(at_s, "stat", path, "EIO", "no answer", count=count)


def report(
    *lines: Line, since_s: float = 0.0, living: frozenset[int] = frozenset(), lost: int = 0
) -> Report:
    return report_of(lines, "/mnt", since_s=since_s, living=living, lost=lost)


MOUNTED = mark("mounted", 100)
UNMOUNTED = mark("unmounted", 900)


def test_a_mount_without_errors_is_clean() -> None:
    assert report(MOUNTED, UNMOUNTED).is_clean
    assert report(MOUNTED, living=frozenset({1})).is_clean


def test_an_error_is_not_clean_until_it_is_too_old() -> None:
    lines = (MOUNTED, refused(200), UNMOUNTED)

    assert not report(*lines).is_clean
    assert not report(*lines, since_s=200).is_clean
    assert report(*lines, since_s=200.1).is_clean


def test_what_came_again_is_one_error_with_all_its_counts() -> None:
    lines = (MOUNTED, refused(200), refused(300, "b.mrc"), refused(260, count=40), UNMOUNTED)

    found = report(*lines).refusals

    assert [(each.path, each.count, each.at_s) for each in found] == [
        ("a.mrc", 41, 200),
        ("b.mrc", 1, 300),
    ]


def test_a_daemon_that_ended_without_a_word_leaves_it_open_until_the_next_mount() -> None:
    killed = (MOUNTED, refused(200))
    again = (*killed, mark("mounted", 500, pid=2, of=500))

    assert [each.seen_s for each in report(*killed, since_s=300).killed] == [200]
    assert not report(*killed, since_s=300).is_clean
    assert not report(*again, since_s=499, living=frozenset({2})).is_clean
    assert report(*again, since_s=501, living=frozenset({2})).is_clean


def test_another_process_of_the_same_number_does_not_bring_a_daemon_back() -> None:
    lines = (MOUNTED, mark("mounted", 500, pid=1, of=500))

    assert len(report(*lines, living=frozenset({1})).killed) == 1


def test_nothing_is_proved_of_a_time_without_a_mount() -> None:
    assert not report(MOUNTED, UNMOUNTED, since_s=901).is_clean
    assert not report().is_clean


def test_errors_that_were_too_many_are_not_forgotten() -> None:
    lines = (mark("dropped", 400), mark("mounted", 600), UNMOUNTED)

    assert report(*lines, since_s=300).dropped_s == 400
    assert not report(*lines, since_s=300).is_clean
    assert report(*lines, since_s=500).is_clean
    assert not report(*lines, since_s=500, lost=1).is_clean


def test_a_mount_stays_one_when_its_file_is_begun_anew() -> None:
    lines = (MOUNTED, mark("mounted", 600), UNMOUNTED)

    assert report(*lines).killed == ()
