"""One big file, read whole: the scenario `read`, and others that only read it cold.

How the conditions are made, for all clients alike:

* *cold*: a new cache, a new mount, the size of the file known (`stat`).
* *from the disk cache, the kernel's pages dropped*: mounted anew with the same cache, after
  the client has stored all. The unmount drops the pages of the mount; those of the cache's
  own files stay.
* *pages in the kernel*: the file has just been read to its end, and is opened again.

The processor's time is the client's, its children's included: from before the reading until
it is at rest again, so that what it writes afterwards counts as well.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from scripts.benchmarks.archive import MOVIE, NOISE, Scale
from scripts.benchmarks.figures import Figure, Sample, Unit
from scripts.benchmarks.goals import FactorOfPeer, NoMoreThanPeer
from scripts.benchmarks.links import Way
from scripts.benchmarks.places import Mounted
from scripts.benchmarks.plain_user import as_plain_user
from scripts.benchmarks.scenario import Scenario
from scripts.benchmarks.stage import SkippedError, Stage, WrongAnswerError
from tests.support.apache import ApacheServer

_NO_SLOWER = (FactorOfPeer(1.0),)


def _figures(scale: Scale) -> tuple[Figure, ...]:
    size, cost = _gigabytes(scale.movie_size), "processor time for a GB"
    speed, seconds = Unit.BYTES_A_SECOND, Unit.SECONDS
    return (
        Figure("read.cold", f"{size}, cold", speed, _NO_SLOWER),
        Figure("read.cold.cpu", f"{cost}, cold", seconds, (NoMoreThanPeer(1.0),)),
        Figure("read.disk", f"{size} from the disk cache", speed, (FactorOfPeer(1.5),)),
        Figure("read.disk.cpu", f"{cost} from the disk cache", seconds, (NoMoreThanPeer(1.2),)),
        Figure("read.again", f"{size}, opened and read again", speed, (FactorOfPeer(3.0),)),
    )


def _measure(stage: Stage) -> Iterator[Sample]:
    stage.archive.warm_up()
    with stage.new_place() as place:
        with place.mounted() as mounted:
            yield from _timed_with_cost(stage, "read.cold", mounted)
            check_bytes(stage, mounted, MOVIE)
            place.wait_until_stored()
        with place.mounted() as mounted:
            yield from _timed_with_cost(stage, "read.disk", mounted)
            yield _timed(stage, "read.again", mounted, MOVIE)
            check_bytes(stage, mounted, MOVIE)


def _timed_with_cost(stage: Stage, figure: str, mounted: Mounted) -> Iterator[Sample]:
    before = mounted.cpu_at_rest_s()
    yield _timed(stage, figure, mounted, MOVIE)
    taken = mounted.cpu_at_rest_s() - before
    yield Sample(f"{figure}.cpu", taken / (stage.archive.scale.movie_size / 1e9))


def _timed(stage: Stage, figure: str, mounted: Mounted, name: str) -> Sample:
    path = mounted.path / name
    promised = stage.read("size", path)["size"]
    with stage.traffic() as traffic:
        found = stage.read("read", path)
    if not found["size"] == promised == (stage.archive.server.root / name).stat().st_size:
        raise WrongAnswerError(f"{found['size']} bytes read of {name}, {promised} promised")
    return traffic.sample(figure, found["size"] / found["seconds"])


def check_bytes(stage: Stage, mounted: Mounted, name: str) -> None:
    """Compare a second reading of the file: hashing would slow the first one down.

    Where the kernel keeps a mount's pages they are the very ones that were timed.

    Raises:
        WrongAnswerError: They aren't what is served.
    """
    if stage.read("digest", mounted.path / name)["digest"] != stage.archive.digests[name]:
        raise WrongAnswerError(f"{stage.client.name} gave wrong bytes of {name}")


def _measure_cold(figure: str, name: str, stage: Stage) -> Iterator[Sample]:
    stage.archive.warm_up(name)
    with stage.new_place() as place, place.mounted() as mounted:
        yield _timed(stage, figure, mounted, name)
        check_bytes(stage, mounted, name)


def _measure_https(stage: Stage) -> Iterator[Sample]:
    with _over_tls(stage) as secure:
        yield from _measure_cold("read.https", MOVIE, secure)


@contextmanager
def _over_tls(stage: Stage) -> Iterator[Stage]:
    """Serve the same by a second Apache, which the client is told to trust."""
    if shutil.which("openssl") is None:
        raise SkippedError("openssl is missing, which makes the certificate")
    with ApacheServer(stage.archive.server.root, tls=True) as server:
        yield replace(
            stage,
            archive=replace(stage.archive, server=server),
            way=Way(server.url, environment=server.environment),
        )


def _measure_user(stage: Stage) -> Iterator[Sample]:
    with as_plain_user(stage) as theirs:
        yield from _measure_cold("read.user", MOVIE, theirs)


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:g} GB"


def _movie_figure(key: str, how: str, scale: Scale) -> tuple[Figure, ...]:
    title = f"{_gigabytes(scale.movie_size)}, cold, {how}"
    return (Figure(key, title, Unit.BYTES_A_SECOND, _NO_SLOWER),)


def _noise_figure(scale: Scale) -> tuple[Figure, ...]:
    title = f"{_gigabytes(scale.noise_size)} of random bytes, cold"
    return (Figure("read.random", title, Unit.BYTES_A_SECOND, _NO_SLOWER),)


READ_SCENARIOS = (
    Scenario("read", "one big file, read whole", _figures, _measure),
    Scenario(
        "read.random",
        "a big file of random bytes, read whole",
        _noise_figure,
        partial(_measure_cold, "read.random", NOISE),
    ),
    Scenario(
        "read.https",
        "one big file over HTTPS",
        partial(_movie_figure, "read.https", "over HTTPS"),
        _measure_https,
    ),
    Scenario(
        "read.user",
        "one big file, mounted and read by a plain user",
        partial(_movie_figure, "read.user", "as a plain user"),
        _measure_user,
    ),
)
