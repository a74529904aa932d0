"""A big file is read in all the ways that the table names, and what that costs is told."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from scripts.benchmarks import readers, report
from scripts.benchmarks.__main__ import main
from scripts.benchmarks.archive import MOVIE, NOISE, Scale, ServedArchive, served
from scripts.benchmarks.clients import EMPIARFS, RCLONE, clients_for
from scripts.benchmarks.far_archive import FarScale
from scripts.benchmarks.figures import Figure, Sample, Unit
from scripts.benchmarks.goals import FactorOfPeer
from scripts.benchmarks.links import LOOPBACK, Way
from scripts.benchmarks.places import Mounted
from scripts.benchmarks.runner import Plan, Results, run
from scripts.benchmarks.scenario import Scenario
from scripts.benchmarks.scenarios import SCENARIOS
from scripts.benchmarks.stage import SkippedError, Stage, WrongAnswerError
from tests.support import users

TINY = Scale(
    movie_size=3_000_001,
    many=4,
    far=FarScale(12, 3, 3, 5, 2, 100_000),
    noise_size=1_000_001,
    rest_s=0.1,
)

NOBODYS = f"user_id={users.NOBODY.uid},"


@pytest.fixture(scope="module")
def archive() -> Iterator[ServedArchive]:
    with served(TINY, noise=True) as made:
        yield made


def samples_of(name: str, archive: ServedArchive) -> dict[str, Sample]:
    stage = Stage(archive, Way(archive.server.url), EMPIARFS)
    return {sample.figure: sample for sample in SCENARIOS[name].measure(stage)}


@pytest.mark.apache
@pytest.mark.fuse
@pytest.mark.slow
def test_each_figure_of_the_big_file_gets_a_value(archive: ServedArchive) -> None:
    found = samples_of("read", archive)

    assert set(found) == {figure.key for figure in SCENARIOS["read"].figures(TINY)}
    assert found["read.cold"].wire == TINY.movie_size
    assert found["read.disk"].requests == 0
    assert found["read.cold.cpu"].value > 0


@pytest.mark.apache
@pytest.mark.fuse
@pytest.mark.slow
def test_random_bytes_are_read_and_compared(archive: ServedArchive) -> None:
    [sample] = samples_of("read.random", archive).values()
    wrong = replace(archive, digests={NOISE: archive.digests[MOVIE]})

    assert sample.wire == TINY.noise_size
    with pytest.raises(WrongAnswerError, match="wrong bytes"):
        samples_of("read.random", wrong)


@pytest.mark.apache
@pytest.mark.fuse
@pytest.mark.slow
def test_over_https_the_plain_server_is_not_asked(archive: ServedArchive) -> None:
    mark = archive.server.mark()

    [sample] = samples_of("read.https", archive).values()

    assert sample.wire == TINY.movie_size
    assert archive.server.requests_since(mark) == []


@pytest.mark.apache
@pytest.mark.fuse
@pytest.mark.slow
def test_a_plain_user_mounts_and_reads(archive: ServedArchive) -> None:
    users.plain_python()
    stage = Stage(archive, Way(archive.server.url), EMPIARFS)
    mounts = []

    for sample in SCENARIOS["read.user"].measure(stage):
        mounts.append(Path("/proc/self/mountinfo").read_text())
        assert sample.wire == TINY.movie_size

    [during] = mounts
    [line] = [
        line for line in during.splitlines() if "/empiarfs-bench-" in line and NOBODYS in line
    ]
    assert " - fuse" in line


def test_a_reader_becomes_another_user(tmp_path: Path) -> None:
    users.require_root()
    file = tmp_path / "file"
    file.write_bytes(b"x")
    file.chmod(0o600)

    assert readers.run("size", file)["size"] == 1
    with pytest.raises(RuntimeError, match="PermissionError"):
        readers.run("read", file, user=users.NOBODY)


@pytest.mark.apache
@pytest.mark.fuse
@pytest.mark.slow
def test_memory_is_looked_at_again_after_a_rest(archive: ServedArchive) -> None:
    found = samples_of("memory", archive)

    assert 0 < found["memory.after"].value <= found["memory.peak"].value


@pytest.mark.slow
def test_the_time_of_a_process_is_counted_with_that_of_its_children(tmp_path: Path) -> None:
    spin = "import time\nend = time.process_time() + 0.2\nwhile time.process_time() < end: pass\n"
    parent = (
        "import subprocess, sys, time\n"
        f"subprocess.run([sys.executable, '-c', {spin!r}])\n"
        f"beside = subprocess.Popen([sys.executable, '-c', {spin + 'input()'!r}], stdin=-1)\n"
        "print(flush=True); input()\nbeside.stdin.close(); beside.wait()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        process.stdout.readline()
        mounted = Mounted(tmp_path, process.pid)
        deadline = time.monotonic() + 60
        while (taken := mounted.cpu_s()) < 0.4 and time.monotonic() < deadline:
            time.sleep(0.01)
    finally:
        process.communicate(b"\n")

    assert taken >= 0.4


def test_goals_are_held_against_the_best_of_the_others() -> None:
    figure = Figure("x", "x", Unit.BYTES_A_SECOND, (FactorOfPeer(1.0),))
    scenario = Scenario("x", "x", lambda scale: (figure,), lambda stage: iter(()))
    plan = Plan((scenario,), tuple(clients_for("loopback").values()), LOOPBACK, 1, TINY)
    samples = {"empiarfs": [Sample("x", 5.0)], "rclone": [Sample("x", 4.0)]}

    alone = report.missed(plan, Results(dict(samples)))
    with_tuned = report.missed(plan, Results(samples | {"rclone-tuned": [Sample("x", 6.0)]}))

    assert alone == []
    assert with_tuned == ["x: ≥ 1 × rclone"]


@pytest.mark.apache
@pytest.mark.slow
def test_what_cannot_be_measured_here_is_said_once(archive: ServedArchive) -> None:
    def measure(stage: Stage) -> Iterator[Sample]:
        raise SkippedError("no such user")
        yield

    scenario = Scenario("x", "x", lambda scale: (), measure)
    said: list[str] = []
    results = run(Plan((scenario,), (EMPIARFS, RCLONE), LOOPBACK, 2, TINY), archive, said.append)

    assert results.skipped == ["x, empiarfs: no such user", "x, rclone: no such user"]
    assert results.failures == []
    assert len([line for line in said if "skipped" in line]) == 2


def test_a_file_that_could_not_be_written_ends_the_run_before_it_begins(tmp_path: Path) -> None:
    file = tmp_path / "missing" / "figures.json"

    ended = CliRunner().invoke(main, ["--quick", "--json", str(file)])

    assert ended.exit_code == 1
    assert f"there is no folder {file.parent}" in ended.output
    assert "making what is served" not in ended.output
