"""What is read in Python, by libraries and without a mount, and the goals for that.

    imread      the first frames of a movie, as one array
    particles   some of a large stack in no order, one after the other, and again from the cache
    sheet       a contact sheet of the movies of a directory
    import      the import of the package, in fresh processes

Nothing is known of the archive before, as in `far`. All that was read is compared with what is
served: images by their digests, a sheet with that of the same files read from the disk.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from scripts.benchmarks.archive import Scale
from scripts.benchmarks.clients import EMPIARFS
from scripts.benchmarks.far import GivenUpError
from scripts.benchmarks.figures import Figure, Sample, Unit
from scripts.benchmarks.goals import (
    AtLeast,
    Below,
    ConnectionsWithin,
    FactorOf,
    FetchesWithin,
    NoRequest,
)
from scripts.benchmarks.images_archive import MOVIE_OF_FRAMES, MOVIES, PARTICLES
from scripts.benchmarks.libraries import EMPIARREADER_NAME, LIBRARIES, new_desk
from scripts.benchmarks.links import LINKS
from scripts.benchmarks.scenario import Scenario
from scripts.benchmarks.stage import SkippedError, Stage, Traffic, WrongAnswerError

# The bounds that the project promises.
_WIRE_OF_FRAMES = 1.2
_OF_THE_LINK = 0.8
_TIMES_FSSPEC = 10
_SHEET_BYTES = 100_000_000
_SHEET_S = 5.0
_IMPORT_S = 0.1

_POLITE = ConnectionsWithin(20)
# What the budget of connections allows.
_CONNECTIONS = 12
_FRAMES_LIMITS_S = {"good": 120.0, "ebi": 60.0}
# So long a peer reads particles at most; its rate is that of those it got.
_PARTICLES_S = 20.0
_SECOND_SEED = 2
_PROCESSES = 7
_MODULES = {"empiarfs": "empiarfs", EMPIARREADER_NAME: EMPIARREADER_NAME, "fsspec": "fsspec"}


# -- frames of a movie -------------------------------------------------------------------------


def _imread_figures(link: str, scale: Scale) -> tuple[Figure, ...]:
    images, key = scale.images, f"{link}.imread"
    wanted = images.read * images.frame_size
    title = (
        f"{images.read} frames of {images.frame_size / 1e6:.0f} MB of a movie of {images.frames}"
    )
    goals = (FetchesWithin(int(_WIRE_OF_FRAMES * wanted)), _POLITE)
    return (
        Figure(key, title, Unit.SECONDS, goals),
        Figure(f"{key}.full", "of the link", Unit.PART, (AtLeast(_OF_THE_LINK, Unit.PART),)),
        *(
            Figure(
                f"{key}.{name}", f"of {rate / 1e6:g} MB/s, {_CONNECTIONS} connections", Unit.PART
            )
            for name, rate in _rates(link).items()
            if name != "full"
        ),
    )


def _rates(link: str) -> dict[str, int]:
    """Return the bytes a second of a link; and of so many connections, if that is less."""
    found = {}
    whole, one = LINKS[link].rate, LINKS[link].connection_rate
    if whole:
        found["full"] = whole
    if whole and one and _CONNECTIONS * one < whole:
        found["budget"] = _CONNECTIONS * one
    return found


def _measure_imread(link: str, stage: Stage) -> Iterator[Sample]:
    stage = replace(stage, limit_s=min(stage.limit_s, _FRAMES_LIMITS_S[link]))
    key, images = f"{link}.imread", stage.archive.scale.images
    wanted = images.read * images.frame_size
    traffic = Traffic()
    try:
        with new_desk(stage) as desk, stage.traffic() as traffic:
            found = desk.run("frames", {"path": MOVIE_OF_FRAMES, "count": images.read})
    except GivenUpError:
        yield traffic.sample(key, stage.limit_s, is_over=True)
        return
    places = [images.frame_place(number) for number in range(images.read)]
    _check(stage, MOVIE_OF_FRAMES, found, places, ["<u2", images.rows, images.columns])
    yield traffic.sample(key, found["seconds"], wanted=wanted)
    for name, rate in _rates(link).items():
        yield Sample(f"{key}.{name}", wanted / found["seconds"] / rate)


# -- particles of a stack ----------------------------------------------------------------------


def _particles_figures(link: str, scale: Scale) -> tuple[Figure, ...]:
    images, key = scale.images, f"{link}.particles"
    size, stack = images.particle_size, images.particles * images.particle_size
    title = (
        f"{images.picked:,} particles of {size / 1e3:.0f} KB of a stack of {stack / 1e9:.1f} GB"
    )
    goals = (FactorOf(_TIMES_FSSPEC, "fsspec"), _POLITE)
    return (
        Figure(key, f"{title}, in no order", Unit.BYTES_A_SECOND, goals),
        Figure(f"{key}.again", "in another order, by a new process", Unit.BYTES_A_SECOND,
               (NoRequest(),)),
    )  # fmt: skip


def _measure_particles(link: str, stage: Stage) -> Iterator[Sample]:
    if stage.client.name == EMPIARREADER_NAME:
        raise SkippedError("it holds all of a file in memory")
    key, images = f"{link}.particles", stage.archive.scale.images
    with new_desk(stage) as desk:
        for figure, seed in ((key, 1), (f"{key}.again", _SECOND_SEED)):
            numbers = images.epoch(seed)
            timed = {"limit_s": _PARTICLES_S} if stage.client.name == "fsspec" else {}
            traffic = Traffic()
            try:
                with stage.traffic() as traffic:
                    found = desk.run("particles", {"path": PARTICLES, "numbers": numbers, **timed})
            except GivenUpError:
                error = RuntimeError if stage.client.name == EMPIARFS.name else SkippedError
                raise error(f"no end within {stage.limit_s:g} s") from None
            read = len(found["digests"])
            if read < len(numbers) and stage.client.name == EMPIARFS.name:
                raise WrongAnswerError(f"{read} of {len(numbers)} particles")
            places = [images.particle_place(number) for number in numbers[:read]]
            _check(stage, PARTICLES, found, places, ["<f4", images.side, images.side])
            wanted = read * images.particle_size
            # Particles lie across pieces, so what nobody read of those isn't read ahead in vain.
            yield traffic.sample(figure, wanted / found["seconds"])


# -- a contact sheet ---------------------------------------------------------------------------


def _sheet_figures(link: str, scale: Scale) -> tuple[Figure, ...]:
    images = scale.images
    size = images.movie_frames * images.rows * images.columns
    # On the other link the time is only worth knowing.
    time = (Below(_SHEET_S, Unit.SECONDS),) if link == "good" else ()
    goals = (*time, FetchesWithin(_SHEET_BYTES), _POLITE)
    title = f"a sheet of {images.movies} movies of {size / 1e6:.0f} MB"
    return (Figure(f"{link}.sheet", title, Unit.SECONDS, goals),)


def _measure_sheet(link: str, stage: Stage) -> Iterator[Sample]:
    if stage.client.name != EMPIARFS.name:
        raise SkippedError("it makes no pictures")
    count, served = stage.archive.scale.images.movies, stage.archive.server
    wanted = {"directory": MOVIES, "count": count}
    with new_desk(stage) as desk, stage.traffic() as traffic:
        found = desk.run("sheet", wanted)
    with new_desk(stage) as desk:
        expected = desk.run("sheet", {**wanted, "local": str(served.root)}, url=served.url)
    if found["problems"] or expected["problems"] or found["files"] != count:
        raise WrongAnswerError(f"{found['files']} files, {found['problems'][:3]}")
    if found["picture"] != expected["picture"] or found["colours"] < 100:
        raise WrongAnswerError("the sheet isn't that of the files")
    yield traffic.sample(f"{link}.sheet", found["seconds"])


# -- the import --------------------------------------------------------------------------------


def _import_figures(scale: Scale) -> tuple[Figure, ...]:
    goals = (Below(_IMPORT_S, Unit.LATENCY), NoRequest())
    return (
        Figure("import", "import of the package", Unit.LATENCY, goals),
        Figure("import.used", "and of all that it needs to read", Unit.LATENCY),
    )


def _measure_import(stage: Stage) -> Iterator[Sample]:
    module = _MODULES.get(stage.client.name)
    if module is None:
        raise SkippedError("the import of fsspec")
    with new_desk(stage) as desk, stage.traffic() as traffic:
        desk.imported(module)  # has the bytecode written
        found = [desk.imported(module) for _ in range(_PROCESSES)]
    if module == EMPIARFS.name and any(one["threads"] or one["sockets"] for one in found):
        raise WrongAnswerError("the import starts a thread, or opens a socket")
    seconds = [one["seconds"] for one in found]
    yield traffic.sample("import", median(seconds), distribution=seconds)
    yield Sample("import.used", median(one["used_s"] for one in found))


# -- all ---------------------------------------------------------------------------------------


def _check(stage: Stage, path: str, found: Any, places: list[int], kind: list[Any]) -> None:
    """Compare images with the bytes that are served at these places."""
    size = int(kind[0][2:]) * kind[1] * kind[2]
    if found["types"] not in ([kind], []):
        raise WrongAnswerError(f"images of {found['types']} instead of {kind}")
    expected = _digests(stage.archive.server.root / path, places, size)
    if found["digests"] != expected:
        count = sum(a != b for a, b in zip(found["digests"], expected, strict=False))
        raise WrongAnswerError(f"{count} of {len(expected)} images differ from what is served")


def _digests(path: Path, places: list[int], size: int) -> list[str]:
    with path.open("rb", buffering=0) as file:
        made = []
        for place in places:
            file.seek(place)
            made.append(hashlib.sha1(file.read(size), usedforsecurity=False).hexdigest())
    return made


def _scenarios(link: str) -> Iterator[Scenario]:
    for name, title, figures, measure in (
        ("imread", "frames of a movie, as an array", _imread_figures, _measure_imread),
        ("particles", "particles of a large stack", _particles_figures, _measure_particles),
        ("sheet", "a contact sheet of movies", _sheet_figures, _measure_sheet),
    ):
        yield Scenario(
            f"{link}.{name}",
            title,
            partial(figures, link),
            partial(measure, link),
            link,
            tuple(LIBRARIES),
            is_long_once=True,
        )


IMAGES_SCENARIOS = (
    Scenario(
        "import",
        "the import of a library",
        _import_figures,
        _measure_import,
        clients=tuple(LIBRARIES),
    ),
    *_scenarios("good"),
    *_scenarios("ebi"),
)
