"""Which steps make a crawl."""

from __future__ import annotations

from empiarfs.core.crawls import DIRECTORIES, WATCHED_S, CrawlWatch


def test_who_opens_the_root_and_then_three_entries_is_a_crawl() -> None:
    watch = CrawlWatch()
    watch.begin(7, 100.0)
    said = [watch.go(7, path, 101.0) for path in ("10002", "10002/data", "10005", "10017")]

    assert [found is not None for found in said] == [False, False, False, True]
    [crawl] = watch.crawls()
    assert (crawl.process, crawl.at, crawl.entries, crawl.directories) == (7, "10017", 3, 4)
    assert watch.go(7, "10018", 102.0) is None
    assert (crawl.entries, crawl.at) == (4, "10018")


def test_so_is_who_goes_deep_into_the_first_entry() -> None:
    watch = CrawlWatch()
    watch.begin(7, 0.0)
    said = [watch.go(7, f"10002/data/{number}", 1.0) for number in range(DIRECTORIES)]

    assert [found is not None for found in said].index(True) == DIRECTORIES - 1


def test_who_did_not_open_the_root_is_none() -> None:
    watch = CrawlWatch()
    watch.begin(7, 0.0)
    for entry in range(10):
        assert watch.go(8, str(entry), 0.0) is None
    assert watch.crawls() == []


def test_who_comes_back_to_the_root_or_takes_long_begins_anew() -> None:
    watch = CrawlWatch()
    for turn in range(5):
        watch.begin(7, float(turn))
        watch.go(7, f"{turn}", float(turn))
        watch.go(7, f"{turn + 100}", float(turn))
    watch.go(7, "300", 10 + WATCHED_S)

    assert watch.crawls() == []
    assert 7 not in watch


def test_what_is_remembered_is_bounded_and_crawls_stay_longest() -> None:
    watch = CrawlWatch()
    for process in range(1000):
        watch.begin(process, 0.0)
        if process % 100 == 0:
            for entry in "abc":
                watch.go(process, entry, 0.0)

    assert [steps.process for steps in watch.crawls()] == list(range(0, 1000, 100))
    assert sum(process in watch for process in range(1000)) == 64


def test_a_crawl_of_many_entries_costs_no_more_memory() -> None:
    watch = CrawlWatch()
    watch.begin(7, 0.0)
    for entry in range(20_000):
        watch.go(7, str(entry), 0.0)
        watch.go(7, f"{entry}/data", 0.0)

    [crawl] = watch.crawls()
    assert (crawl.entries, crawl.directories, len(crawl._seen)) == (20_000, 40_000, 1)
