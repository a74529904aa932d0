"""The scenarios that compare no mounts: the cache's victims, searches, the limit of the rate."""

from __future__ import annotations

import pytest

from scripts.benchmarks.archive import Scale, served
from scripts.benchmarks.cache_scenario import CACHE_SCENARIOS
from scripts.benchmarks.catalog_scenario import CATALOG_SCENARIOS
from scripts.benchmarks.clients import EMPIARFS, RCLONE
from scripts.benchmarks.entries_scenario import ENTRIES_SCENARIOS
from scripts.benchmarks.far_archive import FarScale
from scripts.benchmarks.figures import Summary
from scripts.benchmarks.links import Way
from scripts.benchmarks.rate_scenario import WithinOf, bytes_until
from scripts.benchmarks.stage import Stage

TINY = Scale(movie_size=3_000_001, many=4, far=FarScale(12, 3, 3, 5, 2, 100_000))


@pytest.mark.apache
@pytest.mark.slow
def test_the_cache_is_read_in_all_ways_with_both_policies() -> None:
    (scenario,) = CACHE_SCENARIOS
    with served(TINY) as archive:
        way = Way(archive.server.url)
        samples = list(scenario.measure(Stage(archive, way, EMPIARFS)))
        others = list(scenario.measure(Stage(archive, way, RCLONE)))

    found = {sample.figure: sample.value for sample in samples}
    assert set(found) == {figure.key for figure in scenario.figures(TINY)}
    assert found["cache.order"] > found["cache.order.lru"] == 0.0
    assert found["cache.headers"] == 1.0 > found["cache.headers.lru"]
    assert others == []


@pytest.mark.apache
@pytest.mark.slow
def test_entries_are_searched_in_the_store_and_as_a_command() -> None:
    (scenario,) = ENTRIES_SCENARIOS
    with served(TINY) as archive:
        samples = list(scenario.measure(Stage(archive, Way(archive.server.url), EMPIARFS)))

    assert {sample.figure for sample in samples} == {
        figure.key for figure in scenario.figures(TINY)
    }


@pytest.mark.apache
@pytest.mark.slow
def test_a_catalog_is_filled_and_searched_and_an_index_counted() -> None:
    with served(TINY, far=True) as archive:
        stage = Stage(archive, Way(archive.server.url), EMPIARFS)
        for scenario in CATALOG_SCENARIOS:
            samples = list(scenario.measure(stage))

            keys = [figure.key for figure in scenario.figures(TINY)]
            assert [sample.figure for sample in samples] == keys
            assert all(sample.value > 0 for sample in samples)


@pytest.mark.parametrize(
    ("least", "most", "reached"), [(0.95, 1.05, True), (0.94, 1.0, False), (1.0, 1.06, False)]
)
def test_a_rate_is_kept_if_every_repetition_keeps_it(
    least: float, most: float, reached: bool
) -> None:
    summary = Summary(1.0, least, most, None, None, None, 3)

    assert WithinOf(0.0501).is_reached(summary, None) is reached


def test_between_two_lines_bytes_come_evenly() -> None:
    lines = [(100, 10), (200, 30), (400, 40)]

    assert [bytes_until(lines, moment) for moment in (100, 150, 200, 300, 500)] == [
        10,
        20,
        30,
        35,
        40,
    ]
