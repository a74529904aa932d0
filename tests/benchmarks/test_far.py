"""What is done over a slow link is done as it says, and given up where it takes too long."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import mrcfile
import pytest

from scripts.benchmarks import far_archive, readers, report
from scripts.benchmarks.archive import Scale, ServedArchive, served
from scripts.benchmarks.clients import EMPIARFS, MOUNTING, RCLONE, Client, clients_for
from scripts.benchmarks.far_archive import HEADERS, MRC_HEADER, STACK, FarScale, make_far
from scripts.benchmarks.figures import Figure, Sample, Unit
from scripts.benchmarks.links import EBI, GOOD, LINKS, Way
from scripts.benchmarks.runner import Plan, Results, run
from scripts.benchmarks.scenario import Scenario
from scripts.benchmarks.scenarios import SCENARIOS
from scripts.benchmarks.stage import Stage, WrongAnswerError
from tests.support.slow_link import LinkSettings, SlowLink

TINY = Scale(movie_size=3_000_001, many=4, far=FarScale(12, 3, 3, 5, 2, 100_000))
QUICK_LINK = LinkSettings(round_trip_s=0.002, opening_round_trips=2, link_rate=100_000_000)


@pytest.fixture(scope="module")
def archive() -> Iterator[ServedArchive]:
    with served(TINY, far=True) as made:
        yield made


def samples_of(name: str, archive: ServedArchive, client: Client = EMPIARFS) -> list[Sample]:
    with SlowLink(archive.server.url, QUICK_LINK) as relay:
        way = Way(relay.url_for(archive.server.url), relay)
        return list(SCENARIOS[name].measure(Stage(archive, way, client, "good")))


@pytest.mark.slow
def test_the_served_stacks_are_stacks_and_all_files_differ(tmp_path: Path) -> None:
    make_far(tmp_path, TINY.far)

    with mrcfile.mmap(tmp_path / STACK, mode="r") as stack:
        assert (stack.is_image_stack(), stack.data.shape) == (True, (12, 2_048, 2_048))
    heads = [path.read_bytes()[:MRC_HEADER] for path in (tmp_path / HEADERS).iterdir()]
    assert len(set(heads)) == TINY.far.headers
    with mrcfile.mmap(next((tmp_path / HEADERS).iterdir()), mode="r") as micrograph:
        assert micrograph.data.shape == (8, 2_500, 2_500)


def test_programs_say_which_bytes_they_have_read(tmp_path: Path) -> None:
    for name in "cab":
        (tmp_path / name).write_bytes(name.encode() * 100_000)

    start = readers.run("start", tmp_path / "a", "60000")
    each = readers.run("each", tmp_path, "2", "1024")
    whole = readers.run("each", tmp_path, "9", "999999")
    frames = readers.run("frames", tmp_path / "a", "24", "1000", "40")

    assert start["ranges"] == [[str(tmp_path / "a"), 0, 60_000]]
    assert each["ranges"] == [[str(tmp_path / name), 0, 1024] for name in "ab"]
    assert whole["ranges"] == [[str(tmp_path / name), 0, 100_000] for name in "abc"]
    assert [place for _, place, _ in frames["ranges"]] == [24, 40_024, 80_024]


@pytest.mark.slow
@pytest.mark.parametrize("how", ["read", "mmap"])
def test_scattered_reads_are_the_same_ones_each_time(tmp_path: Path, how: str) -> None:
    (tmp_path / "a").write_bytes(bytes(500_000))

    picked = [readers.run("pick", tmp_path / "a", how, "50") for _ in range(2)]

    found = [one["ranges"] for one in picked]
    assert all(len(one["each"]) == 50 and sum(one["each"]) <= one["seconds"] for one in picked)
    assert found[0] == found[1]
    assert all(place % readers.PAGE == 0 and size == readers.PAGE for _, place, size in found[0])


def test_bytes_that_differ_from_what_is_served_are_found(tmp_path: Path) -> None:
    for name in ("mounted", "served"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_bytes(bytes(9_000))
    with (tmp_path / "mounted/file").open("r+b") as file:
        file.seek(5_000)
        file.write(b"x")
    path = str(tmp_path / "mounted/file")
    ranges = [(path, 0, 5_000), (path, 4_000, 2_000), (path, 8_000, 2_000)]

    found = readers.run("differing", json.dumps(ranges), tmp_path / "mounted", tmp_path / "served")

    assert found == [list(ranges[1]), list(ranges[2])]


def test_each_scenario_is_done_over_a_link_that_there_is() -> None:
    assert {scenario.link for scenario in SCENARIOS.values()} == set(LINKS)
    for name, scenario in SCENARIOS.items():
        assert name.startswith(f"{scenario.link}.") or scenario.link == "loopback"


@pytest.mark.parametrize("link", list(LINKS))
def test_all_clients_are_set_up_for_each_link(link: str) -> None:
    assert tuple(clients_for(link)) == MOUNTING


@pytest.mark.apache
@pytest.mark.fuse
@pytest.mark.slow
def test_bytes_and_requests_are_counted_beside_the_time(archive: ServedArchive) -> None:
    [sample] = samples_of("good.files", archive)

    size = TINY.far.small_files * far_archive.SMALL_FILE
    assert sample.wire is not None
    assert sample.requests is not None
    assert sample.wire >= size
    assert sample.unread == sample.wire - size
    assert sample.requests >= TINY.far.small_files
    assert sample.connections
    assert (sample.refused, sample.is_over) == (0, False)


@pytest.mark.apache
@pytest.mark.fuse
@pytest.mark.slow
def test_streams_at_once_are_compared_with_each_other(archive: ServedArchive) -> None:
    whole, full, spread = samples_of("good.four", archive)

    assert whole.wire is not None
    assert whole.unread is not None
    assert whole.wire - whole.unread == TINY.far.streams * TINY.far.stream
    assert 0 < full.value < 1
    assert spread.value >= 1


@pytest.mark.apache
@pytest.mark.fuse
@pytest.mark.slow
def test_each_sweep_is_done_with_a_cache_of_its_own(archive: ServedArchive) -> None:
    samples = samples_of("good.sweeps", archive)

    figures = SCENARIOS["good.sweeps"].figures(TINY)
    assert [sample.figure for sample in samples] == [figure.key for figure in figures]
    # Somebody who had the listings of another sweep would have asked for less.
    assert all(sample.wire is not None and sample.wire > 1_000 for sample in samples)
    assert all(sample.unread is not None for sample in samples)


def test_a_sweep_that_turns_reads_each_file_once(tmp_path: Path) -> None:
    for number in range(40):
        (tmp_path / f"{number:02d}").write_bytes(bytes(3_000))

    found = readers.run("turn", tmp_path, "10", "20", "1024")["ranges"]

    names = [int(Path(path).name) for path, *_ in found]
    assert names[:10] == list(range(10))
    assert len(set(names)) == 30
    assert names[10:] != sorted(names[10:])
    assert all((start, size) == (0, 1024) for _, start, size in found)


@pytest.mark.apache
@pytest.mark.fuse
@pytest.mark.slow
def test_mounts_and_a_copy_at_once_are_counted_together(archive: ServedArchive) -> None:
    [sample] = samples_of("ebi.budget", archive)

    scale = TINY.far
    wanted = scale.stream // 2 + scale.small_files * far_archive.SMALL_FILE + scale.stream
    assert sample.wire is not None
    assert sample.unread == sample.wire - wanted
    assert sample.connections
    assert samples_of("ebi.budget", archive, RCLONE) == []


@pytest.mark.slow
def test_a_copy_is_compared_with_what_is_served(tmp_path: Path) -> None:
    for folder, content in (("copied", b"x"), ("served", b"y")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "file").write_bytes(content * 1_000)

    copied = readers.run("copy", tmp_path / "copied/file", tmp_path / "copied/other")["ranges"]
    (tmp_path / "served/other").write_bytes(b"x" * 999 + b"y")
    found = readers.run("differing", json.dumps(copied), tmp_path / "copied", tmp_path / "served")

    assert copied == [[str(tmp_path / "copied/other"), 0, 1_000]]
    assert found == copied


def test_bytes_read_in_vain_are_added_up_over_all_links() -> None:
    good = Results(
        {"empiarfs": [Sample("good.x", 1.0, wire=90, unread=10), Sample("good.y", 1.0)]}
    )
    ebi = Results({"empiarfs": [Sample("ebi.x", 1.0, wire=110, unread=15)]})
    others = Results({"rclone": [Sample("ebi.x", 1.0, wire=10_000, unread=9_000)]})

    found = report.unread([good, ebi, others])

    assert found == report.Unread(25, 200, 15, "ebi.x")
    assert found.is_reached
    assert not report.Unread(30, 200, 15, "x").is_reached
    assert not report.Unread(64_000_000, 10**9, 64_000_000, "x").is_reached
    assert report.unread([others]) is None


@pytest.mark.apache
@pytest.mark.fuse
@pytest.mark.slow
def test_a_listing_that_is_not_what_is_served_is_an_error(archive: ServedArchive) -> None:
    [right] = samples_of("good.ls", archive)
    more = ServedArchive(
        archive.server, TINY, archive.digests, archive.sizes, archive.listed | {"other.tif": 5}
    )

    assert right.value > 0
    with pytest.raises(WrongAnswerError, match="1 of 6 names missing, 0 wrong"):
        samples_of("good.ls", more)


@pytest.mark.apache
@pytest.mark.fuse
@pytest.mark.slow
def test_a_client_that_takes_too_long_is_given_up(archive: ServedArchive) -> None:
    with SlowLink(archive.server.url, QUICK_LINK) as relay:
        relay.change(swallow_every=1)
        way = Way(relay.url_for(archive.server.url), relay)
        stage = Stage(archive, way, EMPIARFS, "good", limit_s=1.0)
        samples = list(SCENARIOS["good.ls"].measure(stage))

    [sample] = samples
    assert (sample.value, sample.is_over) == (1.0, True)


def test_the_table_says_what_was_given_up_refused_and_read_in_vain() -> None:
    figure = Figure("good.x", "x", Unit.SECONDS)
    scenario = Scenario("good.x", "x", lambda scale: (figure,), lambda stage: iter(()), "good")
    plan = Plan((scenario,), (EMPIARFS,), GOOD, 1, TINY)
    sample = Sample("good.x", 120.0, 5_000_000, 7, 2_000_000, 25, 3, True)

    *_, row = report.table(plan, Results({EMPIARFS.name: [sample]})).splitlines()

    assert "over 120 s 7 requests, 5.0 MB, 2.0 unread, 25 connections, 3 REFUSED" in row


@pytest.mark.apache
@pytest.mark.slow
def test_scenarios_are_run_over_their_link(archive: ServedArchive) -> None:
    seen: list[tuple[str, bool]] = []

    def measure(stage: Stage) -> Iterator[Sample]:
        seen.append((stage.link, stage.way.url == archive.server.url))
        with stage.traffic() as traffic:
            pass
        yield traffic.sample("ebi.x", 1.0)

    figure = Figure("ebi.x", "x", Unit.SECONDS)
    scenario = Scenario("ebi.x", "x", lambda scale: (figure,), measure, "ebi")
    results = run(Plan((scenario,), (EMPIARFS,), EBI, 1, TINY), archive, lambda line: None)

    assert seen == [("ebi", False)]
    [sample] = results.samples[EMPIARFS.name]
    assert (sample.wire, sample.requests, sample.connections) == (0, 0, 0)
