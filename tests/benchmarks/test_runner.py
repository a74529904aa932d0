"""Scenarios are repeated in alternation, failures are kept, and all of it is reported.

The scenario is a fake that needs no mount; the readers are the real programs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import xxhash

from scripts.benchmarks import readers, report
from scripts.benchmarks.archive import MANY, MOVIE, Scale, served
from scripts.benchmarks.clients import EMPIARFS, RCLONE, Client
from scripts.benchmarks.far_archive import FarScale
from scripts.benchmarks.figures import Figure, Sample, Unit
from scripts.benchmarks.goals import FactorOfPeer, NoRequest
from scripts.benchmarks.links import LOOPBACK
from scripts.benchmarks.runner import Plan, Results, run
from scripts.benchmarks.scenario import Scenario
from scripts.benchmarks.scenarios import SCENARIOS
from scripts.benchmarks.stage import Stage, WrongAnswerError
from tests.support.apache import ApacheServer

TINY = Scale(movie_size=3_000_001, many=4, far=FarScale(12, 3, 3, 5, 2, 100_000))
SPEED = Figure("fake.speed", "fake", Unit.BYTES_A_SECOND, (FactorOfPeer(2.0), NoRequest()))
SPEEDS = {"empiarfs": 300e6, "rclone": 200e6}


@pytest.fixture(scope="module")
def archive() -> Iterator[tuple[Path, str, ApacheServer]]:
    with served(TINY) as made:
        yield made.server.root, made.digests[MOVIE], made.server


def fake_scenario(asked: list[str], *, failing: Client | None = None) -> Scenario:
    def measure(stage: Stage) -> Iterator[Sample]:
        asked.append(stage.client.name)
        if stage.client is failing:
            raise WrongAnswerError("wrong bytes")
        yield Sample("fake.speed", SPEEDS[stage.client.name], wire=5_000_000, requests=3)

    return Scenario("fake", "does nothing", lambda scale: (SPEED,), measure)


def results_of(scenario: Scenario, *, repetitions: int = 2) -> tuple[Plan, Results]:
    plan = Plan((scenario,), (EMPIARFS, RCLONE), LOOPBACK, repetitions, TINY)
    with served(TINY) as made:
        return plan, run(plan, made, lambda line: None)


@pytest.mark.apache
@pytest.mark.slow
def test_clients_take_turns_in_the_other_order_each_time() -> None:
    asked: list[str] = []

    results_of(fake_scenario(asked), repetitions=3)

    assert asked == ["empiarfs", "rclone", "rclone", "empiarfs", "empiarfs", "rclone"]


@pytest.mark.apache
@pytest.mark.slow
def test_a_client_that_fails_is_reported_and_the_others_go_on() -> None:
    plan, results = results_of(fake_scenario([], failing=EMPIARFS))

    assert results.failures == ["fake, empiarfs: wrong bytes"] * 2
    assert [len(samples) for samples in results.samples.values()] == [0, 2]
    assert report.missed(plan, results) == ["fake: ≥ 2 × rclone", "fake: no request"]


@pytest.mark.apache
@pytest.mark.slow
def test_the_table_puts_the_goals_beside_the_figures() -> None:
    plan, results = results_of(fake_scenario([]))

    header, _, row = report.table(plan, results).splitlines()

    assert [cell.strip() for cell in header.split("|")[1:4]] == ["figure", "empiarfs", "rclone"]
    assert "| 300 MB/s (300–300) 3 requests, 5.0 MB |" in row
    assert "| ≥ 2 × rclone, no request | MISSED |" in row


@pytest.mark.apache
@pytest.mark.slow
def test_json_holds_every_sample_and_verdict() -> None:
    plan, results = results_of(fake_scenario([]))

    told = json.loads(json.dumps(report.as_json(plan, results, report.machine())))

    [figure] = told["figures"]
    assert [sample["value"] for sample in figure["clients"]["rclone"]["samples"]] == [2e8, 2e8]
    assert [goal["reached"] for goal in figure["goals"]] == [False, False]


def test_every_sample_of_a_scenario_belongs_to_one_figure() -> None:
    keys = [figure.key for scenario in SCENARIOS.values() for figure in scenario.figures(TINY)]

    assert len(keys) == len(set(keys))


@pytest.mark.apache
@pytest.mark.slow
def test_the_served_movie_has_the_digest_and_size_that_clients_are_held_to(
    archive: tuple[Path, str, ApacheServer],
) -> None:
    root, digest, _ = archive
    movie = root / MOVIE

    assert movie.stat().st_size == TINY.movie_size
    assert movie.stat().st_blocks * 512 >= TINY.movie_size
    assert xxhash.xxh3_128(movie.read_bytes()).hexdigest() == digest
    assert len(list((root / MANY).iterdir())) == TINY.many


@pytest.mark.slow
def test_readers_read_to_the_end_and_tell_bytes_apart(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x" * 3_000_000)
    digest = readers.run("digest", file)["digest"]

    assert readers.run("read", file)["size"] == 3_000_000
    assert digest == xxhash.xxh3_128(b"x" * 3_000_000).hexdigest()


@pytest.mark.slow
def test_the_prober_lists_until_it_is_told_to_end(tmp_path: Path) -> None:
    with readers.started("probe", tmp_path) as prober:
        assert prober.stderr is not None
        assert prober.stderr.readline() == b"ready\n"
        taken = readers.result_of(prober)

    assert all(seconds < 5 for _, seconds in taken)


@pytest.mark.slow
def test_a_reader_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="No such file"):
        readers.run("read", tmp_path / "missing")
